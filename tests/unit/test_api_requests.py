"""The API in front of a database that is away: what is refused before anybody asks it, and how that is told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from goalstream.api.app import create_app
from goalstream.api.tokens import issue_token
from goalstream.config import Settings
from goalstream.domain.access import make_api_key
from goalstream.errors import DatabaseUnavailable, SettingsError
from goalstream.storage.pool import Connection, Database

SECRET = "a secret of at least thirty-two bytes"
ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
GOALS = f"/api/v1/workflows/{WORKFLOW}/goals"
GOAL = f"{GOALS}/cccccccc-0000-4000-8000-000000000001"
ACTIVATION_CHECK = f"/api/v1/workflows/{WORKFLOW}/activation-check"
JSON = {"content-type": "application/json"}
TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}}


class AwayDatabase(Database):
    """A database that nobody can reach: whoever gets as far as asking it gets 503."""

    def __init__(self) -> None:
        super().__init__("postgresql://nowhere/none", size=1)

    @asynccontextmanager
    async def transaction(self, account_id: str | None = None) -> AsyncIterator[Connection]:
        yield await self._connect()

    @asynccontextmanager
    async def snapshot(self, account_id: str) -> AsyncIterator[Connection]:
        yield await self._connect()

    async def _connect(self) -> Connection:
        raise DatabaseUnavailable("connection refused at a secret address")


def settings_of(**values: Any) -> Settings:
    return Settings.model_validate({"jwt_secret": SECRET, "max_body_bytes": 2_048} | values)


def token(scope: str = "goals:read goals:write") -> str:
    return issue_token(
        SECRET, account_id=ACCOUNT, subject="ada", scope=scope, expires_in_seconds=60, now=int(time.time())
    )


def bearer(scope: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token(scope)}"}


@pytest.fixture
def reasons() -> dict[str, str]:
    return {}


@pytest.fixture
async def client(reasons: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings_of(), AwayDatabase(), reasons=lambda: reasons)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api", headers={"authorization": f"Bearer {token()}"}
    ) as found:
        yield found


def problem(response: httpx.Response, status: int, error: str) -> dict[str, Any]:
    """The problem document that a response holds, which has the one form of all problems."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert set(document) == {"type", "title", "status", "detail", "error", "message", "errors"}
    assert document["type"] == f"urn:goalstream:problem:{error}"
    assert (document["status"], document["error"]) == (status, error)
    assert document["message"] == document["errors"][0]["message"]
    assert all(set(item) == {"pointer", "message"} for item in document["errors"])
    return document


def pointers(document: dict[str, Any]) -> list[str]:
    return [item["pointer"] for item in document["errors"]]


async def test_a_database_that_is_away_is_told_without_its_address(client: httpx.AsyncClient) -> None:
    for response in (
        await client.get(GOALS),
        await client.get(GOAL),
        await client.get(f"{GOALS}/stats"),
        await client.post(GOALS, json=TAG),
        await client.post(ACTIVATION_CHECK),
        await client.patch(GOAL, json={}, headers={"if-match": '"1"'}),
        await client.delete(GOAL),
    ):
        document = problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert "secret" not in json.dumps(document)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense", "nonsense"])
async def test_a_request_without_a_valid_token_is_told_how_to_authenticate(
    client: httpx.AsyncClient, authorization: str | None
) -> None:
    del client.headers["authorization"]
    headers = {} if authorization is None else {"authorization": authorization}
    response = await client.get(GOALS, headers=headers)
    problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_an_expired_token_is_refused(client: httpx.AsyncClient) -> None:
    expired = issue_token(
        SECRET,
        account_id=ACCOUNT,
        subject="ada",
        scope="goals:read",
        expires_in_seconds=1,
        now=int(time.time()) - 3_600,
    )
    response = await client.get(GOALS, headers={"authorization": f"Bearer {expired}"})
    assert "expired" in problem(response, 401, "unauthorized")["message"]
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


async def test_reading_and_writing_need_their_scopes(client: httpx.AsyncClient) -> None:
    reader, writer = bearer("goals:read"), bearer("goals:write operator")
    for refused in (
        await client.get(GOALS, headers=writer),
        await client.get(GOAL, headers=writer),
        await client.get(f"{GOALS}/stats", headers=writer),
        await client.post(ACTIVATION_CHECK, headers=writer),
        await client.post(GOALS, json=TAG, headers=reader),
        await client.patch(GOAL, json={}, headers=reader),
        await client.delete(GOAL, headers=reader),
    ):
        problem(refused, 403, "forbidden")
        needed = "goals:write" if refused.request.headers["authorization"] == reader["authorization"] else "goals:read"
        challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
        assert refused.headers["www-authenticate"] == challenge
    assert (await client.get(GOALS, headers=reader)).status_code == 503
    assert (await client.post(ACTIVATION_CHECK, headers=reader)).status_code == 503
    assert (await client.post(GOALS, json=TAG, headers=writer)).status_code == 503


@pytest.mark.parametrize(
    "scope", ["", "operator", "goals", "goals:*", "GOALS:READ", "goals:read,goals:write", "read write"]
)
async def test_a_scope_that_only_resembles_what_is_needed_is_none(client: httpx.AsyncClient, scope: str) -> None:
    problem(await client.get(GOALS, headers=bearer(scope)), 403, "forbidden")
    problem(await client.post(GOALS, json=TAG, headers=bearer(scope)), 403, "forbidden")


@pytest.mark.parametrize("key", ["gs_", "gs_x_y_z", "gs_" + "a" * 32 + "_" + "b" * 32 + "_" + "c" * 42])
async def test_what_has_not_the_form_of_an_api_key_is_refused_unasked(client: httpx.AsyncClient, key: str) -> None:
    response = await client.get(GOALS, headers={"authorization": f"Bearer {key}"})
    assert key not in problem(response, 401, "unauthorized")["message"]


async def test_an_api_key_cannot_be_judged_while_the_database_is_away(client: httpx.AsyncClient) -> None:
    key = make_api_key(ACCOUNT, WORKFLOW, "c" * 43).text
    response = await client.get(GOALS, headers={"authorization": f"Bearer {key}"})
    problem(response, 503, "unavailable")
    assert key not in response.text


async def test_an_account_that_asks_too_often_is_told_how_long_to_wait() -> None:
    app = create_app(settings_of(rate_limit_per_minute=2), AwayDatabase())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        for path in (GOALS, f"{GOALS}/stats"):
            assert (await client.get(path, headers=bearer("goals:read"))).status_code == 503
        refused = await client.get(GOALS, headers=bearer("goals:read"))
        problem(refused, 429, "rate_limited")
        assert refused.headers["retry-after"] in ("29", "30")
        problem(await client.post(GOALS, json=TAG, headers=bearer("")), 429, "rate_limited")
        problem(await client.get(GOALS, headers={"authorization": "Bearer x"}), 401, "unauthorized")
        assert (await client.get("/livez")).status_code == 200
        other = issue_token(
            SECRET, account_id=WORKFLOW, subject="ada", scope="goals:read", expires_in_seconds=60, now=int(time.time())
        )
        assert (await client.get(GOALS, headers={"authorization": f"Bearer {other}"})).status_code == 503


async def test_what_is_refused_at_the_door_is_counted(client: httpx.AsyncClient) -> None:
    def count(error: str) -> float:
        return REGISTRY.get_sample_value("goalstream_api_refused_total", {"error": error}) or 0.0

    before = count("unauthorized"), count("forbidden")
    await client.get(GOALS, headers={"authorization": "Bearer x"})
    await client.get(GOALS, headers=bearer("goals:write"))
    await client.get(GOALS)
    assert (count("unauthorized"), count("forbidden")) == (before[0] + 1, before[1] + 1)


async def test_no_line_of_the_log_holds_a_token(client: httpx.AsyncClient) -> None:
    given = [token(), "x.y.z", make_api_key(ACCOUNT, WORKFLOW, "c" * 43).text]
    with capture_logs() as lines:
        for one in given:
            await client.get(GOALS, headers={"authorization": f"Bearer {one}"})
    assert lines
    assert not [line for line in lines if any(one in str(line) for one in given)]


async def test_who_is_nobody_learns_nothing_about_the_body(client: httpx.AsyncClient) -> None:
    response = await client.post(GOALS, content=b"nonsense", headers={"authorization": "Bearer x"})
    problem(response, 401, "unauthorized")


@pytest.mark.parametrize("name", ["1", "stat", "%00", "cccccccc000040008000000000000001", "{goal_id}", "%F0%9F%92%A9"])
async def test_what_is_no_uuid_names_nothing(client: httpx.AsyncClient, name: str) -> None:
    problem(await client.get(f"{GOALS}/{name}"), 404, "not_found")
    problem(await client.delete(f"{GOALS}/{name}"), 404, "not_found")
    problem(await client.get(f"/api/v1/workflows/{name}/goals"), 404, "not_found")
    problem(await client.get(f"/api/v1/workflows/{name}/goals/stats"), 404, "not_found")
    problem(await client.post(f"/api/v1/workflows/{name}/goals", json=TAG), 404, "not_found")
    problem(await client.post(f"/api/v1/workflows/{name}/activation-check"), 404, "not_found")


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1", "/api/v1/contacts", f"{GOALS}/", f"{GOAL}/x", "/docs/x"])
async def test_an_unknown_path_is_a_problem_too(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        (GOALS, "PUT", "GET, POST"),
        (GOALS, "DELETE", "GET, POST"),
        (GOAL, "PUT", "DELETE, GET, PATCH"),
        (GOAL, "POST", "DELETE, GET, PATCH"),
        (GOAL, "TRACE", "DELETE, GET, PATCH"),
        (ACTIVATION_CHECK, "GET", "POST"),
        ("/openapi.json", "POST", "GET"),
        ("/livez", "POST", "GET"),
    ],
)
async def test_a_method_that_is_not_allowed_names_all_that_are(
    client: httpx.AsyncClient, path: str, method: str, allowed: str
) -> None:
    response = await client.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


async def test_the_methods_of_statistics_are_not_those_of_a_goal_called_stats(client: httpx.AsyncClient) -> None:
    for method in ("PATCH", "DELETE", "POST"):
        response = await client.request(method, f"{GOALS}/stats", headers={"if-match": "*"})
        assert response.status_code in (404, 405)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"{",
        b'{"goal_type": NaN}',
        b"NaN",
        b"-Infinity",
        b"[]",
        b"null",
        b'"tag_added"',
        b"1",
        b"\xff\xfe",
        b'{"goal_type": "\xff"}',
        b'{"goal_type": "\xed\xa0\x80"}',
        b'{"\\ud800": 1}',
        b'{"goal_type": "\\udfff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 2_000,
        b'{"a":' * 400,
        b'{"criteria": 1e99999999999999999999}',
        b"9" * 2_000,
    ],
    ids=lambda content: repr(content[:24]),
)
async def test_a_body_that_is_no_json_object_is_malformed(client: httpx.AsyncClient, content: bytes) -> None:
    for method, path in (("POST", GOALS), ("PATCH", GOAL)):
        response = await client.request(method, path, content=content, headers={**JSON, "if-match": '"1"'})
        assert pointers(problem(response, 422, "validation_error")) == [""]


async def test_every_problem_of_a_body_has_its_pointer(client: httpx.AsyncClient) -> None:
    body = {"goal_type": "tag_added", "criteria": {"tag_id": 7, "x/y": 1}, "window": "P1Y", "~": None, "\0": 1}
    document = problem(await client.post(GOALS, json=body), 422, "validation_error")
    assert sorted(pointers(document)) == ["/\0", "/criteria/tag_id", "/criteria/x~1y", "/window", "/~0"]


async def test_criteria_without_effect_are_told_with_their_own_code(client: httpx.AsyncClient) -> None:
    body = {"goal_type": "purchase_made", "criteria": {"any_purchase": False, "product_id": None}}
    document = problem(await client.post(GOALS, json=body), 400, "criteria_empty")
    assert document["message"] == "Goal criteria cannot be empty"
    assert pointers(document) == ["/criteria"]


@pytest.mark.parametrize("text", ["nul\\u0000", "", "  ", "\\u3000", "a" * 256])
async def test_texts_that_no_id_can_be_are_refused(client: httpx.AsyncClient, text: str) -> None:
    content = f'{{"goal_type": "form_submitted", "criteria": {{"form_id": "{text}"}}}}'.encode()
    document = problem(await client.post(GOALS, content=content, headers=JSON), 422, "validation_error")
    assert pointers(document) == ["/criteria/form_id"]


@pytest.mark.parametrize(
    ("amount", "status"),
    [
        (b"150.00", 503),
        (b'"150.00"', 503),
        (b"0", 503),
        (b"1e30", 503),
        (b"0.000000000000000000000000000001", 503),
        (b"-0.01", 422),
        (b"1e31", 422),
        (b"1e999999999", 422),
        (b"1234567890123456789012345678901", 422),
        (b"true", 422),
        (b'"NaN"', 422),
        (b'"ten"', 422),
    ],
)
async def test_amounts_are_decimals_within_bounds(client: httpx.AsyncClient, amount: bytes, status: int) -> None:
    content = b'{"goal_type": "purchase_made", "criteria": {"min_amount": ' + amount + b"}}"
    assert (await client.post(GOALS, content=content, headers=JSON)).status_code == status


async def test_of_a_repeated_key_the_last_holds(client: httpx.AsyncClient) -> None:
    content = b'{"goal_type": 1, "goal_type": "form_submitted", "criteria": {"form_id": 1, "form_id": "f"}}'
    assert (await client.post(GOALS, content=content, headers=JSON)).status_code == 503


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/xml", "application/x-www-form-urlencoded"]
)
async def test_only_json_is_read(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    problem(await client.post(GOALS, content=b"{}", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_known_by_its_type_whatever_its_case_and_parameters(
    client: httpx.AsyncClient, content_type: str
) -> None:
    response = await client.post(GOALS, content=json.dumps(TAG), headers={"content-type": content_type})
    assert response.status_code == 503


async def test_a_body_of_the_greatest_size_is_read_and_one_byte_more_is_not(client: httpx.AsyncClient) -> None:
    body = json.dumps(TAG).encode()
    fits = body + b" " * (2_048 - len(body))
    assert (await client.post(GOALS, content=fits, headers=JSON)).status_code == 503
    problem(await client.post(GOALS, content=fits + b" ", headers=JSON), 413, "too_large")


async def test_a_body_in_chunks_is_cut_off_at_the_same_size(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1_024
            yield b" " * 1_024

    response = await client.post(GOALS, content=endless(), headers=JSON)
    assert "content-length" not in response.request.headers
    problem(response, 413, "too_large")


async def test_a_change_needs_to_say_which_version_it_changes(client: httpx.AsyncClient) -> None:
    problem(await client.patch(GOAL, json={}), 428, "precondition_required")


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "", "1.5", "1e2", "٣"])
async def test_a_limit_outside_one_to_two_hundred_is_refused(client: httpx.AsyncClient, limit: str) -> None:
    document = problem(await client.get(GOALS, params={"limit": limit}), 422, "validation_error")
    assert pointers(document) == ["/query/limit"]


@pytest.mark.parametrize("offset", ["-1", "x", str(2**70)])
async def test_an_offset_that_counts_nothing_is_refused(client: httpx.AsyncClient, offset: str) -> None:
    document = problem(await client.get(GOALS, params={"offset": offset}), 422, "validation_error")
    assert pointers(document) == ["/query/offset"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "e30=", "bnVsbA==", "WzEsMl0=", "WyIyMDI2IiwieCJd", "é", "====", "a" * 301]
)
async def test_a_cursor_of_somebodys_own_making_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    document = problem(await client.get(GOALS, params={"cursor": cursor}), 422, "validation_error")
    assert pointers(document) == ["/query/cursor"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tz", "Mars"),
        ("tz", ""),
        ("tz", "../etc/passwd"),
        ("tz", "\0"),
        ("tz", "America"),
        ("granularity", "month"),
        ("granularity", ""),
        ("start", "yesterday"),
        ("start", "2026-02-30"),
        ("start", "0000-01-01"),
        ("end", "2026-13-01T00:00:00Z"),
        ("end", "2026"),
        ("end", ""),
    ],
)
async def test_statistics_of_what_is_no_time_are_refused(client: httpx.AsyncClient, name: str, value: str) -> None:
    document = problem(await client.get(f"{GOALS}/stats", params={name: value}), 422, "validation_error")
    assert pointers(document) == [f"/query/{name}"]


@pytest.mark.parametrize(
    "start",
    ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "2026-01-01 00:00:00Z", "2026-01-01t00:00:00z"],
)
async def test_statistics_take_a_date_or_a_time(client: httpx.AsyncClient, start: str) -> None:
    response = await client.get(f"{GOALS}/stats", params={"start": start, "tz": "Europe/Berlin"})
    assert response.status_code == 503


async def test_an_unescaped_plus_in_a_query_is_understood(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{GOALS}/stats?start=2026-01-01T00:00:00+02:00")).status_code == 503


def test_without_a_secret_there_is_no_api() -> None:
    with pytest.raises(SettingsError, match="GOALSTREAM_JWT_SECRET"):
        create_app(settings_of(jwt_secret=None), AwayDatabase())


async def test_probes_and_documents_need_no_token(client: httpx.AsyncClient) -> None:
    del client.headers["authorization"]
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert (await client.get(path)).status_code == 200, path


async def test_readiness_says_in_words_what_is_wrong(client: httpx.AsyncClient, reasons: dict[str, str]) -> None:
    reasons["database"] = "the database is not migrated (3 pending): run `goalstream migrate`"
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["reasons"] == reasons
    assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text", "application/openmetrics-text")],
)
async def test_metrics_come_in_the_form_that_is_asked_for(
    client: httpx.AsyncClient, accept: str, content_type: str
) -> None:
    response = await client.get("/metrics", headers={"accept": accept})
    assert response.headers["content-type"].startswith(content_type)
    assert "# TYPE process_" in response.text


async def test_swagger_ui_and_all_its_files_are_served_by_us(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/docs/")
        answer = await client.get(address)
        assert answer.status_code == 200, address
        assert answer.content

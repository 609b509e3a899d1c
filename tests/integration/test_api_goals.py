"""Goals and statistics over HTTP on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from goalstream.api.app import create_app
from goalstream.api.tokens import issue_token
from goalstream.config import Settings
from goalstream.storage.pool import Database
from tests.conftest import JWT_SECRET
from tests.integration.serving import bearer

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000002"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
GOALS = f"/api/v1/workflows/{WORKFLOW}/goals"
NOBODY = "dddddddd-0000-4000-8000-000000000001"
TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}}

ClientOf = Callable[[str], httpx.AsyncClient]


@pytest.fixture
def app(api_database: Database) -> FastAPI:
    return create_app(Settings.model_validate({"jwt_secret": JWT_SECRET}), api_database)


@pytest.fixture
async def client_of(app: FastAPI) -> AsyncIterator[ClientOf]:
    """Makes clients of an account."""
    made = []

    def make(account_id: str) -> httpx.AsyncClient:
        headers = bearer(account_id)
        made.append(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def client(client_of: ClientOf) -> httpx.AsyncClient:
    return client_of(ACCOUNT)


async def created(client: httpx.AsyncClient, form_id: str = "form-1", **more: Any) -> dict[str, Any]:
    body = {"goal_type": "form_submitted", "criteria": {"form_id": form_id}} | more
    response = await client.post(GOALS, json=body)
    assert response.status_code == 201, response.text
    document: dict[str, Any] = response.json()
    return document


async def enroll(database: Database, *entered_at: datetime) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            """insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at)
               select $1, gen_random_uuid(), $2, gen_random_uuid(), entered_at from unnest($3::timestamptz[]) entered_at
            """,
            ACCOUNT,
            WORKFLOW,
            list(entered_at),
        )


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    document = response.json()
    return response.status_code, document["error"], document["message"]


async def test_a_created_goal_is_answered_in_full_and_found_at_its_location(client: httpx.AsyncClient) -> None:
    before = datetime.now(UTC)
    response = await client.post(GOALS, json=TAG | {"window": "P1W", "measure_after_exit": "PT0S"})
    assert response.status_code == 201
    goal = response.json()
    assert list(goal) == [
        "id",
        "workflow_id",
        "account_id",
        "goal_type",
        "criteria",
        "is_active",
        "version",
        "window",
        "measure_after_exit",
        "effective_from",
        "created_at",
        "updated_at",
        "created_by",
        "updated_by",
    ]
    assert (goal["workflow_id"], goal["account_id"], str(UUID(goal["id"]))) == (WORKFLOW, ACCOUNT, goal["id"])
    assert (goal["window"], goal["measure_after_exit"]) == ("P7D", None)
    assert (goal["is_active"], goal["version"]) == (True, 1)
    assert goal["created_by"] == goal["updated_by"] == "ada"
    assert goal["effective_from"].endswith("Z")
    assert datetime.fromisoformat(goal["effective_from"]) >= before + timedelta(seconds=1)
    assert response.headers["etag"] == '"1"'
    assert response.headers["effective-from"] == goal["effective_from"]
    assert response.headers["location"] == f"{GOALS}/{goal['id']}"
    found = await client.get(response.headers["location"])
    assert (found.status_code, found.headers["etag"], found.json()) == (200, '"1"', goal)


@pytest.mark.parametrize(
    ("criteria", "shown"),
    [
        ({"product_id": None, "min_amount": 100}, {"min_amount": "100"}),
        ({"min_amount": "150.00", "currency": "eur"}, {"min_amount": "150", "currency": "EUR"}),
        ({"any_purchase": True}, {"any_purchase": True}),
        ({"product_id": "p", "any_purchase": False}, {"product_id": "p"}),
        ({"min_amount": 0}, {"min_amount": "0"}),
    ],
)
async def test_answers_show_canonical_criteria(
    client: httpx.AsyncClient, criteria: dict[str, Any], shown: dict[str, Any]
) -> None:
    goal = (await client.post(GOALS, json={"goal_type": "purchase_made", "criteria": criteria})).json()
    assert goal["criteria"] == shown
    assert (await client.get(f"{GOALS}/{goal['id']}")).json()["criteria"] == shown


async def test_an_amount_keeps_the_digits_of_its_json_number(client: httpx.AsyncClient) -> None:
    content = b'{"goal_type": "purchase_made", "criteria": {"min_amount": 0.12345678901234567890123456789}}'
    response = await client.post(GOALS, content=content, headers={"content-type": "application/json"})
    assert response.json()["criteria"] == {"min_amount": "0.12345678901234567890123456789"}


async def test_ids_in_paths_take_either_case_and_are_answered_in_lower_case(client: httpx.AsyncClient) -> None:
    response = await client.post(GOALS.replace(WORKFLOW, WORKFLOW.upper()), json=TAG)
    goal = response.json()
    assert goal["workflow_id"] == WORKFLOW
    assert response.headers["location"] == f"{GOALS}/{goal['id']}"
    assert (await client.get(f"{GOALS}/{goal['id'].upper()}")).json() == goal
    assert (await client.get(f"{GOALS.replace(WORKFLOW, WORKFLOW.upper())}/stats")).json()["workflow_id"] == WORKFLOW


async def test_a_fourth_goal_is_one_too_many(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await created(client, f"form-{number}")
    response = await client.post(GOALS, json=TAG)
    assert error_of(response) == (400, "goal_limit_exceeded", "Maximum of 3 goals per workflow exceeded")


async def test_the_same_type_and_criteria_twice_are_a_conflict(client: httpx.AsyncClient) -> None:
    goal = (await client.post(GOALS, json=TAG)).json()
    response = await client.post(GOALS, json={"goal_type": "tag_added", "criteria": {"tag_name": " PURCHASED"}})
    assert error_of(response)[:2] == (409, "duplicate_goal")
    assert goal["id"] in response.json()["message"]


async def test_a_goal_not_changed_since_is_not_sent_again(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    address = f"{GOALS}/{goal['id']}"
    for known in ('"1"', '"7", "1"', 'W/"1"', "*"):
        response = await client.get(address, headers={"if-none-match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"1"')
    assert (await client.get(address, headers={"if-none-match": '"2"'})).status_code == 200


async def test_a_change_answers_the_new_version_and_from_when_it_holds(client: httpx.AsyncClient) -> None:
    goal = await created(client, window="P7D", measure_after_exit="PT36H")
    address = f"{GOALS}/{goal['id']}"
    response = await client.patch(
        address, json={"criteria": {"form_id": "form-2"}, "window": None}, headers={"if-match": '"1"'}
    )
    assert response.status_code == 200
    changed = response.json()
    assert (changed["version"], changed["criteria"], changed["window"]) == (2, {"form_id": "form-2"}, None)
    assert changed["measure_after_exit"] == "PT36H"
    assert changed["effective_from"] > goal["effective_from"]
    assert (response.headers["etag"], response.headers["effective-from"]) == ('"2"', changed["effective_from"])
    assert (await client.get(address)).json() == changed


async def test_a_change_of_nothing_is_the_same_version(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    for body in ({}, {"is_active": True, "window": None, "criteria": {"form_id": "form-1"}}):
        response = await client.patch(f"{GOALS}/{goal['id']}", json=body, headers={"if-match": '"1"'})
        assert (response.status_code, response.json(), response.headers["etag"]) == (200, goal, '"1"')
        assert response.headers["effective-from"] == goal["effective_from"]


async def test_a_stale_or_senseless_version_is_refused_with_the_current_one(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    address = f"{GOALS}/{goal['id']}"
    await client.patch(address, json={"is_active": False}, headers={"if-match": '"1"'})
    for stale in ('"1"', '"3"', "2", "nonsense", '"99999999999999999999"', '""'):
        for response in (
            await client.patch(address, json={"is_active": True}, headers={"if-match": stale}),
            await client.delete(address, headers={"if-match": stale}),
        ):
            assert error_of(response)[:2] == (412, "precondition_failed"), stale
            assert response.headers["etag"] == '"2"'
    assert (await client.get(address)).json()["is_active"] is False


async def test_a_weak_etag_names_no_version_to_change(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    address = f"{GOALS}/{goal['id']}"
    response = await client.patch(address, json={"is_active": False}, headers={"if-match": 'W/"1"'})
    assert response.status_code == 412
    assert (await client.get(address, headers={"if-none-match": 'W/"1"'})).status_code == 304


@pytest.mark.parametrize("if_match", ['"1"', '"7", "1"', "*"])
async def test_the_version_may_be_one_of_several_or_any(client: httpx.AsyncClient, if_match: str) -> None:
    goal = await created(client)
    response = await client.patch(f"{GOALS}/{goal['id']}", json={"is_active": False}, headers={"if-match": if_match})
    assert response.json()["version"] == 2


async def test_of_ten_who_change_one_version_nine_are_told_what_it_is_now(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    responses = await asyncio.gather(
        *(
            client.patch(
                f"{GOALS}/{goal['id']}",
                json={"criteria": {"form_id": f"form-{number}"}},
                headers={"if-match": '"1"'},
            )
            for number in range(10, 20)
        )
    )
    assert sorted(response.status_code for response in responses) == [200] + [412] * 9
    assert {response.headers["etag"] for response in responses} == {'"2"'}


async def test_the_type_of_a_goal_never_changes(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    response = await client.patch(f"{GOALS}/{goal['id']}", json={"goal_type": "tag_added"}, headers={"if-match": '"1"'})
    assert error_of(response)[:2] == (422, "validation_error")
    assert response.json()["errors"][0]["pointer"] == "/goal_type"


async def test_changed_criteria_follow_the_rules_of_new_ones(client: httpx.AsyncClient) -> None:
    goal, other = await created(client, "form-1"), await created(client, "form-2")
    address, headers = f"{GOALS}/{goal['id']}", {"if-match": '"1"'}
    empty = await client.patch(address, json={"criteria": {}}, headers=headers)
    assert error_of(empty) == (400, "criteria_empty", "Goal criteria cannot be empty")
    same = await client.patch(address, json={"criteria": other["criteria"]}, headers=headers)
    assert error_of(same)[:2] == (409, "duplicate_goal")
    wrong = await client.patch(address, json={"criteria": {"tag_name": "x"}}, headers=headers)
    assert error_of(wrong)[:2] == (422, "validation_error")


async def test_a_deleted_goal_is_gone_and_its_place_and_criteria_are_free(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    address = f"{GOALS}/{goal['id']}"
    response = await client.delete(address, headers={"if-match": '"1"'})
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["effective-from"] > goal["effective_from"]
    for gone in (
        await client.get(address),
        await client.delete(address),
        await client.patch(address, json={}, headers={"if-match": '"1"'}),
    ):
        assert error_of(gone)[:2] == (404, "not_found")
    assert (await client.get(GOALS)).json()["total"] == 0
    assert (await created(client))["id"] != goal["id"]


async def test_a_goal_may_be_deleted_without_naming_a_version(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    assert (await client.delete(f"{GOALS}/{goal['id']}")).status_code == 204


async def test_a_goal_of_another_workflow_is_unknown(client: httpx.AsyncClient) -> None:
    goal = await created(client)
    elsewhere = f"/api/v1/workflows/{NOBODY}/goals/{goal['id']}"
    assert (await client.get(elsewhere)).status_code == 404
    assert (await client.delete(elsewhere)).status_code == 404
    assert (await client.get(f"{GOALS}/{NOBODY}")).status_code == 404


async def test_another_account_cannot_tell_a_goal_from_one_that_never_was(client_of: ClientOf) -> None:
    mine, theirs = client_of(ACCOUNT), client_of(OTHER_ACCOUNT)
    goal = await created(mine)
    foreign, unknown = f"{GOALS}/{goal['id']}", f"{GOALS}/{NOBODY}"
    for method, body in (("GET", None), ("PATCH", {"is_active": False}), ("DELETE", None)):
        headers = {"if-match": '"1"'}
        answers = []
        for address in (foreign, unknown):
            answer = await theirs.request(method, address, json=body, headers=headers)
            answers.append((answer.status_code, answer.text.replace(address.rsplit("/", 1)[1], "…")))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404
    assert (await theirs.get(GOALS)).json()["goals"] == []
    assert (await theirs.post(GOALS, json={"goal_type": goal["goal_type"], "criteria": goal["criteria"]})).is_success
    assert (await mine.get(foreign)).json() == goal


async def test_an_account_in_the_body_is_an_unknown_field(client: httpx.AsyncClient) -> None:
    response = await client.post(GOALS, json=TAG | {"account_id": OTHER_ACCOUNT})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/account_id")


async def test_an_unknown_workflow_has_no_goals_and_statistics_of_nobody(client: httpx.AsyncClient) -> None:
    address = f"/api/v1/workflows/{NOBODY}/goals"
    listed = await client.get(address)
    assert listed.json() == {"goals": [], "total": 0, "offset": 0, "limit": 50, "next_cursor": None}
    assert set(listed.links) == {"first"}
    found = (await client.get(f"{address}/stats")).json()
    assert (found["total_enrolled"], found["conversion_rate"], found["avg_time_to_goal_hours"]) == (0, 0.0, None)
    assert "series" not in found


async def test_pages_lead_to_each_other_by_link_and_by_cursor(client: httpx.AsyncClient) -> None:
    goals = [await created(client, f"form-{number}") for number in range(3)]
    page = await client.get(GOALS, params={"limit": 2, "offset": 0})
    assert page.json()["goals"] == goals[:2]
    assert (page.json()["total"], page.json()["limit"]) == (3, 2)
    assert set(page.links) == {"first", "next"}
    by_link = (await client.get(page.links["next"]["url"])).json()
    by_cursor = (await client.get(GOALS, params={"limit": 2, "cursor": page.json()["next_cursor"]})).json()
    assert by_link == by_cursor
    assert (by_link["goals"], by_link["next_cursor"]) == (goals[2:], None)
    last = await client.get(GOALS, params={"limit": 2, "offset": 2})
    for name in ("first", "prev"):
        assert (await client.get(last.links[name]["url"])).json()["goals"] == goals[:2]


async def test_a_full_last_page_leads_nowhere(client: httpx.AsyncClient) -> None:
    goals = [await created(client, f"form-{number}") for number in range(2)]
    page = await client.get(GOALS, params={"limit": 1, "offset": 1})
    assert (page.json()["goals"], page.json()["offset"], page.json()["next_cursor"]) == (goals[1:], 1, None)
    assert "next" not in page.links
    assert (await client.get(GOALS, params={"offset": 2})).json()["goals"] == []


async def test_statistics_of_days_in_a_time_zone_begin_at_its_midnight(
    client: httpx.AsyncClient, database: Database
) -> None:
    await enroll(
        database,
        datetime(2026, 3, 28, 22, 59, tzinfo=UTC),  # the evening before in Berlin
        datetime(2026, 3, 28, 23, 0, tzinfo=UTC),
        datetime(2026, 3, 29, 21, 59, tzinfo=UTC),
        datetime(2026, 3, 29, 22, 0, tzinfo=UTC),  # the day after, which came an hour early
    )
    response = await client.get(
        f"{GOALS}/stats",
        params={"start": "2026-03-29", "end": "2026-03-30", "tz": "Europe/Berlin", "granularity": "day"},
    )
    assert response.status_code == 200
    found = response.json()
    assert found["total_enrolled"] == 2
    assert found["series"] == [
        {"start": "2026-03-28T23:00:00Z", "total_enrolled": 2, "goals_achieved": 0, "conversion_rate": 0.0}
    ]


@pytest.mark.parametrize("tz", ["Factory", "localtime", "posixrules", "right/UTC", "posix/Europe/Berlin", "EST5EDT"])
async def test_a_time_zone_that_only_one_side_knows_is_no_failure(
    client: httpx.AsyncClient, database: Database, tz: str
) -> None:
    await enroll(database, datetime(2026, 3, 28, tzinfo=UTC))
    response = await client.get(f"{GOALS}/stats", params={"tz": tz, "granularity": "day"})
    assert response.status_code in (200, 422)


@pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
@pytest.mark.parametrize("tz", ["UTC", "Pacific/Kiritimati", "America/Adak"])
async def test_the_ends_of_the_calendar_are_no_failure(client: httpx.AsyncClient, moment: str, tz: str) -> None:
    for name in ("start", "end"):
        response = await client.get(f"{GOALS}/stats", params={name: moment, "tz": tz})
        assert response.status_code in (200, 422)


async def test_a_database_that_is_not_migrated_is_unavailable(empty_database_url: str) -> None:
    database = Database(empty_database_url, size=1)
    app = create_app(Settings.model_validate({"jwt_secret": JWT_SECRET}), database)
    token = issue_token(
        JWT_SECRET,
        account_id=ACCOUNT,
        subject="ada",
        scope="goals:read",
        expires_in_seconds=600,
        now=int(time.time()),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        response = await client.get(GOALS, headers={"authorization": f"Bearer {token}"})
    await database.close()
    assert error_of(response)[:2] == (503, "unavailable")

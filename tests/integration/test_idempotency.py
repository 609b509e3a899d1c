"""`Idempotency-Key` over HTTP on a real PostgreSQL: a request that is repeated does nothing again, whatever happened to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.errors import DatabaseUnavailable
from goalstream.storage.cleaning import Cleaner
from goalstream.storage.goal_versions import insert_goal
from goalstream.storage.idempotency import claim
from goalstream.storage.pool import Database
from tests.conftest import JWT_SECRET
from tests.integration.serving import bearer

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000002"
WORKFLOW = "/api/v1/workflows/bbbbbbbb-0000-4000-8000-000000000001"
GOALS = f"{WORKFLOW}/goals"
TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}}
FORM = {"goal_type": "form_submitted", "criteria": {"form_id": "form-1"}}
KEY = {"Idempotency-Key": "first"}

ClientOf = Callable[[str], httpx.AsyncClient]


@pytest.fixture
def app(api_database: Database) -> FastAPI:
    return create_app(Settings.model_validate({"jwt_secret": JWT_SECRET}), api_database)


@pytest.fixture
async def client_of(app: FastAPI) -> AsyncIterator[ClientOf]:
    """Makes clients of an account, which see an error of ours as a client would."""
    made = []

    def make(account_id: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = bearer(account_id)
        made.append(httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def client(client_of: ClientOf) -> httpx.AsyncClient:
    return client_of(ACCOUNT)


async def goals(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(GOALS)).json()["goals"]
    return found


async def test_a_repetition_gets_the_first_answer_and_does_nothing(client: httpx.AsyncClient) -> None:
    first = await client.post(GOALS, json=TAG, headers=KEY)
    again = await client.post(GOALS, json=TAG, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers.pop("idempotency-replayed") == "true"
    assert again.headers.pop("x-request-id") != first.headers.pop("x-request-id")
    assert again.headers == first.headers
    assert {"location", "etag", "effective-from"} <= set(first.headers)
    assert [goal["id"] for goal in await goals(client)] == [first.json()["id"]]


async def test_without_a_key_each_request_is_a_new_one(client: httpx.AsyncClient) -> None:
    assert (await client.post(GOALS, json=TAG)).status_code == 201
    assert (await client.post(GOALS, json=TAG)).json()["error"] == "duplicate_goal"


async def test_a_refusal_is_an_answer_as_well(client: httpx.AsyncClient) -> None:
    await client.post(GOALS, json=TAG)
    refused = await client.post(GOALS, json=TAG, headers=KEY)
    assert refused.status_code == 409
    (goal,) = await goals(client)
    await client.delete(f"{GOALS}/{goal['id']}")
    again = await client.post(GOALS, json=TAG, headers=KEY)
    assert (again.status_code, again.content) == (409, refused.content)
    assert again.headers["content-type"] == "application/problem+json"
    assert await goals(client) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (GOALS, FORM),
        ("/api/v1/workflows/bbbbbbbb-0000-4000-8000-000000000002/goals", TAG),
        (f"{WORKFLOW}/activation-check", TAG),
    ],
    ids=["body", "workflow", "operation"],
)
async def test_a_key_stands_for_one_request(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    await client.post(GOALS, json=TAG, headers=KEY)
    other = await client.post(path, json=body, headers=KEY)
    assert (other.status_code, other.json()["error"]) == (422, "idempotency_conflict")
    assert other.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    assert len(await goals(client)) == 1


async def test_each_account_has_its_own_keys(client_of: ClientOf) -> None:
    mine, theirs = client_of(ACCOUNT), client_of(OTHER_ACCOUNT)
    first = await mine.post(GOALS, json=TAG, headers=KEY)
    other = await theirs.post(GOALS, json=FORM, headers=KEY)
    assert first.status_code == other.status_code == 201
    assert "idempotency-replayed" not in other.headers


@pytest.mark.parametrize("key", ["", " ", "a\x7f", "schön", "a" * 256], ids=["empty", "space", "control", "ü", "long"])
async def test_a_key_is_printable_text(client: httpx.AsyncClient, key: str) -> None:
    refused = await client.post(GOALS, json=TAG, headers={b"Idempotency-Key": key.encode()})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    assert await goals(client) == []


async def test_while_the_first_request_runs_a_second_is_told_so(
    client: httpx.AsyncClient, api_database: Database
) -> None:
    async with api_database.transaction(ACCOUNT) as connection:
        assert await claim(connection, ACCOUNT, KEY["Idempotency-Key"])
        refused = await client.post(GOALS, json=TAG, headers=KEY)
    assert (refused.status_code, refused.json()["error"]) == (409, "idempotency_conflict")
    assert refused.headers["retry-after"] == "1"
    assert (await client.post(GOALS, json=TAG, headers=KEY)).status_code == 201


async def test_of_many_at_once_one_does_it(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post(GOALS, json=TAG, headers=KEY) for _ in range(12)))
    created = [answer for answer in answers if answer.status_code == 201]
    assert created
    assert {answer.json()["id"] for answer in created} == {goal["id"] for goal in await goals(client)}
    refused = [answer.json()["error"] for answer in answers if answer.status_code != 201]
    assert set(refused) <= {"idempotency_conflict"}


@pytest.mark.parametrize(
    "error",
    [DatabaseUnavailable("gone"), asyncpg.ReadOnlySQLTransactionError("no primary"), RuntimeError("a defect")],
    ids=["away", "read only", "defect"],
)
async def test_what_could_not_be_decided_is_undone_and_may_be_asked_again(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def insert_and_fail(*values: Any) -> None:
        await insert_goal(*values)
        raise error

    monkeypatch.setattr("goalstream.storage.goals.insert_goal", insert_and_fail)
    failed = await client.post(GOALS, json=TAG, headers=KEY)
    assert failed.status_code == (500 if isinstance(error, RuntimeError) else 503)
    monkeypatch.undo()
    assert await goals(client) == []
    assert (await client.post(GOALS, json=TAG, headers=KEY)).status_code == 201


async def test_a_check_is_answered_as_before(client: httpx.AsyncClient) -> None:
    check = f"{WORKFLOW}/activation-check"
    first = await client.post(check, headers=KEY)
    await client.post(GOALS, json=TAG)
    assert (await client.post(check, headers=KEY)).json() == first.json() == {"valid": True, "goals": 0}
    assert (await client.post(check)).json() == {"valid": True, "goals": 1}


@pytest.mark.parametrize(("age", "is_kept"), [(timedelta(hours=23), True), (timedelta(hours=25), False)])
async def test_answers_are_kept_for_a_day(
    client: httpx.AsyncClient, database: Database, age: timedelta, is_kept: bool
) -> None:
    first = await client.post(GOALS, json=TAG, headers=KEY)
    async with database.transaction() as connection:
        now = await connection.fetchval(
            "update idempotency_keys set answered_at = answered_at - $1::interval returning clock_timestamp()", age
        )
    answer = await client.post(GOALS, json=TAG if is_kept else FORM, headers=KEY)
    assert (answer.json()["id"] == first.json()["id"]) is is_kept
    async with database.transaction() as connection:
        await connection.execute("update idempotency_keys set answered_at = $1", now - age)
    assert await Cleaner(database).delete_answers(now) == (0 if is_kept else 1)

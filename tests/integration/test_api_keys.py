"""API keys: what they open, until when, and what is kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from goalstream.api import gate
from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.domain.access import ApiKey, Scope, make_api_key
from goalstream.errors import DatabaseUnavailable
from goalstream.storage.api_keys import KeyBook, State, look_up, note_use
from goalstream.storage.codecs import decode_json
from goalstream.storage.pool import Database
from tests.conftest import JWT_SECRET
from tests.integration.builders import new_id

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000002"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
GOALS = f"/api/v1/workflows/{WORKFLOW}/goals"
TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}}
BOTH = (Scope.GOALS_READ, Scope.GOALS_WRITE)


@pytest.fixture
def book(database: Database) -> KeyBook:
    return KeyBook(database)


@pytest.fixture
async def client(api_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings.model_validate({"jwt_secret": JWT_SECRET}), api_database)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as found:
        yield found
    await app.state.gate.close()


async def made(book: KeyBook, account_id: str = ACCOUNT, *, scopes: Sequence[Scope] = BOTH, **values: Any) -> ApiKey:
    given: dict[str, Any] = {"name": "the import", "expires_in": None, "actor": "ada"} | values
    key, _ = await book.create(account_id, scopes=scopes, **given)
    return key


def bearer(key: ApiKey | str) -> dict[str, str]:
    return {"authorization": f"Bearer {key if isinstance(key, str) else key.text}"}


async def refusal(client: httpx.AsyncClient, key: ApiKey | str) -> str:
    """Why a key is refused: as an invalid token, by a text that does not repeat it."""
    response = await client.get(GOALS, headers=bearer(key))
    assert (response.status_code, response.json()["error"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    message: str = response.json()["message"]
    assert str(key if isinstance(key, str) else key.text) not in response.text
    return message


async def rows(database: Database, query: str, *values: Any) -> list[dict[str, Any]]:
    async with database.transaction() as connection:
        return [dict(row) for row in await connection.fetch(query, *values)]


async def test_a_key_opens_its_own_account_and_signs_what_it_does(
    client: httpx.AsyncClient, book: KeyBook, database: Database
) -> None:
    key = await made(book)
    created = await client.post(GOALS, json=TAG, headers=bearer(key))
    assert (created.status_code, created.json()["account_id"]) == (201, ACCOUNT)
    assert created.json()["created_by"] == f"api-key:{key.key_id}"
    assert (await client.get(GOALS, headers=bearer(key))).json()["total"] == 1
    other = await made(book, OTHER_ACCOUNT)
    assert (await client.get(GOALS, headers=bearer(other))).json()["total"] == 0
    (entry,) = await rows(database, "select actor from audit where action = 'goal_created'")
    assert entry["actor"] == f"api-key:{key.key_id}"


async def test_a_key_may_do_what_its_scopes_say(client: httpx.AsyncClient, book: KeyBook) -> None:
    reader = await made(book, scopes=[Scope.GOALS_READ])
    assert (await client.get(GOALS, headers=bearer(reader))).status_code == 200
    refused = await client.post(GOALS, json=TAG, headers=bearer(reader))
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="goals:write"'
    operator = await made(book, scopes=[Scope.OPERATOR])
    assert (await client.get(GOALS, headers=bearer(operator))).status_code == 403


async def test_a_revoked_key_opens_nothing_from_then_on(client: httpx.AsyncClient, book: KeyBook) -> None:
    key, other = await made(book), await made(book)
    assert (await client.get(GOALS, headers=bearer(key))).status_code == 200
    await book.revoke(key.key_id, actor="grace")
    assert "revoked" in await refusal(client, key)
    assert (await client.get(GOALS, headers=bearer(other))).status_code == 200


async def test_an_expired_key_opens_nothing(client: httpx.AsyncClient, book: KeyBook, database: Database) -> None:
    key = await made(book, expires_in=timedelta(hours=1))
    assert (await client.get(GOALS, headers=bearer(key))).status_code == 200
    async with database.transaction() as connection:
        await connection.execute("update api_keys set expires_at = clock_timestamp()")
    assert "expired" in await refusal(client, key)
    assert [record.state for record in await book.keys()] == [State.EXPIRED]


async def test_a_key_with_anything_changed_is_no_key(client: httpx.AsyncClient, book: KeyBook) -> None:
    key, other = await made(book), await made(book, OTHER_ACCOUNT)
    _, account, key_id, secret = key.text.split("_", 3)
    _, other_account, other_key_id, other_secret = other.text.split("_", 3)
    for parts in (
        (other_account, key_id, secret),
        (account, other_key_id, secret),
        (account, key_id, other_secret),
        (other_account, other_key_id, secret),
        (other_account, key_id, other_secret),
        (account, key_id, secret[:-1] + ("A" if secret[-1] != "A" else "B")),
        (account, key_id, secret.swapcase()),
        (account, key_id, secret[:-1]),
        (account.upper(), key_id.upper(), secret),
        (new_id().replace("-", ""), key_id, secret),
        (account, new_id().replace("-", ""), secret),
        (account, key_id, ""),
    ):
        assert "no API key" in await refusal(client, "_".join(("gs", *parts)))


async def test_the_same_key_id_in_two_accounts_is_two_keys(
    client: httpx.AsyncClient, book: KeyBook, database: Database
) -> None:
    key = await made(book)
    twin = make_api_key(OTHER_ACCOUNT, key.key_id, key.text.split("_", 3)[3])
    assert "no API key" in await refusal(client, twin)
    async with database.transaction() as connection:
        await connection.execute(
            """insert into api_keys (account_id, key_id, digest, name, scopes, created_at, created_by)
               values ($1, $2, $3, 'twin', array['goals:read'], now(), 'eve')""",
            OTHER_ACCOUNT,
            twin.key_id,
            twin.digest,
        )
    await client.post(GOALS, json=TAG, headers=bearer(key))
    assert (await client.get(GOALS, headers=bearer(twin))).json()["total"] == 0
    assert (await client.get(GOALS, headers=bearer(key))).json()["total"] == 1
    assert (await client.post(GOALS, json=TAG, headers=bearer(twin))).status_code == 403


async def test_nothing_that_is_kept_tells_a_key(book: KeyBook, database: Database) -> None:
    key = await made(book)
    await book.revoke(key.key_id, actor="grace")
    secret = key.text.split("_", 3)[3]
    kept = [*await rows(database, "select * from api_keys"), *await rows(database, "select * from audit")]
    assert len(kept) == 3
    assert secret not in str(kept)
    assert all(secret not in str(record) for record in await book.keys())


async def test_making_and_revoking_a_key_leave_audit_rows(book: KeyBook, database: Database) -> None:
    key = await made(book, scopes=[Scope.GOALS_READ], name="reports", expires_in=timedelta(days=1))
    await book.revoke(key.key_id, actor="grace")
    await book.revoke(key.key_id, actor="heidi")
    created, revoked = await rows(database, "select * from audit order by entry_id")
    assert [(row["actor"], row["action"]) for row in (created, revoked)] == [
        ("ada", "api_key_created"),
        ("grace", "api_key_revoked"),
    ]
    assert {str(row["account_id"]) for row in (created, revoked)} == {ACCOUNT}
    assert (created["before"], created["workflow_id"]) == (None, None)
    after = decode_json(created["after"])
    assert (after["key_id"], after["name"], after["scopes"]) == (key.key_id, "reports", ["goals:read"])
    assert decode_json(revoked["before"])["state"] == "active"
    assert (decode_json(revoked["after"])["state"], decode_json(revoked["after"])["revoked_by"]) == ("revoked", "grace")


async def test_of_two_who_revoke_a_key_at_once_one_does(book: KeyBook, database: Database) -> None:
    key = await made(book)
    records = await asyncio.gather(*(book.revoke(key.key_id, actor=f"actor {number}") for number in range(5)))
    assert len({record.revoked_by for record in records if record is not None}) == 1
    assert len(await rows(database, "select * from audit where action = 'api_key_revoked'")) == 1


async def test_a_key_that_never_was_cannot_be_revoked(book: KeyBook, database: Database) -> None:
    assert await book.revoke(new_id(), actor="grace") is None
    assert await rows(database, "select * from audit") == []


async def test_keys_are_listed_by_account_the_oldest_first(book: KeyBook) -> None:
    names = [("first", ACCOUNT), ("second", OTHER_ACCOUNT), ("third", ACCOUNT)]
    for name, account in names:
        await made(book, account, name=name)
    assert [record.name for record in await book.keys()] == ["first", "second", "third"]
    assert [record.name for record in await book.keys(ACCOUNT)] == ["first", "third"]
    assert await book.keys(new_id()) == []


async def test_a_key_is_looked_up_by_its_own_account_alone(book: KeyBook, api_database: Database) -> None:
    key = await made(book, expires_in=timedelta(days=30))
    known = await look_up(api_database, key)
    assert known is not None
    assert (known.record.state, known.record.scopes, known.is_use_due) == (State.ACTIVE, tuple(BOTH), True)
    assert known.record.expires_at is not None
    assert known.record.expires_at - known.record.created_at == timedelta(days=30)
    assert await look_up(api_database, make_api_key(OTHER_ACCOUNT, key.key_id, key.text.split("_", 3)[3])) is None


async def last_used(database: Database) -> datetime | None:
    (row,) = await rows(database, "select last_used_at from api_keys")
    found: datetime | None = row["last_used_at"]
    return found


async def test_the_last_use_is_noted_to_the_minute(
    client: httpx.AsyncClient, book: KeyBook, database: Database, api_database: Database
) -> None:
    key = await made(book)
    assert await last_used(database) is None
    await asyncio.gather(*(client.get(GOALS, headers=bearer(key)) for _ in range(10)))
    async with asyncio.timeout(20):
        while (first := await last_used(database)) is None:  # noqa: ASYNC110 - noted beside the request
            await asyncio.sleep(0.01)
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
    known = await look_up(api_database, key)
    assert known is not None
    assert not known.is_use_due
    await note_use(api_database, key)
    assert await last_used(database) == first
    async with database.transaction() as connection:
        await connection.execute("update api_keys set last_used_at = last_used_at - interval '61 s'")
    await note_use(api_database, key)
    assert (await last_used(database) or first) > first


async def test_a_use_that_is_refused_is_none(client: httpx.AsyncClient, book: KeyBook, database: Database) -> None:
    key = await made(book)
    await refusal(client, make_api_key(ACCOUNT, key.key_id, "x" * 43).text)
    await book.revoke(key.key_id, actor="grace")
    await refusal(client, key)
    assert await last_used(database) is None


async def test_a_request_neither_waits_for_the_note_nor_fails_with_it(
    client: httpx.AsyncClient, book: KeyBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting, let_go = asyncio.Event(), asyncio.Event()

    async def note_use(_: Database, key: ApiKey) -> None:
        noting.set()
        await let_go.wait()
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(gate, "note_use", note_use)
    key = await made(book)
    with capture_logs() as lines:
        for _ in range(3):
            assert (await client.get(GOALS, headers=bearer(key))).status_code == 200
        assert noting.is_set()
        let_go.set()
        async with asyncio.timeout(20):
            while not (told := [line["event"] for line in lines if line["event"] != "request"]):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    assert told == ["use_of_key_not_noted"]
    assert key.text not in str(lines)

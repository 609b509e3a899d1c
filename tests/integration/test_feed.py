"""The feed: nothing is missed, whatever is committed when; it ends when it must, and nobody else sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from goalstream.api import feed
from goalstream.domain.access import Scope
from goalstream.storage.api_keys import KeyBook
from goalstream.storage.feed import FIRST_ENTRIES, Feed, FeedFilter
from goalstream.storage.pool import Connection, Database
from tests.acceptance.crm import eventually
from tests.integration.builders import World, new_id
from tests.integration.serving import PATIENCE_SECONDS, bearer, serving, settings_of, until_ready

INSERT = """
insert into audit (account_id, at, actor, action, workflow_id, goal_id, version, enrollment_id, contact_id, after)
values ($1, clock_timestamp(), 'goalstream', $2, $3, $4, 1, $5, $6, '{"revision": 1, "event_id": "e"}')
returning entry_id
"""


async def decide(connection: Connection, world: World, action: str = "achieved", **ids: str) -> int:
    """An entry as a settlement writes it."""
    found: int = await connection.fetchval(
        INSERT,
        world.account_id,
        action,
        ids.get("workflow_id", world.workflow_id),
        ids.get("goal_id", new_id()),
        new_id(),
        ids.get("contact_id", world.contact_id),
    )
    return found


def reader(database: Database, world: World, after: int | None = None, wanted: FeedFilter | None = None) -> Feed:
    return Feed(database=database, account_id=world.account_id, wanted=wanted or FeedFilter(), after=after)


async def told(one: Feed) -> list[int]:
    return [entry["entry_id"] for entry in (await one.look()).entries]


async def place_of(one: Feed) -> int:
    """Where to go on; 0 as long as it is not known that nothing can appear before it."""
    return (await one.look()).resume_after


async def resumes_after(one: Feed, entry_id: int) -> bool:
    return (await one.look()).resume_after == entry_id


async def test_what_is_committed_later_with_a_smaller_number_is_told_once(
    database: Database, api_database: Database
) -> None:
    world = World(database)
    one = reader(api_database, world, after=0)
    async with database.transaction() as slow:
        late = await decide(slow, world)
        async with database.transaction() as connection:
            early = await decide(connection, world)
        news = await one.look()
        assert [entry["entry_id"] for entry in news.entries] == [early]
        assert news.resume_after < late < early
        assert await told(one) == []
    assert await told(one) == [late]
    await eventually(lambda: resumes_after(one, early))  # other transactions of the server end as well
    assert await told(reader(api_database, world, after=news.resume_after)) == [late, early]


async def test_after_a_break_everything_since_comes_and_nothing_from_before(
    database: Database, api_database: Database
) -> None:
    world = World(database)
    async with database.transaction() as connection:
        await decide(connection, world)
    one = reader(api_database, world, after=0)
    await one.look()
    resume_after = await eventually(lambda: place_of(one))
    async with database.transaction() as connection:
        new = [await decide(connection, world) for _ in range(3)]
    assert await told(reader(api_database, world, after=resume_after)) == new


async def test_of_too_much_at_once_the_newest_are_shown_and_the_rest_is_counted(
    database: Database, api_database: Database
) -> None:
    world = World(database)
    one = reader(api_database, world, after=0)
    one.most_entries = 10
    await one.look()
    async with database.transaction() as connection:
        new = [await decide(connection, world) for _ in range(25)]
    news = await one.look()
    assert ([entry["entry_id"] for entry in news.entries], news.skipped) == (new[-10:], 15)
    news = await one.look()
    assert (news.entries, news.skipped) == ([], 0)


async def test_whoever_opens_it_sees_what_was_there(database: Database, api_database: Database) -> None:
    world = World(database)
    async with database.transaction() as connection:
        there = [await decide(connection, world) for _ in range(FIRST_ENTRIES + 5)]
    one = reader(api_database, world)
    news = await one.look()
    assert ([entry["entry_id"] for entry in news.entries], news.skipped) == (there[5:], 0)
    assert await told(one) == []


async def test_it_is_filtered(database: Database, api_database: Database) -> None:
    world, ids = World(database), {"workflow_id": new_id(), "goal_id": new_id(), "contact_id": new_id()}
    async with database.transaction() as connection:
        wanted = {name: await decide(connection, world, **{name: value}) for name, value in ids.items()}
        revoked = await decide(connection, world, "revoked")
    for name, entry_id in wanted.items():
        assert await told(reader(api_database, world, wanted=FeedFilter(**{name: ids[name]}))) == [entry_id]
    assert await told(reader(api_database, world, wanted=FeedFilter(actions=["revoked", "moved"]))) == [revoked]


async def test_an_achievement_and_a_changed_goal_are_told_as_they_are(
    database: Database, api_database: Database
) -> None:
    world = World(database)
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal, event_id="evt-1"))
    created, achieved = (await reader(api_database, world).look()).entries
    assert (created["action"], created["actor"], created["after"]["criteria"]) == (
        "goal_created",
        "test",
        {"tag_name": "tag-0"},
    )
    assert (achieved["action"], achieved["event_id"], achieved["revision"]) == ("achieved", "evt-1", 1)
    assert (achieved["contact_id"], achieved["enrollment_id"]) == (world.contact_id, world.enrollment_id)
    assert (achieved["before"], achieved["after"]) == (None, None)


# Over real connections.


@pytest.fixture
async def client(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(feed, "ADMIT_SECONDS", 0.2)
    async with serving(settings_of(database_url)) as (found, _):
        await until_ready(found, lambda response: response.is_success)
        yield found


@asynccontextmanager
async def following(
    client: httpx.AsyncClient, **headers: str
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    """The events of a stream: the id, and what it tells."""
    async with client.stream("GET", "/api/v1/feed", headers=headers) as response, asyncio.timeout(PATIENCE_SECONDS):
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    last_id = ""
    async for line in response.aiter_lines():
        if line.startswith("id: "):
            last_id = line[4:]
        elif line.startswith("data: "):
            yield last_id, json.loads(line[6:])


async def test_a_stream_tells_what_happens_and_goes_on_where_it_was_cut(
    client: httpx.AsyncClient, database: Database
) -> None:
    world = World(database)
    headers = bearer(world.account_id)
    async with following(client, **headers) as events:
        for number in range(3):
            async with database.transaction() as connection:
                entry_id = await decide(connection, world)
            last_id, entry = await anext(events)
            assert (entry["entry_id"], entry["action"]) == (entry_id, "achieved"), number
    async with database.transaction() as connection:
        missed = await decide(connection, world)
    async with following(client, **headers, **{"last-event-id": last_id}) as events:
        async for _, entry in events:
            if entry["entry_id"] == missed:
                break


async def test_a_stream_ends_when_its_key_is_revoked(client: httpx.AsyncClient, database: Database) -> None:
    world, book = World(database), KeyBook(database)
    key, _ = await book.create(world.account_id, name="page", scopes=[Scope.GOALS_READ], expires_in=None, actor="ada")
    async with following(client, authorization=f"Bearer {key.text}") as events:
        await book.revoke(key.key_id, actor="ada")
        assert [entry async for entry in events] == []


async def test_streams_end_when_the_api_stops(database_url: str, database: Database) -> None:
    async with serving(settings_of(database_url)) as (client, task):
        await until_ready(client, lambda response: response.is_success)
        async with following(client) as events:
            task.cancel()
            assert [entry async for entry in events] == []
        await asyncio.wait([task])


async def test_an_account_has_so_many_streams_and_no_more(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_OF_ACCOUNT", 1)
    async with following(client):
        refused = await client.get("/api/v1/feed")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        async with following(client, **bearer(new_id())):
            monkeypatch.setattr(feed, "MOST_OF_PROCESS", 2)
            assert (await client.get("/api/v1/feed", headers=bearer(new_id()))).status_code == 503
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:  # the server hears of the end a moment later
            async with client.stream("GET", "/api/v1/feed") as response:
                if response.is_success:
                    break


async def test_whoever_leaves_while_it_looks_cuts_no_transaction(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed, "MOST_OF_ACCOUNT", 1)
    async with database.transaction() as connection:
        await connection.execute("lock table audit")
        async with following(client):

            async def looks() -> bool:
                return bool(await connection.fetchval("select exists (select from pg_locks where not granted)"))

            await eventually(looks)

        async def has_left() -> bool:
            async with client.stream("GET", "/api/v1/feed") as response:
                return response.is_success

        await eventually(has_left)
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_what_is_no_place_in_a_feed_is_refused(client: httpx.AsyncClient) -> None:
    for text in ("x", "-1", "1" * 19):
        refused = await client.get("/api/v1/feed", headers={"last-event-id": text})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/header/Last-Event-ID")
    refused = await client.get("/api/v1/feed?goal_id=7")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/goal_id")


async def test_it_goes_on_after_postgresql_was_away(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(database)
    async with following(client, **bearer(world.account_id)) as events:
        async with database.transaction() as connection:
            await decide(connection, world)
        await anext(events)
        async with database.transaction() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                " and datname = current_database()"
            )
        async with database.transaction() as connection:
            entry_id = await decide(connection, world)
        assert (await anext(events))[1]["entry_id"] == entry_id

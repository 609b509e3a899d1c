"""Whole histories, and why: the verdicts that are shown are the walk's own, on every match once for each enrollment."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from goalstream.storage.contacts import read_families
from goalstream.storage.pool import Database
from goalstream.storage.why import Key, explanation, timeline
from tests.integration.builders import World, put_goal_versions
from tests.integration.test_histories import EXAMPLES, LATENESS, SIZES, Worker, tell, worlds
from tests.oracle import generator, oracle

__all__ = ["worlds"]

Shown = tuple[str, str | None, str, str, str, datetime]
"""Account, enrollment, goal, source, event id, and when it occurred."""


async def asked(database: Database) -> list[tuple[str, str, list[str]]]:
    """Every id that matched anything, with its account and the account's goals."""
    async with database.transaction() as connection:
        rows = await connection.fetch(
            """select account_id::text, contact_id::text, array_agg(distinct goals.goal_id::text)
                 from matches join goals using (account_id) group by account_id, contact_id"""
        )
    return [(account_id, contact_id, goal_ids) for account_id, contact_id, goal_ids in rows]


async def explained(
    database: Database, account_id: str, contact_id: str, goal_ids: list[str]
) -> list[tuple[Shown, dict[str, Any]]]:
    """What is shown of a contact, goal by goal; it is what the timeline shows, page by page."""
    found = []
    for goal_id in goal_ids:
        page = await explanation(
            database, account_id, contact_id, goal_id, allowed_lateness=LATENESS, limit=1_000, after=None
        )
        assert page.end is None
        found += [(place_of(account_id, goal_id, entry), entry) for entry in page.entries]
    events: list[tuple[Shown, dict[str, Any]]] = []
    after: Key | None = None
    while True:
        told = await timeline(database, account_id, contact_id, None, allowed_lateness=LATENESS, limit=7, after=after)
        events += [(place_of(account_id, one["goal_id"], one), one) for one in told.entries if one["kind"] == "event"]
        after = told.end
        if after is None:
            break
    shown = [(place, one["verdict"], one["got"], one["text"]) for place, one in found]
    assert sorted(shown, key=repr) == sorted(
        [(place, one["verdict"], one["got"], one["text"]) for place, one in events], key=repr
    )
    return found


def place_of(account_id: str, goal_id: str, entry: dict[str, Any]) -> Shown:
    event = entry["event"]
    return account_id, entry["enrollment_id"], goal_id, event["source"], event["event_id"], event["occurred_at"]


async def expected(database: Database, account_id: str, contact_id: str) -> Counter[Shown]:
    """Each stored match of the person, once for every enrollment that a start in its workflow gives to the person."""
    async with database.transaction() as connection:
        families = await read_families(connection, [(account_id, contact_id)])
        rows = await connection.fetch(
            """select distinct account_id::text, started.enrollment_id::text, goal_id::text, source, event_id, occurred_at,
                      contact_id
                 from matches left join lateral (
                      select enrollment_id from enrollment_starts as told
                       where told.account_id = matches.account_id and told.contact_id = any($2)
                         and told.workflow_id = matches.workflow_id) as started on true
                where account_id = $1 and contact_id = any($2)""",
            account_id,
            sorted(families.same_person((account_id, contact_id))),
        )
    return Counter(tuple(row)[:-1] for row in rows)


@pytest.mark.parametrize("seed", range(1, EXAMPLES, max(1, EXAMPLES // 12)))
async def test_every_verdict_that_is_shown_is_the_walks(worlds: list[Database], seed: int) -> None:
    database, world = worlds[0], World(worlds[0])
    told = generator.history(seed, SIZES[seed % len(SIZES)], now=datetime.now(UTC), references=False)
    await put_goal_versions(database, told.goal_versions)
    await tell([Worker(one) for one in worlds], told.records, Random(seed))

    wanted: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for (account_id, enrollment_id), walk in oracle.walks(told, LATENESS).items():
        for match, verdict in walk.verdicts:
            if match.version is not None:
                judged = (account_id, enrollment_id, match.goal_id, match.source, match.event_id, match.occurred_at)
                wanted[judged].add(verdict)

    achieved = set()
    for account_id, contact_id, goal_ids in await asked(database):
        shown: Counter[Shown] = Counter()
        for place, entry in await explained(database, account_id, contact_id, goal_ids):
            shown[place] += 1
            verdict = "already_satisfied" if entry["verdict"] == "superseded" else entry["verdict"]
            assert verdict in (["no_enrollment"] if entry["enrollment_id"] is None else wanted[place]), entry["text"]
            if verdict == "achieved":
                achieved.add(place)
                assert entry["achievement"]["revoked_at"] is None
            else:
                assert entry["got"]
        stored = await expected(database, account_id, contact_id)
        assert stored - shown == Counter()
        assert await taken_away(database, shown - stored) == shown - stored

    rows = await world.rows(
        """select account_id::text, enrollment_id::text, goal_id::text, source, event_id, achieved_at
             from achievements where revoked_at is null"""
    )
    assert achieved == {tuple(row.values()) for row in rows}


async def taken_away(database: Database, shown: Counter[Shown]) -> Counter[Shown]:
    """Those by which an enrollment had achieved a goal until its event turned out to be another contact's."""
    async with database.transaction() as connection:
        rows = await connection.fetch(
            """select account_id::text, enrollment_id::text, goal_id::text, source, event_id, achieved_at
                 from achievements where revoked_at is not null"""
        )
    return Counter(place for place in map(tuple, rows) if place in shown)

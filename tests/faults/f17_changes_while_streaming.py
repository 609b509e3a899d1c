"""F17: goals change 20 times a second while events stream to two workers, whose caches lag.

A few accounts at a time are hot: all changes and events are theirs, so that events fall close to changes.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import NAMESPACE_URL, UUID, uuid5

from goalstream.storage.pool import Database
from tests.faults import evidence
from tests.faults.busy_accounts import Changer, Crowd, status
from tests.faults.evidence import CONFIGURED
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.faults.topics import Arrivals
from tests.oracle.history import GoalVersion

SECONDS = {Size.CI: 10, Size.FULL: 600}
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 300}
DELAYS_SECONDS = (2.0, 0.0)
WORKERS = 2
CHANGES_PER_SECOND = 20
EVENTS_PER_SECOND = 300
HOT_ACCOUNTS = 3
HOT_SECONDS = 5.0
STILL_EVENTS_SECONDS = 3.0
"""Events go on in accounts whose last changes have still to take effect."""

TICK_SECONDS = 0.005
CLOSE = timedelta(milliseconds=20)
"""How near to a change an event is counted as close."""

CONFIGURED_WITHIN_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Told:
    """What was told, to see how sharp the run was."""

    events: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """By account, when they occurred."""

    changes: int = 0
    refused: int = 0


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    outcome = Outcome()
    for delay in DELAYS_SECONDS:
        async with stage(ground, f"delay-{delay:.0f}", activation_delay_seconds=str(delay)) as here:
            await _run_with_delay(outcome, here, delay, size, Random(f"{seed} {delay}"))
    return outcome


async def _run_with_delay(outcome: Outcome, here: Stage, delay: float, size: Size, chance: Random) -> None:
    await here.start_workers(WORKERS)
    accounts = hot_accounts(SECONDS[size], chance)
    await here.tell([(status(chance, account_id), chance.randrange(PARTITIONS)) for account_id in accounts])
    with Arrivals(here.topics, CONFIGURED, time.time) as arrivals:
        told = await change_and_stream(here, accounts, delay, SECONDS[size], chance)
        await here.quiesce(QUIET_SECONDS[size])
        await asyncio.sleep(1)  # what the brokers have acknowledged arrives within milliseconds
        first = dict(arrivals.first)
    outcome.findings.add(await here.judge())
    outcome.findings.add(await here.stop_workers())
    versions = await evidence.goal_versions(here.database)
    slowest = await _judge_configured(outcome.findings, here, versions, first)
    seen = await evidence.tables(here.database)
    label = f"delay_{delay:.0f}"
    outcome.figures |= {
        f"{label}_versions": len(versions),
        f"{label}_changes_refused": told.refused,
        f"{label}_events": sum(map(len, told.events.values())),
        f"{label}_events_close_to_a_change": _close(told.events, versions),
        f"{label}_rows": len(seen.rows),
        f"{label}_configured_max_seconds": slowest,
    }


def hot_accounts(seconds: float, chance: Random) -> list[str]:
    """Enough for so many seconds, in the order in which they are hot."""
    count = (int(seconds // HOT_SECONDS) + 1) * HOT_ACCOUNTS
    return [str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(count)]


async def change_and_stream(here: Stage, accounts: Sequence[str], delay: float, seconds: float, chance: Random) -> Told:
    """Both at their rates, until the time is over."""
    told = Told()
    database = Database(here.database_url, size=4)
    began = time.monotonic()

    def hot(earlier: float = 0) -> str:
        number = int(max(time.monotonic() - began - earlier, 0) // HOT_SECONDS)
        return accounts[min(number * HOT_ACCOUNTS + chance.randrange(HOT_ACCOUNTS), len(accounts) - 1)]

    async def change() -> None:
        changer = Changer(database, timedelta(seconds=delay), chance)
        done = 0
        while (gone := time.monotonic() - began) < seconds:
            here.show("changing and streaming", gone, seconds)
            while done < gone * CHANGES_PER_SECOND:
                done += 1
                told.refused += await changer.change(hot())
            await asyncio.sleep(TICK_SECONDS)
        told.changes = done

    async def stream() -> None:
        crowd = Crowd(chance)
        done = 0
        while (gone := time.monotonic() - began) < seconds:
            while done < gone * EVENTS_PER_SECOND:
                done += 1
                account_id = hot(chance.choice([0, chance.uniform(0, STILL_EVENTS_SECONDS)]))
                now = datetime.now(UTC)
                told.events[account_id].append(now)
                for record in crowd.event(account_id, now):
                    here.topics.send(record, chance.randrange(PARTITIONS))
            await asyncio.sleep(TICK_SECONDS)
        await asyncio.to_thread(here.topics.flush)

    try:
        await asyncio.gather(change(), stream())
    finally:
        await database.close()
    here.note("streamed", changes=told.changes, refused=told.refused, events=sum(map(len, told.events.values())))
    return told


async def _judge_configured(
    findings: Findings, here: Stage, versions: Sequence[GoalVersion], arrived: Mapping[str, float]
) -> float:
    """Every version was announced, as it is, and in time; returns the longest time from its writing in seconds."""
    announced = evidence.messages(await asyncio.to_thread(here.topics.read, [CONFIGURED]))
    by_id = {message.message_id: message for message in announced}
    async with here.database.transaction() as connection:
        rows = await connection.fetch("select goal_id::text, version, written_at from goal_versions")
    written = {(row["goal_id"], row["version"]): row["written_at"].timestamp() for row in rows}
    slowest = 0.0
    for version in versions:
        name = f"version {version.version} of goal {version.goal_id}"
        message_id = str(uuid5(NAMESPACE_URL, f"goalstream:goal:{version.goal_id}:{version.version}"))
        message = by_id.pop(message_id, None)
        if message is None or message_id not in arrived:
            findings.lost.append(f"{name} was never announced")
            continue
        document = message.document()
        said = (document["version"], document["criteria"], document["is_active"], document.get("deleted", False))
        wanted = (version.version, dict(version.criteria), version.is_active, version.is_deleted)
        if said != wanted or (message.key, document["id"]) != (version.goal_id, version.goal_id):
            findings.wrong.append(f"{name} was announced as {said} under {message.key}, not {wanted}")
        slowest = max(slowest, arrived[message_id] - written[version.goal_id, version.version])
    findings.wrong += [f"no version has the id of the announcement {message.body!r}" for message in by_id.values()]
    if slowest > CONFIGURED_WITHIN_SECONDS:
        findings.limits_missed.append(f"a version was announced {slowest:.1f} s after it was written")
    return round(slowest, 2)


def _close(events: Mapping[str, Sequence[datetime]], versions: Sequence[GoalVersion]) -> int:
    """How many events occurred within 20 ms of a moment at which a version of their account took effect."""
    moments: dict[str, list[datetime]] = defaultdict(list)
    for version in versions:
        moments[version.account_id].append(version.effective_from)
    found = 0
    for account_id, occurred in events.items():
        known = sorted(moments[account_id])
        for moment in occurred:
            at = bisect_left(known, moment)
            found += any(abs(near - moment) <= CLOSE for near in known[max(at - 1, 0) : at + 1])
    return found


ROW = Row(
    fault="F17",
    title="goals change 20 times a second while events stream to two workers",
    run=run,
    full_only="changes have to go on for minutes before they meet anything",
)

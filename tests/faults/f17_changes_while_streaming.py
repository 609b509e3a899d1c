"""F17: goals change 20 times a second while events stream to two workers, whose caches lag.

A few accounts at a time are hot: all changes and events are theirs, so that events fall close to changes.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import NAMESPACE_URL, UUID, uuid5

from goalstream.domain.goals import Criteria, FormCriteria, GoalType, PurchaseCriteria, TagCriteria, parse_criteria
from goalstream.errors import DuplicateGoal, GoalLimitExceeded, GoalNotFound, Unavailable
from goalstream.storage.goals import GoalBook
from goalstream.storage.pool import Database
from tests.faults import evidence
from tests.faults.evidence import CONFIGURED
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.faults.topics import Arrivals
from tests.oracle.history import (
    ENROLLMENT_STARTED,
    FORM_SUBMITTED,
    PAYMENT_COMPLETED,
    STATUS_CHANGED,
    TAG_ADDED,
    Fact,
    GoalVersion,
    Record,
    milliseconds,
    on_the_wire,
)

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
MAX_GOALS = 3
ATTEMPTS = 20

TAGS, AMOUNTS, FORMS = ("Gold", "Silver"), ("50", "100.00"), ("form-1", "form-2")
PAID = (40, "50.00", 75, "99.99", 100, 120, "150.0", 200)
WINDOWS = (None, timedelta(minutes=90), timedelta(hours=3), timedelta(days=2))
"""Contacts entered one to four hours ago: some are beyond one window and within another."""


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
    accounts = [
        str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(_hot_sets(SECONDS[size]) * HOT_ACCOUNTS)
    ]
    await here.tell([(_status(chance, account_id), chance.randrange(PARTITIONS)) for account_id in accounts])
    with Arrivals(here.topics, CONFIGURED, time.time) as arrivals:
        told = await _change_and_stream(here, accounts, delay, SECONDS[size], chance)
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


def _hot_sets(seconds: float) -> int:
    return int(seconds // HOT_SECONDS) + 1


async def _change_and_stream(
    here: Stage, accounts: Sequence[str], delay: float, seconds: float, chance: Random
) -> Told:
    """Both at their rates, until the time is over."""
    told = Told()
    database = Database(here.database_url, size=4)
    began = time.monotonic()

    def hot(earlier: float = 0) -> str:
        number = int(max(time.monotonic() - began - earlier, 0) // HOT_SECONDS)
        return accounts[min(number * HOT_ACCOUNTS + chance.randrange(HOT_ACCOUNTS), len(accounts) - 1)]

    async def change() -> None:
        changer = _Changer(database, timedelta(seconds=delay), chance)
        done = 0
        while (gone := time.monotonic() - began) < seconds:
            here.show("changing and streaming", gone, seconds)
            while done < gone * CHANGES_PER_SECOND:
                done += 1
                told.refused += await changer.change(hot())
            await asyncio.sleep(TICK_SECONDS)
        told.changes = done

    async def stream() -> None:
        crowd = _Crowd(chance)
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


def _workflow(account_id: str) -> str:
    """The one workflow of an account."""
    return str(uuid5(NAMESPACE_URL, account_id))


def _status(chance: Random, account_id: str) -> Record:
    """The workflow has been active since yesterday, with either logic."""
    now = datetime.now(UTC)
    data = {"workflow_id": _workflow(account_id), "status": "active", "goal_logic": chance.choice(["any", "all"])}
    return _record(STATUS_CHANGED, account_id, "status-1", now - timedelta(days=1), now, data)


def _record(
    topic: str, account_id: str, event_id: str, moment: datetime, recorded: datetime, data: Mapping[str, object]
) -> Record:
    envelope = {"event_id": event_id, "account_id": account_id, "timestamp": moment.isoformat(), "data": data}
    return on_the_wire(Fact(topic=topic, timestamp=milliseconds(recorded), envelope=envelope))


class _Changer:
    """Somebody who cannot leave the goals alone."""

    def __init__(self, database: Database, delay: timedelta, chance: Random) -> None:
        self._database = database
        self._delay = delay
        self._chance = chance
        self._goals: dict[str, list[tuple[str, GoalType]]] = defaultdict(list)

    async def change(self, account_id: str) -> int:
        """One change that is accepted; returns how many were refused before."""
        book = GoalBook(
            self._database, account_id=account_id, activation_delay=self._delay, max_goals_per_workflow=MAX_GOALS
        )
        for refused in range(ATTEMPTS):
            with suppress(DuplicateGoal, GoalLimitExceeded, GoalNotFound, Unavailable):
                if await self._attempt(book, account_id):
                    return refused
        return ATTEMPTS

    async def _attempt(self, book: GoalBook, account_id: str) -> bool:
        """False when nothing would have changed."""
        chance, goals, workflow_id = self._chance, self._goals[account_id], _workflow(account_id)
        kind = chance.choice(["criteria"] * 4 + ["pause"] * 3 + ["window"] * 2 + ["after", "delete"])
        if len(goals) < chance.randint(1, MAX_GOALS):
            goal_type = chance.choice([GoalType.TAG_ADDED, GoalType.PURCHASE_MADE, GoalType.FORM_SUBMITTED])
            created = await book.create(
                workflow_id,
                goal_type=goal_type,
                criteria=_criteria(chance, goal_type),
                window=chance.choice(WINDOWS),
                measure_after_exit=timedelta(0),
                actor="fault",
            )
            goals.append((created.version.goal_id, goal_type))
            return True
        goal_id, goal_type = chance.choice(goals)
        if kind == "delete":
            await book.delete(workflow_id, goal_id, expected_version=None, actor="fault")
            goals.remove((goal_id, goal_type))
            return True
        before = (await book.get(workflow_id, goal_id)).version
        changes: dict[str, object] = {"is_active": not before.is_active}
        if kind == "criteria":
            changes = {"criteria": _criteria(chance, goal_type), "is_active": before.is_active or chance.random() < 0.5}
        elif kind == "window":
            changes = {"window": chance.choice(WINDOWS)}
        elif kind == "after":
            changes = {"measure_after_exit": timedelta(hours=chance.randrange(4))}
        after = await book.change(workflow_id, goal_id, changes, expected_version=before.version, actor="fault")
        return after.version.version > before.version


def _criteria(chance: Random, goal_type: GoalType) -> Criteria:
    match goal_type:
        case GoalType.TAG_ADDED:
            return TagCriteria(tag_name=chance.choice(TAGS))
        case GoalType.FORM_SUBMITTED:
            return FormCriteria(form_id=chance.choice(FORMS))
        case _:
            criteria = parse_criteria(GoalType.PURCHASE_MADE, {"min_amount": chance.choice(AMOUNTS)})
            assert isinstance(criteria, PurchaseCriteria)
            return criteria


class _Crowd:
    """Enrolled contacts who do things: mostly somebody new, so that most events decide something."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._contacts: dict[str, list[str]] = defaultdict(list)

    def event(self, account_id: str, now: datetime) -> list[Record]:
        """An event that occurs now; with somebody new the start of the enrollment, before or after it."""
        chance = self._chance
        known = self._contacts[account_id]
        is_new = not known or chance.random() < 0.7
        contact_id = self._uuid() if is_new else chance.choice(known[-20:])
        done: list[tuple[str, dict[str, object]]] = [
            (TAG_ADDED, {"tag_name": chance.choice(TAGS)}),
            (PAYMENT_COMPLETED, {"amount": chance.choice(PAID)}),
            (FORM_SUBMITTED, {"form_id": chance.choice(FORMS)}),
        ]
        topic, data = chance.choice(done)
        # A record's timestamp has no microseconds: half of the events occur a little after it, and are dated by it.
        recorded = now + timedelta(milliseconds=chance.choice([0, 1]))
        records = [_record(topic, account_id, self._uuid(), now, recorded, {"contact_id": contact_id, **data})]
        if is_new:
            known.append(contact_id)
            entered_at = now - timedelta(seconds=chance.uniform(3_600, 4 * 3_600))
            enrolled = {"enrollment_id": self._uuid(), "workflow_id": _workflow(account_id), "contact_id": contact_id}
            records.append(_record(ENROLLMENT_STARTED, account_id, self._uuid(), entered_at, now, enrolled))
            chance.shuffle(records)
        return records

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


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


ROW = Row(fault="F17", title="goals change 20 times a second while events stream to two workers", run=run)

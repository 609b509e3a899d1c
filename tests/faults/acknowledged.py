"""What is acknowledged to Kafka is in PostgreSQL: looked at whenever a worker has just been killed, not only at the end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from goalstream.storage.pool import Database
from tests.faults.judge import Findings
from tests.faults.stage import Stage
from tests.faults.topics import Partition, Stored
from tests.oracle.envelope import BadRecord
from tests.oracle.history import (
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    EVENT_TOPICS,
    STATUS_CHANGED,
    GoalVersion,
    Record,
)
from tests.oracle.matching import matches_of
from tests.oracle.reading import Told, read

Key = tuple[object, ...]
"""What tells a stored fact apart from others."""

_STORED = """
select 'match', account_id::text, contact_id::text, goal_id::text, occurred_at, source, event_id from matches
 union all
select 'start', account_id::text, enrollment_id::text, contact_id::text, entered_at, source, event_id from enrollment_starts
 union all
select 'end', account_id::text, enrollment_id::text, reason, ended_at, source, event_id from enrollment_ends
 union all
select 'status', account_id::text, workflow_id::text, status, occurred_at, source, event_id from workflow_statuses
 union all
select 'merge', account_id::text, contact_id::text, into_contact_id::text, occurred_at, source, event_id from contact_merges
 union all
select 'deletion', account_id::text, contact_id::text, null, occurred_at, source, event_id from contact_deletions
"""


async def look(
    stage: Stage, versions: Sequence[GoalVersion], *, excused: Callable[[Record], bool] = lambda _: False
) -> Findings:
    """Everything below the committed offsets beside what is stored.

    Only records that the fault itself makes dead letters are `excused`.
    """
    return await compare(stage, await moment(stage), versions, excused=excused)


class Moment(NamedTuple):
    """What was committed, and after that what was stored."""

    committed: dict[Partition, int]
    in_database: set[Key]


async def moment(stage: Stage) -> Moment:
    """Quick, so that what must happen next can happen at once; to be compared when there is time."""
    return Moment(await asyncio.to_thread(stage.topics.committed), await stored(stage.database))


async def compare(
    stage: Stage,
    then: Moment,
    versions: Sequence[GoalVersion],
    *,
    excused: Callable[[Record], bool] = lambda _: False,
    since: Mapping[Partition, int] | None = None,
) -> Findings:
    """What was acknowledged at a moment, or between two, and not stored."""
    told = await asyncio.to_thread(stage.topics.read, [*{topic for topic, _ in then.committed}], since)
    below = [one for one in told if one.origin[2] < then.committed.get(one.origin[:2], 0) and not excused(one.record)]
    missing = sorted(map(str, facts(below, versions) - then.in_database))
    stage.note("acknowledged is stored", acknowledged=len(below), missing=missing[:20])
    return Findings(lost=[f"acknowledged, but not in PostgreSQL: {one}" for one in missing])


class Watch:
    """Looks at many kills, one after the other: each time at what was acknowledged since the last."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen: Mapping[Partition, int] = {}

    async def look(self, versions: Sequence[GoalVersion]) -> Findings:
        """What was acknowledged since the last look, and is not stored."""
        then = await moment(self._stage)
        findings = await compare(self._stage, then, versions, since=self._seen)
        self._seen = then.committed
        return findings


def facts(records: Iterable[Stored], versions: Iterable[GoalVersion]) -> set[Key]:
    """The keys of all facts that records tell, as the oracle reads them."""
    goals: dict[str, dict[str, list[GoalVersion]]] = defaultdict(lambda: defaultdict(list))
    for version in versions:
        goals[version.account_id][version.goal_id].append(version)
    found: set[Key] = set()
    for one in records:
        try:
            told = read(one.record)
        except BadRecord:
            continue
        found.update(_keys(told, goals[told.account_id]))
    return found


def _keys(told: Told, goals: dict[str, list[GoalVersion]]) -> Iterable[Key]:
    account, fields, origin = told.account_id, told.fields, (told.source, told.event_id)
    match told.topic:
        case topic if topic in EVENT_TOPICS:
            for found in matches_of(told, goals):
                if found.version is not None:
                    yield "match", account, found.contact_id, found.goal_id, found.occurred_at, *origin
        case topic if topic == ENROLLMENT_STARTED:
            yield "start", account, fields["enrollment_id"], fields["contact_id"], fields["entered_at"], *origin
        case topic if topic == ENROLLMENT_ENDED:
            yield "end", account, fields["enrollment_id"], fields.get("reason"), fields["ended_at"], *origin
        case topic if topic == STATUS_CHANGED:
            yield "status", account, fields["workflow_id"], fields["status"], told.occurred_at, *origin
        case topic if topic == CONTACT_MERGED:
            yield "merge", account, fields["contact_id"], fields["into_contact_id"], told.occurred_at, *origin
        case topic if topic == CONTACT_DELETED:
            yield "deletion", account, fields["contact_id"], None, told.occurred_at, *origin


async def stored(database: Database) -> set[Key]:
    """The keys of all facts in PostgreSQL."""
    async with database.transaction() as connection:
        return {tuple(row) for row in await connection.fetch(_STORED)}

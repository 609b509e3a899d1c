"""F12: 20,000 messages wait in the outbox, and two workers with their sweepers start while revocations of what waits stream in.

So the newer message about an achievement is often published before the older one: what holds is told by the revisions alone.
In every other round the broker hangs for longer than a producer waits, which is when messages may come twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from tests.faults import acknowledged, evidence
from tests.faults.evidence import ACHIEVED, EXIT, REVOKED
from tests.faults.forked_workers import ForkedWorker
from tests.faults.mute_worker import MuteWorker
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, NotQuiet, Stage, stage
from tests.faults.stream import recovered
from tests.faults.topics import Stored
from tests.integration.builders import put_goal_versions
from tests.oracle.history import (
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    FORM_SUBMITTED,
    Fact,
    GoalVersion,
    Record,
    milliseconds,
    on_the_wire,
)
from tests.services.broker import Cluster

ENROLLMENTS = 10_000
"""Each with a message about its achievement and one about its exit."""

ROUNDS_WITH_A_HANGING_BROKER = (False, True, True)
HANGING_SECONDS = 12
"""Longer than a producer waits for the brokers (8 s), and than what is written is left alone by the sweepers (10 s)."""

BACK_SECONDS = 3
DUE_WITHIN_SECONDS = 30
"""From the kill on: workers need some ten seconds to get their partitions, and then both ways are at work for a while."""

# As if all that waits had been written one by one, and not just now.
_SPREAD = "update outbox set publish_after = clock_timestamp() + make_interval(secs => random() * $1)"

SWEPT_SHARE = 0.7
POLL_SECONDS = 0.01
REVOKED_EVERY = 3
SETTLED_SECONDS = 600
QUIET_SECONDS = 300
WORKERS = 2


@dataclass(slots=True, kw_only=True)
class Story:
    """Contacts who have done what their workflow was for; of some it is told later that they had left it before."""

    goal: GoalVersion
    records: list[Record]
    ends: list[Record]


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    outcome = Outcome(
        figures={"rounds": len(ROUNDS_WITH_A_HANGING_BROKER), "pending": 0, "messages": 0, "overtaken": 0}
    )
    broker = await asyncio.to_thread(ground.breakable.kafka)
    ground = replace(ground, kafka=broker.bootstrap_servers)
    for number, hangs in enumerate(ROUNDS_WITH_A_HANGING_BROKER):
        async with stage(ground, f"race-{number}") as here:
            published = await _round(here, broker, hangs, Random(f"{seed} {number}"), outcome)
        again = sum(Counter((one.record.topic, _id(one)) for one in published).values()) - len(
            {_id(one) for one in published}
        )
        outcome.figures[f"round_{number + 1}_{'hanging' if hangs else 'well'}_sent_again"] = again
        outcome.figures["messages"] += len(published) - again
        outcome.figures["overtaken"] += _overtaken(published)
        if again and not hangs:
            outcome.findings.duplicate.append(f"{again} messages were sent again although the broker was well")
    if not outcome.figures["overtaken"]:
        outcome.findings.limits_missed.append("no message was overtaken by a newer one: nothing was shown")
    return outcome


async def _round(here: Stage, broker: Cluster, hangs: bool, chance: Random, outcome: Outcome) -> Sequence[Stored]:
    """Everything that was published."""
    story = _story(chance)
    await put_goal_versions(here.database, [story.goal])
    await here.tell([(record, chance.randrange(PARTITIONS)) for record in story.records])
    pending = await _settle_without_publishing(here)
    outcome.figures["pending"] += pending
    await here.tell([(record, chance.randrange(PARTITIONS)) for record in story.ends], "revoking")
    for worker in [here.new_worker(ForkedWorker) for _ in range(WORKERS)]:
        worker.start()
    if hangs:
        await _until_some_are_out(here, pending)
        await asyncio.sleep(chance.uniform(0, 0.5))
        here.note("hangs")
        broker.pause()
        await asyncio.sleep(HANGING_SECONDS)
        broker.resume()
        here.note("goes on")
        # librdkafka 2.16.1 does not survive to ask a broker that knows of no brokers yet who coordinates a group.
        await asyncio.sleep(BACK_SECONDS)
        await here.until_consuming()
    await here.quiesce(QUIET_SECONDS)
    outcome.findings.add(await acknowledged.look(here, [story.goal]))
    outcome.findings.add(await here.judge([story.goal]))
    outcome.findings.add(await here.stop_workers())
    return await asyncio.to_thread(here.topics.read, [ACHIEVED, REVOKED, EXIT])


async def _settle_without_publishing(here: Stage) -> int:
    """Workers settle everything and never get to publish, until they are killed; returns how much is left in the outbox."""
    workers = [here.new_worker(MuteWorker) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    await here.until_consuming()
    await recovered(here, time.monotonic(), SETTLED_SECONDS)
    for worker in workers:
        worker.kill()
    async with here.database.connection() as connection:
        await connection.execute(_SPREAD, DUE_WITHIN_SECONDS)
    return await _pending(here)


async def _until_some_are_out(here: Stage, pending: int) -> None:
    """Returns in the middle of what the sweepers have to do. Raises NotQuiet."""
    deadline = time.monotonic() + QUIET_SECONDS
    while await _pending(here) >= pending * SWEPT_SHARE:
        if time.monotonic() > deadline:
            raise NotQuiet(f"nobody sweeps within {QUIET_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)


async def _pending(here: Stage) -> int:
    async with here.database.connection() as connection:
        return int(await connection.fetchval("select count(*) from outbox"))


def _story(chance: Random) -> Story:
    now = datetime.now(UTC)
    account_id, workflow_id, goal_id = (_uuid(chance) for _ in range(3))
    goal = GoalVersion(
        account_id=account_id,
        workflow_id=workflow_id,
        goal_id=goal_id,
        version=1,
        goal_type="form_submitted",
        criteria={"form_id": "form-1"},
        is_active=True,
        is_deleted=False,
        window=None,
        measure_after_exit=timedelta(0),
        effective_from=now - timedelta(days=1),
        created_at=now - timedelta(days=1),
    )

    def told(topic: str, moment: datetime, data: dict[str, object]) -> Record:
        envelope = {"event_id": _uuid(chance), "account_id": account_id, "timestamp": moment.isoformat(), "data": data}
        return on_the_wire(Fact(topic=topic, timestamp=milliseconds(now), envelope=envelope))

    story = Story(goal=goal, records=[], ends=[])
    for number in range(ENROLLMENTS):
        contact_id, enrollment_id = _uuid(chance), _uuid(chance)
        enrollment: dict[str, object] = {
            "enrollment_id": enrollment_id,
            "workflow_id": workflow_id,
            "contact_id": contact_id,
        }
        story.records += [
            told(ENROLLMENT_STARTED, now - timedelta(hours=3), enrollment),
            told(FORM_SUBMITTED, now - timedelta(hours=1), {"contact_id": contact_id, "form_id": "form-1"}),
        ]
        if number % REVOKED_EVERY == 0:
            story.ends.append(told(ENROLLMENT_ENDED, now - timedelta(hours=2), enrollment))
    chance.shuffle(story.records)
    return story


def _uuid(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))


def _id(one: Stored) -> str:
    return (dict(one.record.headers).get("ce_id") or b"").decode()


def _overtaken(published: Sequence[Stored]) -> int:
    """Achievements whose revocation was there before what it revokes, by the brokers' order of time."""
    first: dict[tuple[str, str], int] = {}
    for one, message in zip(published, evidence.messages(published), strict=True):
        if one.record.topic != EXIT:
            key = message.document()["achievement_id"], one.record.topic
            first[key] = min(first.get(key, one.record.timestamp), one.record.timestamp)
    return sum(
        revoked < first[achievement_id, ACHIEVED]
        for (achievement_id, topic), revoked in first.items()
        if topic == REVOKED and (achievement_id, ACHIEVED) in first
    )


ROW = Row(
    fault="F12",
    title="20,000 messages wait, two workers race with their sweepers",
    run=run,
    full_only="20,000 settled messages take a minute to come about",
)

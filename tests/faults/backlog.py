"""A backlog that grows while PostgreSQL is away, and is worked off: a worker's memory does not grow with it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from goalstream.domain.goals import FormCriteria, PurchaseCriteria, TagCriteria
from tests.faults.judge import Findings
from tests.faults.outages import MOST_GROWTH_BYTES
from tests.faults.rows import Outcome
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.faults.watch import Watch, watching
from tests.integration.builders import World
from tests.oracle.history import Record

PORTION = 1_000
WARM_EVENTS = 2_000
DATA = {
    "contact.tag.added": {"tag_id": "t", "tag_name": "Purchased"},
    "form.submitted": {"form_id": "f"},
    "payment.completed": {"payment_id": "p", "amount": "150.00", "currency": "EUR"},
}


async def backlog(ground: Ground, events: int) -> Outcome:
    """So many events, each of which matches a goal, of as many contacts that nobody enrolled."""
    server = await asyncio.to_thread(ground.breakable.postgres)
    outcome = Outcome()
    async with stage(replace(ground, postgres=server.url), "backlog") as here:
        world = World(here.database)
        for criteria in (TagCriteria(tag_id="t"), FormCriteria(form_id="f"), PurchaseCriteria(any_purchase=True)):
            await world.add_goal(criteria)
        await here.start_workers(1, probes=True)
        async with watching(here.workers) as (watch,):
            await _tell(here, world.account_id, 0, WARM_EVENTS)
            await here.quiesce(_seconds(WARM_EVENTS))
            began = time.monotonic()
            await asyncio.to_thread(server.stop_at_once)
            await _tell(here, world.account_id, WARM_EVENTS, WARM_EVENTS + events)
            await asyncio.to_thread(server.revive)
            back = time.monotonic()
            await here.quiesce(_seconds(events))
            outcome.figures["backlog_events"] = events
            outcome.figures["backlog_seconds"] = round(time.monotonic() - back, 1)
            outcome.findings.add(_bounded(outcome, watch, began))
        async with here.database.connection() as connection:
            stored = await connection.fetchval("select count(*) from matches")
        if stored != WARM_EVENTS + events:
            outcome.findings.lost.append(f"of {WARM_EVENTS + events} matches {stored} are stored")
        outcome.findings.add(await here.stop_workers())
    return outcome


def _bounded(outcome: Outcome, watch: Watch, began: float) -> Findings:
    period, found = watch.period(began), Findings()
    outcome.figures["backlog_growth_mebibytes"] = round(period.growth_bytes / (1 << 20), 1)
    if period.growth_bytes > MOST_GROWTH_BYTES:
        found.limits_missed.append(f"a worker grew by {period.growth_bytes >> 20} MiB over its backlog")
    if period.lines > max(period.seconds, 5):
        found.limits_missed.append(f"it logged {period.lines} lines in {period.seconds:.1f} s")
    if not period.is_live:
        found.limits_missed.append("it did not say that it is live")
    return found


async def _tell(here: Stage, account_id: str, first: int, end: int) -> None:
    now = datetime.now(UTC)
    topics = list(DATA)
    for begin in range(first, end, PORTION):
        here.show("backlog", begin, end)
        for number in range(begin, min(begin + PORTION, end)):
            topic, contact = topics[number % len(topics)], str(UUID(int=number + 1))
            body = {
                "event_id": f"evt-{number}",
                "event_type": topic,
                "account_id": account_id,
                "timestamp": now.isoformat(),
                "data": {"contact_id": contact, **DATA[topic]},
            }
            value, stamp = json.dumps(body).encode(), int(now.timestamp() * 1000)
            record = Record(topic=topic, timestamp=stamp, key=contact.encode(), value=value, headers=())
            here.topics.send(record, number % PARTITIONS)
        await asyncio.sleep(0)
    await asyncio.to_thread(here.topics.flush)


def _seconds(events: int) -> float:
    """More than enough to work off so many, on any machine."""
    return 120 + events / 500

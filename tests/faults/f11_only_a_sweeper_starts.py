"""F11: all workers are killed between the transaction and the publishing of what it made true; only a sweeper starts.

The workers settle and never get to publish. What is in the outbox when they are killed must come out of it, once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from goalstream.storage.ledger import PUBLISH_AHEAD_SECONDS
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Database
from goalstream.streams.connection import Kafka
from goalstream.streams.producer import Producer
from goalstream.streams.publisher import Publisher
from tests.faults import acknowledged, evidence
from tests.faults.evidence import ACHIEVED, EXIT, REVOKED
from tests.faults.judge import Findings
from tests.faults.mute_worker import MuteWorker
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, NotQuiet, Stage, stage
from tests.faults.stream import prepare, recovered

FACTS = {Size.CI: 2_000, Size.FULL: 20_000}
ROUNDS = {Size.CI: 1, Size.FULL: 5}
WORKERS = 2
SETTLED_SECONDS = 60
SWEPT_SECONDS = PUBLISH_AHEAD_SECONDS + 5
GIVE_UP_SECONDS = 90
POLL_SECONDS = 0.05


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance, outcome, rounds = Random(seed), Outcome(), ROUNDS[size]
    async with stage(ground, "sweeper") as here:
        stream = await prepare(here, FACTS[size], seed)
        left = 0
        for number in range(rounds):
            await here.tell(stream.deliveries[number::rounds])
            await _settle_and_die(here, chance, all_of_it=number == rounds - 1)
            killed_at = time.monotonic()
            outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
            pending = await _pending(here)
            left += len(pending)
            async with _sweeping(here, ground.kafka):
                outcome.recoveries.append(await _swept(here, killed_at))
            outcome.findings.add(await _published_once(here, pending))
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        seen = await here.evidence()
    if size is Size.FULL and max(outcome.recoveries) > SWEPT_SECONDS:
        outcome.findings.limits_missed.append(f"the outbox was empty only after {max(outcome.recoveries):.1f} s")
    outcome.figures = {
        "facts": FACTS[size],
        "rounds": rounds,
        "left_in_the_outbox": left,
        "rows": len(seen.rows),
        "messages": len(seen.messages),
    }
    return outcome


async def _settle_and_die(here: Stage, chance: Random, *, all_of_it: bool) -> None:
    """Workers that publish nothing are killed all at once: while they work, or when everything is acknowledged."""
    while len(here.workers) < WORKERS:
        here.new_worker(MuteWorker)
    for worker in here.workers:
        worker.start()
    await here.until_consuming()
    if all_of_it:
        await recovered(here, time.monotonic(), SETTLED_SECONDS)
    else:
        deadline = time.monotonic() + SETTLED_SECONDS
        while not await _pending(here):
            if time.monotonic() > deadline:
                raise NotQuiet(f"nothing was settled within {SETTLED_SECONDS} s")
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(chance.uniform(0, 1))
    for worker in here.workers:
        worker.kill()
    here.note("killed", workers=len(here.workers))


async def _pending(here: Stage) -> Sequence[tuple[str, str]]:
    """Topic and id of what is in the outbox."""
    async with here.database.connection() as connection:
        return [tuple(row) for row in await connection.fetch("select topic, message_id::text from outbox")]


@asynccontextmanager
async def _sweeping(here: Stage, kafka: str) -> AsyncIterator[None]:
    """The product's sweeper, and nothing else of a worker."""
    database = Database(here.database_url, size=2, sees_all_accounts=True)
    producer = Producer(Kafka(bootstrap_servers=kafka))
    sweeping = asyncio.create_task(
        Publisher(producer, Outbox(database), topic_prefix=here.prefix).sweep_for_ever(), name="sweeper"
    )
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await producer.close()
        await database.close()


async def _swept(here: Stage, killed_at: float) -> float:
    """Seconds from the kill until the outbox is empty. Raises NotQuiet."""
    while left := len(await _pending(here)):
        here.show("sweeping", time.monotonic() - killed_at, SWEPT_SECONDS)
        if time.monotonic() > killed_at + GIVE_UP_SECONDS:
            raise NotQuiet(f"{left} messages are still in the outbox after {GIVE_UP_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)
    seconds = time.monotonic() - killed_at
    here.note("swept", seconds=round(seconds, 2))
    return seconds


async def _published_once(here: Stage, pending: Sequence[tuple[str, str]]) -> Findings:
    """What waited in the outbox is on its topic once, and nothing is there twice."""
    published = evidence.messages(await asyncio.to_thread(here.topics.read, [ACHIEVED, REVOKED, EXIT]))
    times = Counter((message.topic, message.message_id) for message in published)
    return Findings(
        lost=[f"{name} was in the outbox and is not published" for name in pending if not times[name]],
        duplicate=[f"{name} was published {count} times" for name, count in times.items() if count > 1],
    )


ROW = Row(fault="F11", title="all workers killed between transaction and publish, only a sweeper starts", run=run)

"""With FastStream: a batch subscriber on its aiokafka broker, acknowledged after the handler, decoded by msgspec."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fast_depends.msgspec import MsgSpecSerializer
from faststream import AckPolicy, Context, ContextRepo, FastStream
from faststream.kafka import KafkaBroker

from benchmarks.peers import job

logger = logging.getLogger(__name__)
broker = KafkaBroker(job.KAFKA, acks="all", enable_idempotence=True, serializer=MsgSpecSerializer(), logger=logger)
publisher = broker.publisher(job.ACHIEVED)


@asynccontextmanager
async def lifespan(context: ContextRepo) -> AsyncIterator[None]:
    """A pool and the goals, for as long as the application runs."""
    async with asyncpg.create_pool(job.DATABASE_URL) as pool:
        context.set_global("pool", pool)
        context.set_global("goals", job.index_goals(await pool.fetch(job.GOALS)))
        yield


app = FastStream(broker, lifespan=lifespan, logger=logger)


@broker.subscriber(
    *job.TOPICS,
    group_id=job.GROUP,
    batch=True,
    max_records=job.BATCH,
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def decide(events: list[job.Event], pool: Annotated[Any, Context()], goals: Annotated[Any, Context()]) -> None:
    """Records what matches and publishes what is new; when it returns, the offsets are committed."""
    if columns := job.match(goals, events):
        rows = await pool.fetch(job.RECORD, *columns)
        sent = [await publisher.publish(dict(row), key=row["contact_id"].encode(), no_confirm=True) for row in rows]
        await asyncio.gather(*sent)


if __name__ == "__main__":
    asyncio.run(app.run())

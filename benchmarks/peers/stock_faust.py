"""With Faust as it comes: a model, an agent that takes batches, a topic to send to."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import faust

from benchmarks.peers import job

app = faust.App(job.GROUP, broker=f"kafka://{job.KAFKA}", producer_acks=-1)


class Event(faust.Record):
    """What is read of an event."""

    event_id: str
    event_type: str
    account_id: str
    timestamp: str
    data: dict[str, Any]


events = app.topic(*job.TOPICS, value_type=Event)
achieved = app.topic(job.ACHIEVED)


@app.agent(events)
async def decide(stream: faust.StreamT[Event]) -> None:
    """Records what matches and publishes what is new; the events are acknowledged when the next batch is taken."""
    async with asyncpg.create_pool(job.DATABASE_URL) as pool:
        goals = job.index_goals(await pool.fetch(job.GOALS))
        async for batch in stream.take(job.BATCH, within=0.1):
            if columns := job.match(goals, batch):
                rows = await pool.fetch(job.RECORD, *columns)
                sent = [await achieved.send(key=row["contact_id"], value=dict(row)) for row in rows]
                await asyncio.gather(*sent)


if __name__ == "__main__":
    app.main()

"""By hand with aiokafka and asyncpg: poll, record, publish, commit."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers import job


async def main() -> None:
    """Until it is stopped."""
    decode = msgspec.json.Decoder(job.Event).decode
    consumer = AIOKafkaConsumer(
        *job.TOPICS,
        bootstrap_servers=job.KAFKA,
        group_id=job.GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=job.KAFKA, acks="all", enable_idempotence=True)
    async with asyncpg.create_pool(job.DATABASE_URL) as pool, producer, consumer:
        goals = job.index_goals(await pool.fetch(job.GOALS))
        while True:
            fetched = await consumer.getmany(timeout_ms=1_000, max_records=job.BATCH)
            events = [decode(record.value) for records in fetched.values() for record in records]
            if columns := job.match(goals, events):
                rows = await pool.fetch(job.RECORD, *columns)
                sent = [
                    await producer.send(job.ACHIEVED, msgspec.json.encode(dict(row)), row["contact_id"].encode())
                    for row in rows
                ]
                await asyncio.gather(*sent)
            if fetched:
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())

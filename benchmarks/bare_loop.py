"""The yardstick: a process that reads and decodes the same records and does nothing else.

python -m benchmarks.bare_loop HOST:PORT GROUP RECORDS TOPIC...    prints CPU seconds from after the start to the last record
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaConsumer

from goalstream.config import Settings

GIVE_UP_SECONDS = 300


def run(kafka: str, prefix: str, records: int, topics: Sequence[str]) -> float:
    """CPU seconds, user and system, of the loop in a process of its own; the topics are without their prefix."""
    named = [prefix + topic for topic in topics]
    command = [sys.executable, "-m", "benchmarks.bare_loop", kafka, f"{prefix}bare-loop", str(records), *named]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=GIVE_UP_SECONDS)
    return float(done.stdout)


async def _read(kafka: str, group: str, records: int, topics: Sequence[str]) -> float:
    defaults = Settings.model_fields
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=kafka,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=defaults["kafka_fetch_max_wait_ms"].default,
        fetch_min_bytes=defaults["kafka_fetch_min_bytes"].default,
    )
    await consumer.start()
    try:
        decode = msgspec.json.Decoder().decode
        before, seen = _cpu_seconds(), 0
        while seen < records:
            for fetched in (await consumer.getmany(timeout_ms=1_000, max_records=10_000)).values():
                for record in fetched:
                    decode(record.value)
                seen += len(fetched)
        return _cpu_seconds() - before
    finally:
        await consumer.stop()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(_read(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))}\n")

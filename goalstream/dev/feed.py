"""What happens, read from the topics by a consumer of its own: lines for the screen, exits for the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer

from goalstream.dev.narrator import Line, Narrator
from goalstream.streams.topics import ALL_TOPICS

FETCH_MAX_WAIT_MS = 20
"""The embedded Kafka does not wake a waiting fetch when something comes: this is how late the feed may be."""


class Feed:
    """Every record of every topic, from the beginning; outside the workers' group, so it takes nothing from them."""

    def __init__(self, bootstrap_servers: str, narrator: Narrator) -> None:
        self._narrator = narrator
        self._consumer = AIOKafkaConsumer(
            *ALL_TOPICS,
            bootstrap_servers=bootstrap_servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        )

    async def start(self) -> None:
        await self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def follow(self) -> AsyncIterator[tuple[Any, list[Line]]]:
        """Records as they come, each with the sentences that can be said now."""
        async for record in self._consumer:
            line = self._narrator.tell(record)
            yield record, [*self._narrator.overdue(record.timestamp), *([] if line is None else [line])]

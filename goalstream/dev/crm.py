"""The simulated CRM and workflow engine on Kafka: sends the story in its time, and answers exits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from goalstream.dev.records import Outgoing, engine_answer

LINGER_MS = 5


class Crm:
    """A producer of events; between `start` and `stop`."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=LINGER_MS)

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def play(self, story: Iterable[Outgoing]) -> None:
        """Sends every record at its time, counted from now; what is behind is sent at once."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for record in story:
            await asyncio.sleep(max(0.0, begin + record.at_seconds - loop.time()))
            await self._producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))

    async def let_out(self, exit_document: Mapping[str, Any], now: datetime) -> None:
        """Ends the enrollment that an exit names, as the workflow engine does."""
        topic, key, value = engine_answer(exit_document, now=now, event_id=f"evt_{uuid4().hex}")
        await self._producer.send(topic, value, key=key)

"""The simulated CRM and workflow engine on Kafka: sends the story in its time, answers exits, and does what keys ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from goalstream.dev.records import YOURS, Outgoing, engine_answer
from goalstream.dev.simulation import Story

LINGER_MS = 5


class Crm:
    """A producer of events; between `start` and `stop`."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=LINGER_MS)
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._last: Outgoing | None = None

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    @property
    def is_paused(self) -> bool:
        return not self._may_send.is_set()

    def pause(self) -> None:
        """Nobody in the story does anything until `go_on`."""
        self._may_send.clear()

    def go_on(self) -> None:
        self._may_send.set()

    async def play(self, story: Story) -> None:
        """Sends every record at its time, counted from now; what is behind is sent at once."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for record in story:
            await asyncio.sleep(max(0.0, begin + record.at_seconds - loop.time()))
            if self.is_paused:
                await self._may_send.wait()
                story.skip_to(loop.time() - begin)
            await self._send(record)

    async def announce(self, records: Iterable[Outgoing]) -> None:
        """Sends records at once."""
        for record in records:
            await self._send(record)

    async def send_yours(self, records: Iterable[Outgoing]) -> None:
        """Sends records at once, marked as the person's own."""
        await self.announce(replace(record, headers=(*record.headers, YOURS)) for record in records)

    async def redeliver(self) -> Outgoing | None:
        """Sends the last event once more, as a producer does that heard no acknowledgement; None before the first one."""
        if self._last is not None:
            marked = tuple(header for header in self._last.headers if header != YOURS)
            await self.send_yours([replace(self._last, headers=marked)])
        return self._last

    async def let_out(self, exit_document: Mapping[str, Any], now: datetime) -> None:
        """Ends the enrollment that an exit names, as the workflow engine does."""
        topic, key, value = engine_answer(exit_document, now=now, event_id=f"evt_{uuid4().hex}")
        await self._producer.send(topic, value, key=key)

    async def _send(self, record: Outgoing) -> None:
        await self._producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
        if record.is_event:
            self._last = record

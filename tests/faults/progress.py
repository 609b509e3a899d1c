"""Whether every partition gets on: a beat for each of them every second, and how long none of them is acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from uuid import UUID

from confluent_kafka import KafkaException

from goalstream.streams.topics import READ_TOPICS
from tests.faults.stage import PARTITIONS, Stage
from tests.faults.topics import Partition
from tests.oracle.history import (
    APPOINTMENT_BOOKED,
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    FORM_SUBMITTED,
    PAYMENT_COMPLETED,
    REFERENCE_CHANGED,
    STAGE_CHANGED,
    STATUS_CHANGED,
    TAG_ADDED,
    Fact,
    Record,
    milliseconds,
    on_the_wire,
)

BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.5


class Progress:
    """The group's progress on all partitions. Made by `beating`."""

    def __init__(self, stage: Stage, chance: Random) -> None:
        self._stage = stage
        self._chance = chance
        self._account_id = self._uuid()
        self._offsets: dict[Partition, int] = {}
        self._advanced: dict[Partition, float] = {}
        self._longest: dict[Partition, float] = {}

    @property
    def longest_pauses(self) -> Mapping[Partition, float]:
        """Seconds, by partition, without any progress; the one that lasts counts as it is now."""
        now = time.monotonic()
        return {
            partition: max(self._longest.get(partition, 0), now - since) for partition, since in self._advanced.items()
        }

    async def beat_for_ever(self) -> None:
        """Facts that are about nobody else, on every partition that is read."""
        while True:
            for topic in READ_TOPICS:
                for partition in range(PARTITIONS):
                    self._stage.topics.send(self._beat(topic), partition)
            await asyncio.sleep(BEAT_SECONDS)

    async def look_for_ever(self) -> None:
        """How far the group is, all the time."""
        began = time.monotonic()
        self._advanced = {(topic, number): began for topic in READ_TOPICS for number in range(PARTITIONS)}
        while True:
            try:
                committed = await asyncio.to_thread(self._stage.topics.committed)
            except KafkaException:
                committed = {}
            now = time.monotonic()
            for partition, offset in committed.items():
                if offset > self._offsets.get(partition, 0):
                    pause = now - self._advanced[partition]
                    self._longest[partition] = max(self._longest.get(partition, 0), pause)
                    self._advanced[partition], self._offsets[partition] = now, offset
            await asyncio.sleep(LOOK_SECONDS)

    def _beat(self, topic: str) -> Record:
        now = datetime.now(UTC)
        envelope = {
            "event_id": self._uuid(),
            "account_id": self._account_id,
            "timestamp": now.isoformat(),
            "data": self._data(topic),
        }
        return on_the_wire(Fact(topic=topic, timestamp=milliseconds(now), envelope=envelope))

    def _data(self, topic: str) -> Mapping[str, str]:
        contact = {"contact_id": self._uuid()}
        enrollment = {"enrollment_id": self._uuid(), "workflow_id": self._uuid(), **contact}
        return {
            TAG_ADDED: {"tag_name": "beat", **contact},
            PAYMENT_COMPLETED: {"amount": "1", **contact},
            APPOINTMENT_BOOKED: {"calendar_id": "beat", **contact},
            FORM_SUBMITTED: {"form_id": "beat", **contact},
            STAGE_CHANGED: {"pipeline_id": "beat", "stage_id": "beat", **contact},
            ENROLLMENT_STARTED: enrollment,
            ENROLLMENT_ENDED: enrollment,
            STATUS_CHANGED: {"workflow_id": self._uuid(), "status": "active"},
            REFERENCE_CHANGED: {"kind": "tag", "id": "beat"},
            CONTACT_MERGED: {"into_contact_id": self._uuid(), **contact},
            CONTACT_DELETED: contact,
        }[topic]

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


@asynccontextmanager
async def beating(stage: Stage, chance: Random) -> AsyncIterator[Progress]:
    """Beats, and looks, from the beginning to the end of the block."""
    progress = Progress(stage, chance)
    tasks = [asyncio.create_task(progress.beat_for_ever()), asyncio.create_task(progress.look_for_ever())]
    try:
        yield progress
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(stage.topics.flush)

"""The dead-letter topic, read for an operator: all letters as they are now, and the records of some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import TopicPartition

from goalstream.errors import OperatorError
from goalstream.streams import reading
from goalstream.streams.connection import Kafka
from goalstream.streams.letters import Collection, Letter, Place
from goalstream.streams.ports import Record
from goalstream.streams.topics import DEAD_LETTER

MAX_BYTES = 512 * 1024 * 1024
"""Of the values that are held in memory together."""

REPORT_EVERY = 100
"""Records between two words about progress."""


class LetterTopic:
    """What lies on the dead-letter topic. Everything raises BrokerUnavailable while Kafka is away."""

    def __init__(self, kafka: Kafka, *, topic_prefix: str) -> None:
        self._kafka = kafka
        self._topic = topic_prefix + DEAD_LETTER

    async def read(self, on_progress: Callable[[int, int], None], *, newest: int | None = None) -> Collection:
        """Everything that the topic holds at this moment, or no more than so many of the newest records.

        `on_progress` hears of records read, and of all to be read. Raises OperatorError when there is no such topic.
        """
        stretches = await reading.whole_topic(self._kafka, self._topic)
        collection = Collection()
        if newest is not None:
            collection.unread = max(reading.length(stretches) - newest, 0)
            stretches = reading.newest(stretches, newest)
        total = reading.length(stretches)
        count = 0

        def take(record: Any) -> None:
            nonlocal count
            collection.add(record)
            count += 1
            if count % REPORT_EVERY == 0:
                on_progress(count, total)

        await reading.read(self._kafka, stretches, take)
        return collection

    async def records(self, letters: Sequence[Letter]) -> dict[Place, Record]:
        """The records of letters, with their values; one that Kafka has deleted meanwhile is not among them.

        Raises OperatorError when they are too large to be held in memory together.
        """
        size = sum(letter.size_bytes for letter in letters)
        if size > MAX_BYTES:
            raise OperatorError(
                f"the records of {len(letters)} dead letters have {size >> 20} MiB, and {MAX_BYTES >> 20} MiB are taken "
                "at once: take fewer with --limit, and repeat"
            )
        wanted = {letter.place for letter in letters}
        offsets: dict[int, list[int]] = {}
        for place in wanted:
            offsets.setdefault(place.partition, []).append(place.offset)
        stretches = {
            TopicPartition(self._topic, partition): (min(own), max(own) + 1) for partition, own in offsets.items()
        }
        found: dict[Place, Record] = {}

        def take(record: Any) -> None:
            if (place := Place(record.partition, record.offset)) in wanted:
                found[place] = record

        await reading.read(self._kafka, stretches, take)
        return found

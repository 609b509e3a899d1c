"""Redrive: dead letters go back to the topics that they came from, and are marked as done with.

A batch is sent, acknowledged, and then marked. Whoever is killed in between sends that batch again the next time: harmless,
since every record tells a fact, and the same fact twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from types import TracebackType
from typing import NamedTuple, Self, TypeAlias

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import BrokerResponseError, KafkaError

from goalstream.errors import BrokerUnavailable
from goalstream.streams import reading
from goalstream.streams.connection import Kafka
from goalstream.streams.letter_topic import LetterTopic
from goalstream.streams.letters import ATTEMPTS_HEADER, MARK_HEADER, Letter, Mark, Place
from goalstream.streams.ports import Record
from goalstream.streams.producer import Header, key_hash
from goalstream.streams.topics import DEAD_LETTER, READ_TOPICS

PORTION = 500
"""Letters that are sent, and then marked, together: so many are sent again after a kill in between."""

SEND_TIMEOUT_SECONDS = 10
PORTION_BYTES = 256 * 1024
"""Of the values of a portion; a larger one travels alone."""

NO_LIMIT_BYTES = 1 << 30
"""A portion is one batch, however large its headers are: Kafka takes all of it or nothing."""

CLOSE_SECONDS = 2

Refusals: TypeAlias = dict[Place, str]
"""Why letters could not be sent, by their place."""

_Row: TypeAlias = tuple[int | None, bytes | None, bytes | None, list[Header]]
"""Timestamp (None: now), key, value and headers of a record to send."""


class Shipment(NamedTuple):
    """A letter and where its record goes."""

    target: TopicPartition
    letter: Letter


def plan(
    letters: Sequence[Letter], *, topic_prefix: str, partitions: Mapping[str, int]
) -> tuple[list[Shipment], Refusals]:
    """Where letters go, in the order of sending, and why others cannot go anywhere.

    A record goes to the partition that its key hashes to; without a key, to the one that it came from. Records of a key keep
    the order of the dead-letter topic, those without a key the order that they had. `partitions` counts those of each topic.
    """
    known = {topic_prefix + topic for topic in READ_TOPICS}
    shipments = []
    refused = {}
    for letter in letters:
        topic = letter.origin.topic
        if topic not in known:
            refused[letter.place] = f"{topic} is not a topic that goalstream reads"
        elif topic not in partitions:
            refused[letter.place] = f"topic {topic} does not exist any more"
        else:
            number = letter.origin.partition if letter.key is None else key_hash(letter.key)
            shipments.append(Shipment(TopicPartition(topic, number % partitions[topic]), letter))
    return sorted(shipments, key=_order), refused


def redriven_headers(letter: Letter) -> list[Header]:
    """The original headers, and after them which attempt this is."""
    return [*letter.headers, (ATTEMPTS_HEADER, str(letter.attempts + 1).encode())]


class Redriver:
    """Sends dead letters back, and marks them; open for a block. Everything raises BrokerUnavailable while Kafka is away."""

    def __init__(self, kafka: Kafka, *, topic_prefix: str) -> None:
        self._kafka = kafka
        self._topic_prefix = topic_prefix
        self._letters = LetterTopic(kafka, topic_prefix=topic_prefix)
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._close()

    async def plan(self, letters: Sequence[Letter]) -> tuple[list[Shipment], Refusals]:
        """As `plan`, with the topics that there are."""
        async with reading.admin(self._kafka) as client:
            found = await reading.partitions_of(client, {letter.origin.topic for letter in letters})
        counts = Counter(partition.topic for partition in found)
        return plan(letters, topic_prefix=self._topic_prefix, partitions=counts)

    async def redrive(self, shipments: Sequence[Shipment], on_done: Callable[[int], None]) -> Refusals:
        """Sends the records with their original timestamps, in this order, and marks their letters as redriven.

        `on_done` hears after each portion how many more are done with. What Kafka refuses stays as it is.
        """
        records = await self._letters.records([letter for _, letter in shipments])
        gone = {
            letter.place: "Kafka has deleted it meanwhile" for _, letter in shipments if letter.place not in records
        }
        refused: Refusals = dict(gone)
        for target, group in groupby((each for each in shipments if each.letter.place not in gone), key=_target):
            letters = [letter for _, letter in group]
            for portion in _portions(letters):
                refusals = await self._send(target, portion, records)
                await self._mark([letter for letter in portion if letter.place not in refusals], Mark.REDRIVEN)
                refused |= refusals
                on_done(len(portion))
        return refused

    async def drop(self, letters: Sequence[Letter], on_done: Callable[[int], None]) -> None:
        """Marks letters as dropped; nothing is deleted from Kafka."""
        for portion in _portions(letters):
            await self._mark(portion, Mark.DROPPED)
            on_done(len(portion))

    async def _send(
        self, target: TopicPartition, letters: Sequence[Letter], records: Mapping[Place, Record]
    ) -> Refusals:
        """Sends letters to a partition; where Kafka refuses them together, one by one in the same order."""
        rows: list[_Row] = [
            (letter.origin.timestamp, letter.key, records[letter.place].value, redriven_headers(letter))
            for letter in letters
        ]
        try:
            await self._deliver(target, rows)
        except _Refusal as refusal:
            if len(letters) == 1:
                return {letters[0].place: str(refusal)}
        else:
            return {}
        refused: Refusals = {}
        for letter in letters:
            refused |= await self._send(target, [letter], records)
        return refused

    async def _mark(self, letters: Sequence[Letter], mark: Mark) -> None:
        rows: dict[int, list[_Row]] = {}
        for letter in letters:
            row: _Row = (None, str(letter.place).encode(), None, [(MARK_HEADER, mark.value.encode())])
            rows.setdefault(letter.place.partition, []).append(row)
        for partition, own in rows.items():
            await self._deliver(TopicPartition(self._topic_prefix + DEAD_LETTER, partition), own)

    async def _deliver(self, target: TopicPartition, rows: Sequence[_Row]) -> None:
        """Sends rows to a partition, all or none. Raises _Refusal where trying again changes nothing."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                producer = await self._started()
                batch = producer.create_batch()
                for timestamp, key, value, headers in rows:
                    batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
                batch.close()
                await (await producer.send_batch(batch, target.topic, partition=target.partition))
        except (KafkaError, OSError, TimeoutError) as error:
            await self._close()
            if isinstance(error, BrokerResponseError) and not error.retriable:
                raise _Refusal(f"Kafka refuses it: {error}") from error
            why = await self._kafka.unavailable(error)
            raise BrokerUnavailable(
                f"{why.sentence}; what was done is marked", advice=why.advice or "repeat the command to go on"
            ) from error

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._kafka.options,
                enable_idempotence=True,
                acks="all",
                # What came compressed may be larger than its topic takes without.
                compression_type="gzip",
                max_batch_size=NO_LIMIT_BYTES,
                request_timeout_ms=SEND_TIMEOUT_SECONDS * 1000,
            )
            await self._producer.start()
        return self._producer

    async def _close(self) -> None:
        """Ends the producer, and with it what it may still have in flight; the next delivery starts a new one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await producer.stop()


class _Refusal(Exception):
    """Kafka will never take these records as they are."""


def _order(shipment: Shipment) -> tuple[TopicPartition, bool, tuple[int, int]]:
    target, letter = shipment
    is_unkeyed = letter.key is None
    return target, is_unkeyed, (letter.origin.partition, letter.origin.offset) if is_unkeyed else letter.place


def _target(shipment: Shipment) -> TopicPartition:
    return shipment.target


def _portions(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    portion: list[Letter] = []
    size = 0
    for letter in letters:
        if portion and (len(portion) == PORTION or size + letter.size_bytes > PORTION_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(letter)
        size += letter.size_bytes
    if portion:
        yield portion

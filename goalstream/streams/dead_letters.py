"""Dead letters: records that can never be processed, set aside untouched, with why and where they came from."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from copy import copy
from typing import NamedTuple

import structlog

from goalstream.errors import TooManyDeadLetters
from goalstream.observability import metrics
from goalstream.streams.ports import Batch, Partition, Record
from goalstream.streams.publisher import Producer
from goalstream.streams.topics import DEAD_LETTER

log = structlog.get_logger()

SHARE_WINDOW = 1_000
"""How many of a partition's last records the share of dead letters is taken of."""

MAX_ERROR_LENGTH = 500


RecordId = tuple[str, int, int]
"""Topic, partition, offset."""


def record_id(record: Record) -> RecordId:
    """What tells a record apart from all others."""
    return record.topic, record.partition, record.offset


class DeadLetter(NamedTuple):
    """A record, the reason from the contract, and a sentence about this very record."""

    record: Record
    reason: str
    error: str


class DeadLetters:
    """The dead-letter topic, and the limits beyond which a person must look."""

    def __init__(self, producer: Producer, *, topic_prefix: str, max_in_a_row: int, max_share: float) -> None:
        self._producer = producer
        self._topic = topic_prefix + DEAD_LETTER
        self._max_in_a_row = max_in_a_row
        self._max_share = max_share
        self._tallies: dict[Partition, _Tally] = {}

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Sets records aside and waits until Kafka has acknowledged them. Raises BrokerUnavailable."""
        await self._producer.send(
            [(self._topic, letter.record.key, letter.record.value, letter_headers(letter)) for letter in letters]
        )
        for letter in letters:
            metrics.DEAD_LETTERS.labels(letter.reason).inc()
        first = letters[0]
        log.warning(
            "dead_letters",
            records=len(letters),
            topic=first.record.topic,
            partition=first.record.partition,
            offset=first.record.offset,
            reason=first.reason,
        )

    def check(self, batch: Batch, dead: Collection[RecordId]) -> None:
        """Raises TooManyDeadLetters where these dead letters of a batch are beyond a limit, however its other records end."""
        for partition, records in batch.items():
            tally = self._tallies.get(partition)
            self._add(_Tally() if tally is None else copy(tally), partition, _outcomes(records, dead))

    def count(self, batch: Batch, dead: Collection[RecordId]) -> None:
        """Counts every record of a batch once, when it is known how all have ended. Raises TooManyDeadLetters."""
        for partition, records in batch.items():
            self._add(self._tallies.setdefault(partition, _Tally()), partition, _outcomes(records, dead))

    def _add(self, tally: _Tally, partition: Partition, outcomes: Sequence[bool]) -> None:
        if not tally.dead and not any(outcomes):
            tally.recent.extend(outcomes)
            return
        for is_dead in outcomes:
            tally.add(is_dead)
            if self._max_in_a_row and tally.in_a_row > self._max_in_a_row:
                raise TooManyDeadLetters(_advice(partition, f"more than {self._max_in_a_row} dead letters in a row"))
            if self._max_share and len(tally.recent) == SHARE_WINDOW and tally.dead > self._max_share * SHARE_WINDOW:
                finding = f"over {self._max_share:.0%} of the last {SHARE_WINDOW} records are dead letters"
                raise TooManyDeadLetters(_advice(partition, finding))


class _Tally:
    """How the last records of a partition ended."""

    __slots__ = ("dead", "in_a_row", "recent")

    def __init__(self) -> None:
        self.recent: deque[bool] = deque(maxlen=SHARE_WINDOW)
        self.dead = 0
        self.in_a_row = 0

    def add(self, is_dead: bool) -> None:
        if len(self.recent) == SHARE_WINDOW:
            self.dead -= self.recent[0]
        self.recent.append(is_dead)
        self.dead += is_dead
        self.in_a_row = self.in_a_row + 1 if is_dead else 0

    def __copy__(self) -> _Tally:
        copied = _Tally()
        copied.recent, copied.dead, copied.in_a_row = self.recent.copy(), self.dead, self.in_a_row
        return copied


def _outcomes(records: Sequence[Record], dead: Collection[RecordId]) -> list[bool]:
    """In the order of the records, True for a dead letter."""
    return [record_id(record) in dead for record in records] if dead else [False] * len(records)


def _advice(partition: Partition, finding: str) -> str:
    topic, number = partition
    return (
        f"{topic} partition {number}: {finding}, so the contract with its producer seems to have changed. Nothing more "
        "is acknowledged. Look at them with `goalstream dead-letters list --since 1h` and `show`, mend the producer or raise "
        "GOALSTREAM_DEAD_LETTER_MAX_IN_A_ROW or GOALSTREAM_DEAD_LETTER_MAX_SHARE (0: never stop), and start again; "
        "`goalstream dead-letters redrive` sends again what was set aside."
    )


def letter_headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    """The original headers, and after them ours: whoever reads them back counts on this order."""
    record = letter.record
    return [
        *record.headers,
        ("goalstream_topic", record.topic.encode()),
        ("goalstream_partition", str(record.partition).encode()),
        ("goalstream_offset", str(record.offset).encode()),
        ("goalstream_timestamp", str(record.timestamp).encode()),
        ("goalstream_reason", letter.reason.encode()),
        ("goalstream_error", letter.error[:MAX_ERROR_LENGTH].encode(errors="replace")),
    ]

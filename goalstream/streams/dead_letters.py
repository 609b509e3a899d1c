"""Dead letters: records that can never be processed, set aside untouched, with why and where they came from."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from copy import copy
from typing import NamedTuple

import structlog

from goalstream.errors import InvalidRecord, RefusedByDatabase, TooManyDeadLetters
from goalstream.observability import metrics
from goalstream.streams.ports import Batch, Partition, Record
from goalstream.streams.producer import Producer
from goalstream.streams.topics import DEAD_LETTER

log = structlog.get_logger()

SHARE_WINDOW = 1_000
"""How many of a partition's last records the share of dead letters is taken of."""

MAX_ERROR_LENGTH = 500

REASONS = (
    "not_json", "forbidden_character", "bad_cloudevent", "type_contradicts_topic", "no_account", "no_contact", "bad_time",
    "wrong_type", "refused_by_database", "unexpected",
)  # fmt: skip
"""Why a record is set aside: what is wrong with it in the order of the contract, PostgreSQL's refusal, or a defect of ours."""


RecordId = tuple[Partition, int]
"""Partition and offset: what tells a record apart from all others."""


class DeadLetter(NamedTuple):
    """A record, where it lay, the reason from the contract, and a sentence about this very record."""

    partition: Partition
    record: Record
    reason: str
    error: str

    @property
    def record_id(self) -> RecordId:
        return self.partition, self.record.offset


Letters = Mapping[RecordId, DeadLetter]


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
            topic=first.partition[0],
            partition=first.partition[1],
            offset=first.record.offset,
            reason=first.reason,
        )

    def check(self, batch: Batch, letters: Letters) -> None:
        """Raises TooManyDeadLetters where these letters of a batch are beyond a limit, however its other records end."""
        for partition, records in batch.items():
            tally = self._tallies.get(partition)
            self._add(_Tally() if tally is None else copy(tally), partition, records, letters)

    def count(self, batch: Batch, letters: Letters) -> None:
        """Counts every record of a batch once, when it is known how all have ended. Raises TooManyDeadLetters."""
        for partition, records in batch.items():
            self._add(self._tallies.setdefault(partition, _Tally()), partition, records, letters)

    def _add(self, tally: _Tally, partition: Partition, records: Sequence[Record], letters: Letters) -> None:
        if records[0].offset < tally.next_offset:  # after a rebalance it comes again, and was counted
            records = [record for record in records if record.offset >= tally.next_offset]
        if not records:
            return
        tally.next_offset = records[-1].offset + 1
        if not letters and not tally.dead:
            tally.recent.extend([False] * len(records))
            return
        for record in records:
            letter = letters.get((partition, record.offset))
            tally.add(letter)
            if self._max_in_a_row and tally.in_a_row > self._max_in_a_row:
                finding = f"more than {self._max_in_a_row:,} dead letters in a row"
                raise TooManyDeadLetters(_advice(partition, finding, tally.last, "GOALSTREAM_DEAD_LETTER_MAX_IN_A_ROW"))
            if self._max_share and len(tally.recent) == SHARE_WINDOW and tally.dead > self._max_share * SHARE_WINDOW:
                finding = f"over {self._max_share:.0%} of the last {SHARE_WINDOW:,} records are dead letters"
                raise TooManyDeadLetters(_advice(partition, finding, tally.last, "GOALSTREAM_DEAD_LETTER_MAX_SHARE"))


class _Tally:
    """How the last records of a partition ended."""

    __slots__ = ("dead", "in_a_row", "last", "next_offset", "recent")

    def __init__(self) -> None:
        self.recent: deque[bool] = deque(maxlen=SHARE_WINDOW)
        self.dead = 0
        self.in_a_row = 0
        self.last = ""
        self.next_offset = 0

    def add(self, letter: DeadLetter | None) -> None:
        if len(self.recent) == SHARE_WINDOW:
            self.dead -= self.recent[0]
        self.recent.append(letter is not None)
        if letter is None:
            self.in_a_row = 0
        else:
            self.dead += 1
            self.in_a_row += 1
            self.last = f"offset {letter.record.offset}, `{letter.reason}`"

    def __copy__(self) -> _Tally:
        copied = _Tally()
        copied.recent, copied.dead, copied.in_a_row = self.recent.copy(), self.dead, self.in_a_row
        copied.last, copied.next_offset = self.last, self.next_offset
        return copied


def _advice(partition: Partition, finding: str, last: str, setting: str) -> str:
    """No more of a record than where it is and the reason: it may hold personal data."""
    topic, number = partition
    return (
        f"{topic} partition {number}: {finding} (the last: {last}), so the contract with its producer seems to have changed. "
        "Nothing more is acknowledged, and every worker that gets this partition will stop as well. Look at those set aside "
        "before with `goalstream dead-letters list --since 1h` and `show`, and mend the producer. To get past the records that "
        f"are there already, start with {setting}=0 (never stop): they are set aside, and once they can be processed "
        "`goalstream dead-letters redrive` sends them again."
    )


def letter_about(partition: Partition, record: Record, error: Exception) -> DeadLetter:
    """The dead letter of a record that fails with an error: of the contract, of the database, or a defect of ours."""
    match error:
        case InvalidRecord():
            return DeadLetter(partition, record, error.reason, error.detail)
        case RefusedByDatabase():
            return DeadLetter(partition, record, "refused_by_database", str(error))
        case _:
            return _unexpected(partition, record, error)


def _unexpected(partition: Partition, record: Record, error: Exception) -> DeadLetter:
    """A defect of ours never stops the stream: the record is kept for the day it is mended."""
    topic, number = partition
    log.error(
        "unexpected",
        topic=topic,
        partition=number,
        offset=record.offset,
        error=type(error).__name__,
        exc_info=error,
    )
    return DeadLetter(partition, record, "unexpected", f"{type(error).__name__}: {error}")


def letter_headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    """The original headers, and after them ours: whoever reads them back counts on this order."""
    record, (topic, partition) = letter.record, letter.partition
    return [
        *record.headers,
        ("goalstream_topic", topic.encode()),
        ("goalstream_partition", str(partition).encode()),
        ("goalstream_offset", str(record.offset).encode()),
        ("goalstream_timestamp", str(record.timestamp).encode()),
        ("goalstream_reason", letter.reason.encode()),
        ("goalstream_error", letter.error[:MAX_ERROR_LENGTH].encode(errors="replace")),
    ]

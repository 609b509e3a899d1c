"""Scanning: a stretch of an event topic read again for one contact, bounded in time and in records.

Nothing is joined and nothing is acknowledged: workers do not notice it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiokafka import TopicPartition

from goalstream.domain.events import Event
from goalstream.domain.times import from_milliseconds, to_milliseconds
from goalstream.errors import InvalidRecord, OperatorError
from goalstream.streams import reading
from goalstream.streams.codec import decode
from goalstream.streams.connection import Kafka
from goalstream.streams.reading import Stretches

REPORT_EVERY = 1_000
"""Records between two words about progress."""

_ESCAPE = b"\\u"
"""JSON may write any character so, those of ids too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What to look for: the events of one account's contact, under all its ids, whose records are in [since, until)."""

    topic: str
    account_id: str
    contact_ids: Sequence[str]
    since: datetime
    until: datetime
    max_records: int


@dataclass(slots=True, kw_only=True)
class Scanned:
    """What was found: events in no order, and what could not be looked into.

    `read` counts records. `left_out` are the oldest ones, where there were more than were to be read. `retained_from` tells of
    partitions where Kafka may have deleted something of the time that was asked for, when the earliest record was written
    that it still has; None where there is none. `unreadable` counts what names the contact and breaks the contract, by reason.
    """

    events: list[Event] = field(default_factory=list)
    read: int = 0
    left_out: int = 0
    retained_from: dict[int, datetime | None] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)


async def scan(kafka: Kafka, wanted: Scan, *, topic_prefix: str, on_progress: Callable[[int, int], None]) -> Scanned:
    """Reads what Kafka holds; `on_progress` hears of records read, and of all to be read.

    Raises BrokerUnavailable, or OperatorError where the topic does not exist.
    """
    found = Scanned()
    stretches = await _stretches(kafka, topic_prefix + wanted.topic, wanted, found)
    total = reading.length(stretches)
    names = [contact_id.encode() for contact_id in wanted.contact_ids]
    since, until = to_milliseconds(wanted.since), to_milliseconds(wanted.until)

    def take(record: Any) -> None:
        found.read += 1
        if found.read % REPORT_EVERY == 0:
            on_progress(found.read, total)
        if since <= record.timestamp < until and _may_name(record.value, names):
            _look_into(record, wanted, found)

    await reading.read(kafka, stretches, take)
    return found


def _look_into(record: Any, wanted: Scan, found: Scanned) -> None:
    try:
        event = decode(wanted.topic, record)
    except InvalidRecord as refused:
        found.unreadable[refused.reason] = found.unreadable.get(refused.reason, 0) + 1
        return
    if isinstance(event, Event) and event.account_id == wanted.account_id and event.contact_id in wanted.contact_ids:
        found.events.append(event)


def _may_name(value: bytes | None, contact_ids: Iterable[bytes]) -> bool:
    """Whether a record may be about one of them: hardly any other is decoded."""
    if value is None:
        return False
    text = value.lower()
    return any(contact_id in text for contact_id in contact_ids) or _ESCAPE in text


async def _stretches(kafka: Kafka, topic: str, wanted: Scan, found: Scanned) -> Stretches:
    """In every partition from the first record of the time that was asked for to the last; the newest, where they are too many."""
    async with reading.admin(kafka) as client:
        partitions = await reading.partitions_of(client, [topic])
    if not partitions:
        raise OperatorError(f"topic {topic} does not exist: run `goalstream topics`")
    async with reading.reader(kafka) as consumer:
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        firsts = await consumer.offsets_for_times(dict.fromkeys(partitions, to_milliseconds(wanted.since)))
        lasts = await consumer.offsets_for_times(dict.fromkeys(partitions, to_milliseconds(wanted.until)))
    begin_at = {partition: first.offset for partition, first in firsts.items() if first is not None}
    unknown = [
        partition for partition in partitions if partition not in begin_at and begins[partition] < ends[partition]
    ]
    # A broker that cannot look up by time (the embedded one) knows of none: the last record tells whether there is one.
    last_ones = await _timestamps(kafka, unknown, {partition: ends[partition] - 1 for partition in unknown})
    begin_at |= {partition: 0 for partition, moment in last_ones.items() if moment >= wanted.since}
    end_at = ends | {partition: last.offset for partition, last in lasts.items() if last is not None}
    stretches = {
        partition: (min(max(begin, begins[partition]), end_at[partition]), end_at[partition])
        for partition, begin in begin_at.items()
    }
    cut = {partition: begin for partition, begin in begins.items() if begin > 0}
    reached = {partition for partition, (begin, _) in stretches.items() if begin == begins[partition]}
    oldest = await _timestamps(kafka, [partition for partition in cut if partition in reached], begins)
    for partition, begin in cut.items():
        if partition in reached or begin == ends[partition]:
            found.retained_from[partition.partition] = oldest.get(partition)
    return _newest(stretches, wanted.max_records, found)


def _newest(stretches: Stretches, max_records: int, found: Scanned) -> Stretches:
    """As many records as may be read, out of every partition the same share."""
    total = reading.length(stretches)
    if total <= max_records:
        return stretches
    newest = {
        partition: (end - (end - begin) * max_records // total, end) for partition, (begin, end) in stretches.items()
    }
    found.left_out = total - reading.length(newest)
    return newest


async def _timestamps(
    kafka: Kafka, partitions: Sequence[TopicPartition], offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, datetime]:
    """When the records at these offsets were written; of what is no record, or has no time, nothing."""
    found: dict[TopicPartition, datetime] = {}

    def take(record: Any) -> None:
        if (moment := from_milliseconds(record.timestamp)) is not None:
            found[TopicPartition(record.topic, record.partition)] = moment

    await reading.read(
        kafka, {partition: (offsets[partition], offsets[partition] + 1) for partition in partitions}, take
    )
    return found

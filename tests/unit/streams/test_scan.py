"""Which records are read again, and what is told of those that are not: against a log in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition

from goalstream.errors import OperatorError
from goalstream.streams import reading
from goalstream.streams.connection import Kafka
from goalstream.streams.reading import Stretches
from goalstream.streams.scan import Scan, Scanned, scan

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACCOUNT, CONTACT, OTHER = (f"{digit * 8}-0000-4000-8000-000000000001" for digit in "abc")
TAG = "contact.tag.added"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A record, written some minutes ago."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Offset(NamedTuple):
    offset: int


class Log:
    """A topic in memory: by partition where it begins, and how many minutes ago each record was written."""

    def __init__(self, partitions: Mapping[int, tuple[int, list[float]]], *, knows_times: bool = True) -> None:
        self.records = {
            TopicPartition(TAG, partition): [
                record(partition, begin + number, minutes) for number, minutes in enumerate(ages)
            ]
            for partition, (begin, ages) in partitions.items()
        }
        self._begins = {TopicPartition(TAG, partition): begin for partition, (begin, _) in partitions.items()}
        self._knows_times = knows_times

    async def beginning_offsets(self, _: object) -> dict[TopicPartition, int]:
        return dict(self._begins)

    async def end_offsets(self, _: object) -> dict[TopicPartition, int]:
        return {partition: begin + len(self.records[partition]) for partition, begin in self._begins.items()}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Offset | None]:
        return {
            partition: next(
                (Offset(one.offset) for one in self.records[partition] if self._knows_times and one.timestamp >= time),
                None,
            )
            for partition, time in times.items()
        }

    async def read(self, _: Kafka, stretches: Stretches, take: Callable[[Any], None]) -> None:
        for partition, (begin, end) in stretches.items():
            for one in self.records[partition]:
                if begin <= one.offset < end:
                    take(one)


def record(partition: int, offset: int, minutes: float, contact_id: str = CONTACT) -> LogRecord:
    document = {
        "event_id": f"{partition}:{offset}",
        "event_type": TAG,
        "account_id": ACCOUNT,
        "timestamp": NOW.isoformat(),
        "data": {"contact_id": contact_id, "tag_name": "x"},
    }
    timestamp = int((NOW - timedelta(minutes=minutes)).timestamp() * 1000)
    value = json.dumps(document).encode()
    return LogRecord(topic=TAG, partition=partition, offset=offset, timestamp=timestamp, value=value)


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> Callable[[Log], None]:
    """Has the log read instead of Kafka."""

    def hold(log: Log) -> None:
        @asynccontextmanager
        async def gives_log(_: Kafka) -> AsyncIterator[Log]:
            yield log

        async def partitions_of(_: object, topics: list[str]) -> list[TopicPartition]:
            return [partition for partition in log.records if partition.topic in topics]

        monkeypatch.setattr(reading, "admin", gives_log)
        monkeypatch.setattr(reading, "reader", gives_log)
        monkeypatch.setattr(reading, "partitions_of", partitions_of)
        monkeypatch.setattr(reading, "read", log.read)

    return hold


async def scanned(*, since: float = 60, until: float = 0, max_records: int = 1_000_000, prefix: str = "") -> Scanned:
    wanted = Scan(
        topic=TAG,
        account_id=ACCOUNT,
        contact_ids=[CONTACT],
        since=NOW - timedelta(minutes=since),
        until=NOW - timedelta(minutes=until),
        max_records=max_records,
    )
    return await scan(Kafka(bootstrap_servers=""), wanted, topic_prefix=prefix, on_progress=lambda *_: None)


def ids(found: Scanned) -> list[str]:
    return sorted(event.event_id for event in found.events)


@pytest.mark.parametrize("knows_times", [True, False])
async def test_records_of_the_time_that_is_asked_for_are_read_and_no_others(
    holding: Callable[[Log], None], knows_times: bool
) -> None:
    holding(Log({0: (0, [90, 60, 30, 10]), 1: (0, [100, 61]), 2: (0, []), 3: (0, [20, 9])}, knows_times=knows_times))
    found = await scanned(until=10)
    assert ids(found) == ["0:1", "0:2", "3:0"]
    assert (found.left_out, found.retained_from) == (0, {})
    if knows_times:
        assert found.read == 3


async def test_what_kafka_may_have_deleted_is_told_by_partition(holding: Callable[[Log], None]) -> None:
    holding(Log({0: (5, [40, 30]), 1: (7, []), 2: (9, [70, 50]), 3: (0, [30]), 4: (4, [90])}))
    found = await scanned()
    assert ids(found) == ["0:5", "0:6", "2:10", "3:0"]
    assert found.retained_from == {0: NOW - timedelta(minutes=40), 1: None}


async def test_of_too_many_records_the_newest_are_read_of_every_partition(holding: Callable[[Log], None]) -> None:
    holding(Log({0: (0, [50, 40, 30, 20]), 1: (0, [45, 35])}))
    found = await scanned(max_records=3)
    assert ids(found) == ["0:2", "0:3", "1:1"]
    assert (found.read, found.left_out) == (3, 3)


async def test_only_events_of_the_accounts_contact_are_found(holding: Callable[[Log], None]) -> None:
    log = Log({0: (0, [5])})
    (records,) = log.records.values()
    records.append(record(0, 1, 4, OTHER))
    records.append(LogRecord(topic=TAG, partition=0, offset=2, timestamp=records[0].timestamp, value=None))
    elsewhere = (record(0, 3, 3).value or b"").replace(ACCOUNT.encode(), OTHER.encode())
    records.append(LogRecord(topic=TAG, partition=0, offset=3, timestamp=records[0].timestamp, value=elsewhere))
    broken = b'{"contact_id": "' + CONTACT.encode()
    records.append(LogRecord(topic=TAG, partition=0, offset=4, timestamp=records[0].timestamp, value=broken))
    holding(log)
    found = await scanned()
    assert (ids(found), found.read, found.unreadable) == (["0:0"], 5, {"not_json": 1})


async def test_a_topic_that_is_not_there_is_told(holding: Callable[[Log], None]) -> None:
    holding(Log({}))
    with pytest.raises(OperatorError, match=r"topic none\.contact\.tag\.added does not exist"):
        await scanned(prefix="none.")

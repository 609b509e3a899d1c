"""Offsets advance over finished batches, and never past one that is not done."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types.tuples import TP

from goalstream.streams.transport import BatchConsumer, BatchConsumerThread, OneBatchPerTopic

A, B, OTHER = TP("a", 0), TP("a", 1), TP("b", 0)


def records(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset, timestamp=1_000, timestamp_type=0) for offset in offsets]


@pytest.fixture
def consumer() -> BatchConsumer:
    """A consumer with its bookkeeping and nothing else."""
    found: Any = BatchConsumer.__new__(BatchConsumer)
    found.app = SimpleNamespace(consumer_generation_id=1)
    found._in_flight, found._finished, found._last_done, found._acked = {}, {}, {}, {}
    found._unacked_messages = set()
    found._n_acked = 0
    return found  # type: ignore[no-any-return]


def test_a_poll_becomes_one_batch_for_each_topic() -> None:
    batches = list(OneBatchPerTopic().iterate({A: records(1), OTHER: records(5), B: records(2, 3)}))
    assert [(first, set(batch)) for first, batch in batches] == [(A, {A, B}), (OTHER, {OTHER})]


def test_a_message_has_the_last_offset_of_its_own_partition(consumer: BatchConsumer) -> None:
    assert consumer._to_message(A, {A: records(3, 9), B: records(70)}).offset == 9


def test_an_acknowledged_batch_moves_every_partition_in_it(consumer: BatchConsumer) -> None:
    consumer.ack(consumer._to_message(A, {A: records(1, 2), B: records(7)}))
    assert (consumer._new_offset(A), consumer._new_offset(B)) == (3, 8)
    assert consumer._new_offset(A) is None


def test_an_offset_never_passes_a_batch_that_is_not_done(consumer: BatchConsumer) -> None:
    first = consumer._to_message(A, {A: records(1)})
    second = consumer._to_message(A, {A: records(2)})
    consumer.ack(second)
    assert consumer._new_offset(A) is None
    consumer.ack(first)
    assert consumer._new_offset(A) == 3


def test_a_batch_from_before_a_rebalance_is_not_acknowledged(consumer: BatchConsumer) -> None:
    message = consumer._to_message(A, {A: records(1)})
    consumer.app.consumer_generation_id = 2
    assert not consumer.ack(message)
    assert consumer._new_offset(A) is None


def test_a_second_acknowledgement_changes_nothing(consumer: BatchConsumer) -> None:
    message = consumer._to_message(A, {A: records(1)})
    assert consumer.ack(message)
    assert not consumer.ack(message)


@pytest.fixture
def ends(consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch) -> dict[TP, int | None]:
    """Where partitions end, of those that the consumer has."""
    found: dict[TP, int | None] = {}
    monkeypatch.setattr(consumer, "assignment", lambda: set(found), raising=False)
    monkeypatch.setattr(consumer, "highwater", lambda partition: found[partition], raising=False)
    return found


def timed(*moments: int) -> list[Any]:
    return [SimpleNamespace(offset=at, timestamp=at * 1_000, timestamp_type=0) for at in moments]


def test_the_lag_is_what_is_not_acknowledged_and_the_age_that_of_the_oldest(
    consumer: BatchConsumer, ends: dict[TP, int | None]
) -> None:
    ends |= {A: 10, B: 30, OTHER: 99}
    assert consumer.lag("a") == (0, None), "nothing is known of them yet"
    first, second = consumer._to_message(A, {A: timed(2, 3), B: timed(20)}), consumer._to_message(A, {A: timed(4, 9)})
    assert consumer.lag("a") == (8 + 10, datetime.fromtimestamp(2, UTC))
    consumer.ack(first)
    assert consumer.lag("a") == (6 + 9, datetime.fromtimestamp(4, UTC))
    consumer.ack(second)
    assert consumer.lag("a") == (9, datetime.fromtimestamp(20, UTC)), "of what is not read yet, what came before it"
    ends[B] = 21
    assert consumer.lag("a") == (0, None)


def test_a_partition_whose_end_is_not_known_or_that_is_just_taken_away_has_no_lag(
    consumer: BatchConsumer, ends: dict[TP, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer._to_message(A, {A: timed(2)})
    ends[A] = None
    assert consumer.lag("a") == (0, None)

    def taken_away(_: TP) -> int:
        raise AssertionError

    monkeypatch.setattr(consumer, "highwater", taken_away, raising=False)
    assert consumer.lag("a") == (0, None)


class FakeKafkaConsumer:
    """aiokafka's consumer as far as it seeks: where nothing is committed it stays where it is."""

    def __init__(self, committed: dict[TP, int | None], positions: dict[TP, int]) -> None:
        self.committed = committed
        self.positions = positions

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.positions.update({partition: offset for partition, offset in self.committed.items() if offset})
        return self.committed

    async def seek_to_beginning(self, *partitions: TP) -> None:
        unknown = set(partitions) - self.positions.keys()
        if unknown:
            raise IllegalStateError(f"Partitions {unknown} are not assigned")
        self.positions.update(dict.fromkeys(partitions, 0))


def seeking(consumer: FakeKafkaConsumer) -> BatchConsumerThread:
    thread: Any = BatchConsumerThread.__new__(BatchConsumerThread)
    thread._ensure_consumer = lambda: consumer
    return thread  # type: ignore[no-any-return]


async def test_what_a_rebalance_threw_away_is_read_again_also_where_nothing_was_ever_acknowledged() -> None:
    consumer = FakeKafkaConsumer({A: 7, B: None, OTHER: 0}, {A: 9, B: 49, OTHER: 20})
    assert await seeking(consumer)._seek_to_committed() == {A: 7, B: None, OTHER: 0}
    assert consumer.positions == {A: 7, B: 0, OTHER: 0}


async def test_a_partition_that_goes_while_its_beginning_is_sought_is_somebody_elses() -> None:
    consumer = FakeKafkaConsumer({A: 7, B: None}, {A: 9})
    assert await seeking(consumer)._seek_to_committed() == {A: 7, B: None}

"""Right after an assignment a partition has no position yet: nothing may come to grief over it."""

from __future__ import annotations

import pytest
from aiokafka.consumer.subscription_state import TopicPartitionState
from faust.types import TP

from goalstream.streams.transport import BatchConsumer


async def test_a_partition_without_a_position_does_not_end_the_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TP] = []

    def look(now: float, tp: TP) -> int:
        asked.append(tp)
        return int(TopicPartitionState(tp).position)

    consumer = BatchConsumer.__new__(BatchConsumer)
    monkeypatch.setattr(consumer, "assignment", lambda: {TP("form.submitted", 0)}, raising=False)
    monkeypatch.setattr(consumer, "verify_event_path", look, raising=False)
    with pytest.raises(AssertionError):
        look(0, TP("form.submitted", 0))
    asked.clear()
    await consumer.verify_all_partitions_active()
    assert not asked

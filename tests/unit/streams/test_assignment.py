"""How partitions are dealt out: Faust's own assignor, with what the app is set to."""

from __future__ import annotations

from math import ceil
from typing import cast

import pytest
from faust.assignor.client_assignment import CopartitionedAssignment
from faust.assignor.copartitioned_assignor import CopartitionedAssignor
from faust.assignor.partition_assignor import PartitionAssignor

from goalstream.config import Settings
from goalstream.streams.app import build_app
from goalstream.streams.processor import Processor

Held = dict[str, CopartitionedAssignment]


@pytest.mark.parametrize("partitions", [1, 4, 12, 24])
def test_no_worker_is_idle_while_there_are_as_many_partitions(partitions: int) -> None:
    standbys = build_app(Settings(), cast("Processor", None), lambda _: None).assignor.replicas
    held: Held = {}
    for workers in [*range(1, partitions + 1), *range(partitions - 1, 0, -1)]:
        held = _rebalanced(held, workers, partitions, standbys)
        counts = [len(one.actives) for one in held.values()]
        assert sum(counts) == partitions
        assert all(counts), f"one of {workers} workers has none: {counts}"
        assert max(counts) <= ceil(partitions / workers)


def test_members_of_all_releases_have_the_same_assignor() -> None:
    app = build_app(Settings(), cast("Processor", None), lambda _: None)
    assert app.conf.table_standby_replicas > 0, "else Faust takes another one"
    assert isinstance(app.assignor, PartitionAssignor)


def _rebalanced(held: Held, workers: int, partitions: int, standbys: int) -> Held:
    """What so many workers read of a topic, after what they read before."""
    names = [f"worker-{number}" for number in range(workers)]
    kept = {name: held.get(name) or CopartitionedAssignment(topics={"topic"}) for name in names}
    return dict(CopartitionedAssignor({"topic"}, kept, num_partitions=partitions, replicas=standbys).get_assignment())

"""Which stretch of the log is read where only the newest records are wanted."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from goalstream.streams.reading import newest


@pytest.mark.parametrize(
    ("sizes", "count", "found"),
    [
        ([5, 5], 10, [5, 5]),
        ([5, 5], 99, [5, 5]),
        ([5, 5], 4, [2, 2]),
        ([1, 100, 100], 21, [1, 10, 10]),
        ([100, 0, 2], 9, [7, 0, 2]),
        ([3, 3], 1, [0, 1]),
        ([3], 0, [0]),
        ([], 5, []),
    ],
)
def test_every_partition_has_its_share_and_what_one_does_not_need_goes_to_the_others(
    sizes: list[int], count: int, found: list[int]
) -> None:
    stretches = {TopicPartition("t", number): (7, 7 + size) for number, size in enumerate(sizes)}
    ends = newest(stretches, count)
    assert [ends[partition][1] - ends[partition][0] for partition in stretches] == found
    assert all(ends[partition][1] == end for partition, (_, end) in stretches.items())


@given(st.lists(st.integers(0, 50)), st.integers(0, 500))
def test_as_many_are_read_as_are_wanted_and_there(sizes: list[int], count: int) -> None:
    stretches = {TopicPartition("t", number): (0, size) for number, size in enumerate(sizes)}
    assert sum(end - begin for begin, end in newest(stretches, count).values()) == min(count, sum(sizes))

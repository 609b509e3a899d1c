"""Facts that arrive while others are being settled are settled together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from goalstream.domain.facts import Fact
from goalstream.streams.together import Together
from tests.unit.domain.builders import match
from tests.unit.streams.fakes import until


class Settlements:
    """Remembers the groups that are settled; each waits for the gate, and fails where it holds a refused fact."""

    def __init__(self, *, refused: str = "") -> None:
        self.groups: list[list[str]] = []
        self.gate = asyncio.Event()
        self._refused = refused

    async def __call__(self, facts: Sequence[Fact]) -> None:
        self.groups.append([fact.event_id for fact in facts])
        await self.gate.wait()
        if self._refused in self.groups[-1]:
            raise ValueError(self._refused)


def submit(together: Together, event_id: str) -> asyncio.Task[bool]:
    return asyncio.create_task(together.submit([match(event_id=event_id)]))


async def test_who_comes_while_others_are_settled_is_settled_with_the_next() -> None:
    settlements = Settlements()
    together = Together(settlements)
    callers = [submit(together, "e1")]
    await until(lambda: settlements.groups == [["e1"]])
    callers += [submit(together, f"e{number}") for number in range(2, 6)]
    await asyncio.sleep(0)
    settlements.gate.set()
    assert await asyncio.gather(*callers) == [True] * 5
    assert settlements.groups == [["e1"], ["e2", "e3", "e4", "e5"]]


async def test_who_is_alone_hears_what_went_wrong() -> None:
    settlements = Settlements(refused="e1")
    settlements.gate.set()
    with pytest.raises(ValueError, match="e1"):
        await Together(settlements).submit([match(event_id="e1")])


async def test_a_group_that_fails_leaves_everybody_to_try_alone() -> None:
    settlements = Settlements(refused="e3")
    together = Together(settlements)
    callers = [submit(together, "e1")]
    await until(lambda: len(settlements.groups) == 1)
    callers += [submit(together, "e2"), submit(together, "e3")]
    await asyncio.sleep(0)
    settlements.gate.set()
    assert await asyncio.gather(*callers) == [True, False, False]


async def test_when_it_is_cancelled_nobody_waits_for_ever() -> None:
    settlements = Settlements()
    together = Together(settlements)
    first = submit(together, "e1")
    await until(lambda: len(settlements.groups) == 1)
    second, third = submit(together, "e2"), submit(together, "e3")
    await asyncio.sleep(0)
    first.cancel()
    await until(lambda: len(settlements.groups) == 2)
    second.cancel()
    found = await asyncio.gather(first, second, third, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in found)

"""Facts that arrive while others are being settled are settled together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from goalstream.domain.facts import Fact
from goalstream.streams.together import ENOUGH_FACTS, Together
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


def submit(together: Together, event_id: str, *, can_wait: bool = False) -> asyncio.Task[bool]:
    return asyncio.create_task(together.submit([match(event_id=event_id)], can_wait=can_wait))


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


async def test_who_can_wait_does_until_somebody_comes_who_cannot() -> None:
    settlements = Settlements()
    settlements.gate.set()
    together = Together(settlements)
    callers = [submit(together, "e1", can_wait=True), submit(together, "e2", can_wait=True)]
    await asyncio.sleep(0.001)
    assert settlements.groups == []
    callers.append(submit(together, "e3"))
    assert await asyncio.gather(*callers) == [True] * 3
    assert settlements.groups == [["e1", "e2", "e3"]]


async def test_nobody_waits_when_there_are_enough_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalstream.streams.together.LONGEST_WAIT_SECONDS", 3_600)
    settlements = Settlements()
    settlements.gate.set()
    facts = [match(event_id=f"e{number}") for number in range(ENOUGH_FACTS)]
    assert await Together(settlements).submit(facts, can_wait=True)


async def test_more_than_may_be_settled_together_take_turns_and_nobody_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalstream.streams.together.LONGEST_WAIT_SECONDS", 3_600)
    monkeypatch.setattr("goalstream.streams.together.MOST_FACTS", 3)
    settlements = Settlements()
    together = Together(settlements)
    callers = [submit(together, "e1")]
    await until(lambda: settlements.groups == [["e1"]])
    large = asyncio.create_task(together.submit([match(event_id="big")] * 5, can_wait=True))
    callers += [large, *(submit(together, f"e{number}", can_wait=number % 2 == 0) for number in range(2, 9))]
    await asyncio.sleep(0)
    settlements.gate.set()
    assert await asyncio.gather(*callers) == [True] * 9
    assert settlements.groups == [["e1"], ["big"] * 5, ["e2", "e3", "e4"], ["e5", "e6", "e7"], ["e8"]]


async def test_nobody_waits_for_long() -> None:
    settlements = Settlements()
    settlements.gate.set()
    together = Together(settlements)
    for event_id in ("e1", "e2"):
        assert await submit(together, event_id, can_wait=True)
    assert settlements.groups == [["e1"], ["e2"]]


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


async def test_when_it_is_cancelled_everybody_else_tries_alone() -> None:
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
    assert [type(one) for one in found] == [asyncio.CancelledError, asyncio.CancelledError, bool]
    assert found[2] is False

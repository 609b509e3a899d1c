"""A crash at any await: a coroutine is driven step by step, and at one of its suspensions it is gone, as with kill -9."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

MOST_CLEANUPS = 100
"""A coroutine that is still not over after so many has a loop that swallows everything."""

_Result = TypeVar("_Result")


class Crashed(BaseException):
    """The process is gone. No error that anybody handles, so that nothing is tried again."""


class Crashing(Generic[_Result]):
    """Awaits a coroutine, and crashes at its `at`-th suspension, counted from 0; not at all if it has fewer, or without `at`.

    What it waits for at that moment has been asked of the outside, and may or may not happen. `cut_off` must see to it that
    nothing of what the coroutine still does while it is thrown out, such as to roll back, reaches the outside.
    """

    def __init__(self, work: Coroutine[Any, Any, _Result], at: int | None, cut_off: Callable[[], None]) -> None:
        self._work = work
        self._at = at
        self._cut_off = cut_off

    def __await__(self) -> Generator[Any, Any, _Result]:
        passed = 0
        step: Callable[[], Any] = lambda: self._work.send(None)  # noqa: E731 - the next step, whichever it is
        while True:
            try:
                waited_for = step()
            except StopIteration as end:
                result: _Result = end.value
                return result
            if passed == self._at:
                self._crash()
            passed += 1
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001 - belongs to the coroutine, whatever it is
                step = _throwing(self._work, error)
            else:
                step = _sending(self._work)

    def _crash(self) -> None:
        self._cut_off()
        for _ in range(MOST_CLEANUPS):
            try:
                self._work.throw(Crashed())
            except BaseException:  # noqa: BLE001 - what a dead process thinks of it
                raise Crashed from None
        raise RuntimeError("a coroutine does not end, however often it crashes")


def _sending(work: Coroutine[Any, Any, Any]) -> Callable[[], Any]:
    return lambda: work.send(None)


def _throwing(work: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: work.throw(error)

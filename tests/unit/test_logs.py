"""Log lines: what repeats in an outage is written seldom, and nothing else is left out."""

from __future__ import annotations

import asyncio
import logging

import pytest
import structlog

from goalstream.observability.logs import SELDOM_SECONDS, Seldom


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_repeated_warning_comes_again_after_a_while_and_tells_how_many_were_left_out() -> None:
    clock = Clock()
    seldom = Seldom(clock=clock)
    assert seldom(None, "warning", {"event": "away"}) == {"event": "away"}
    for _ in range(3):
        with pytest.raises(structlog.DropEvent):
            seldom(None, "warning", {"event": "away"})
    assert seldom(None, "warning", {"event": "other"}) == {"event": "other"}
    clock.now = SELDOM_SECONDS
    assert seldom(None, "warning", {"event": "away"}) == {"event": "away", "repeated": 3}


def test_of_two_services_that_are_away_neither_hides_the_other() -> None:
    seldom = Seldom(clock=Clock())
    for service in ("kafka", "database"):
        line = {"event": "waiting_for_service", "service": service}
        assert seldom(None, "warning", dict(line)) == line
        with pytest.raises(structlog.DropEvent):
            seldom(None, "warning", dict(line))


@pytest.mark.parametrize("method", ["debug", "info", "error", "critical"])
def test_other_levels_always_pass(method: str) -> None:
    seldom = Seldom(clock=Clock())
    for _ in range(3):
        assert seldom(None, method, {"event": "same"}) == {"event": "same"}


def test_a_library_says_one_thing_every_now_and_then_and_tells_of_each_defect() -> None:
    clock = Clock()
    seldom = Seldom(clock=clock)

    def admitted(name: str, level: int, text: str, error: BaseException | None = None) -> bool:
        exc_info = None if error is None else (type(error), error, None)
        return seldom.filter(logging.LogRecord(name, level, __file__, 1, text, (), exc_info))

    assert admitted("aiokafka.conn", logging.ERROR, "no node")
    assert not admitted("aiokafka.consumer.fetcher", logging.WARNING, "no records")
    assert admitted("faust.app", logging.ERROR, "no node")
    assert [admitted("aiokafka", logging.ERROR, "broken", ValueError()) for _ in range(2)] == [True, False]
    assert not admitted("faust.agents.actor", logging.ERROR, "Crashed reason=%r", asyncio.CancelledError())
    assert [admitted("aiokafka", logging.INFO, "usual") for _ in range(2)] == [True, True]
    clock.now = SELDOM_SECONDS
    assert admitted("aiokafka.consumer.fetcher", logging.WARNING, "no records")


def test_what_asyncio_tells_of_many_objects_is_one_thing() -> None:
    seldom = Seldom(clock=Clock())

    def admitted(text: str, error: BaseException) -> bool:
        exc_info = (type(error), error, None)
        return seldom.filter(logging.LogRecord("asyncio", logging.ERROR, __file__, 1, text, (), exc_info))

    texts = [f"Future exception was never retrieved\nfuture: <Future at {number:#x}>" for number in range(3)]
    assert [admitted(text, OSError()) for text in texts] == [True, False, False]
    assert admitted(texts[0], ValueError())

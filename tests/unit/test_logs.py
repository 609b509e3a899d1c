"""Log lines: what repeats in an outage is written seldom, and nothing else is left out."""

from __future__ import annotations

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


@pytest.mark.parametrize("method", ["debug", "info", "error", "critical"])
def test_other_levels_always_pass(method: str) -> None:
    seldom = Seldom(clock=Clock())
    for _ in range(3):
        assert seldom(None, method, {"event": "same"}) == {"event": "same"}


def test_warnings_and_errors_of_libraries_are_written_seldom_by_their_template() -> None:
    seldom = Seldom(clock=Clock())

    def admitted(level: int, text: str, *values: object) -> bool:
        return seldom.filter(logging.LogRecord("aiokafka.conn", level, __file__, 1, text, values, None))

    assert [admitted(logging.ERROR, "no %s", node) for node in range(3)] == [True, False, False]
    assert admitted(logging.ERROR, "another")
    assert [admitted(logging.INFO, "usual") for _ in range(2)] == [True, True]

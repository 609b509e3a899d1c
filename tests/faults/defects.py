"""Defects of ours: exceptions raised at records that carry a mark, wherever on the path of a batch the mark says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from goalstream.storage.ledger import Ledger
from goalstream.streams import processor
from tests.faults.failpoints import before
from tests.oracle.history import EVENT_TOPICS, Record

OUTLINE, DECODE, WHOLE, STORE, SETTLE = "outline", "decode", "whole", "store", "settle"
OF_EVENTS = (OUTLINE, WHOLE, STORE, SETTLE)
"""Places for an event that matches: it is read in outline, and whole only then."""

OF_OTHER_FACTS = (DECODE, STORE, SETTLE)

_EVENT_ID = re.compile(rb'^\{"event_id":"[^"]*"')
_MARKED = re.compile(rb'^\{"event_id":"defect-')


def can_be_marked(record: Record) -> bool:
    """A plain envelope that has an event id."""
    return record.value is not None and not record.headers and _EVENT_ID.match(record.value) is not None


def marked(record: Record, place: str, number: int) -> Record:
    """The record under another event id, at which the worker fails at that place."""
    mark = f'{{"event_id":"defect-{place}-{number}"'.encode()
    return replace(record, value=_EVENT_ID.sub(mark, record.value or b"", count=1))


def is_marked(record: Record) -> bool:
    """Whether it is meant to fail."""
    return _MARKED.match(record.value or b"") is not None


def places(topic: str) -> tuple[str, ...]:
    """Where records of a topic come past."""
    return OF_EVENTS if topic in EVENT_TOPICS else OF_OTHER_FACTS


def arm() -> None:
    """From now on this process fails at marked records."""
    _fail_while_reading()
    for place, step in ((STORE, "store"), (SETTLE, "settle")):
        before(Ledger, step, lambda _, facts, at=place: _any_is_marked(facts, at), _fail)


def _fail_while_reading() -> None:
    decode, outline_reader = vars(processor)["decode"], vars(processor)["outline_reader"]

    def failing_decode(topic: str, record: Any) -> Any:
        _fail_at(record.value, DECODE, WHOLE)
        return decode(topic, record)

    def failing_outline_reader(topic: str) -> Callable[[Any], Any]:
        read = outline_reader(topic)

        def read_outline(record: Any) -> Any:
            _fail_at(record.value, OUTLINE)
            return read(record)

        return read_outline

    vars(processor).update(decode=failing_decode, outline_reader=failing_outline_reader)


def _fail_at(value: bytes | None, *here: str) -> None:
    if value is not None and any(value.startswith(f'{{"event_id":"defect-{place}-'.encode()) for place in here):
        _fail()


def _any_is_marked(facts: Iterable[Any], place: str) -> bool:
    return any(fact.event_id.startswith(f"defect-{place}-") for fact in facts)


def _fail() -> None:
    raise RuntimeError("a defect that was put here")

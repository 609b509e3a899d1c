"""Defects of ours: exceptions raised at records that carry a mark, wherever on the path of a batch the mark says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from goalstream.storage.ledger import Ledger
from goalstream.streams import matching
from tests.faults.failpoints import before
from tests.oracle.history import Record

DECODE, STORE, SETTLE = PLACES = ("decode", "store", "settle")
"""Where records come past; an event comes past all of them where it matches."""

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


def arm() -> None:
    """From now on this process fails at marked records."""
    _fail_while_reading()
    for place, step in ((STORE, "store"), (SETTLE, "settle")):
        before(Ledger, step, lambda _, facts, at=place: _any_is_marked(facts, at), _fail)


def _fail_while_reading() -> None:
    decode = vars(matching)["decode"]

    def failing_decode(topic: str, record: Any) -> Any:
        _fail_at(record.value, DECODE)
        return decode(topic, record)

    vars(matching).update(decode=failing_decode)


def _fail_at(value: bytes | None, place: str) -> None:
    if value is not None and value.startswith(f'{{"event_id":"defect-{place}-'.encode()):
        _fail()


def _any_is_marked(facts: Iterable[Any], place: str) -> bool:
    return any(fact.event_id.startswith(f"defect-{place}-") for fact in facts)


def _fail() -> None:
    raise RuntimeError("a defect that was put here")

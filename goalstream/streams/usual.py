"""The usual record, read many at a time: a plain envelope without headers and without anything suspicious in it.

Nearly every record is one. Every field is checked, but only the event's outline is kept, by which goals are matched: an event
that matches is then read whole by `codec`. What can be checked for many records in one go is checked so. Whatever is unusual
is left to `codec`, which gives every verdict; a test holds that both read the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import compress
from operator import not_
from typing import NamedTuple

import msgspec

from goalstream.domain.texts import are_uuids, is_uuid
from goalstream.domain.times import LAST_MILLISECOND, parse_time
from goalstream.streams.envelope import MAX_DEPTH
from goalstream.streams.frame import known_account
from goalstream.streams.outlines import AnyRawOutline, outline_decoder
from goalstream.streams.ports import Record

MIN_BYTES_TO_NEST_TOO_DEEP = 350
"""A usual record has 162 bytes of fields that it must have; 99 more levels take two bytes each."""

OFFSET_WITHOUT_COLON = '0000"'
"""The end of a time like 10:00:00+0000, which msgspec reads although RFC 3339 does not allow it."""

BACKSLASH = ord("\\")

_HAS_FORBIDDEN_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])").search
"""U+0000, or a half of a pair of surrogates: most are whole, which `codec` finds out."""


class Usual(NamedTuple):
    """The usual records among those of a partition with their outlines, and all others.

    `newest` is a moment after which none of the usual events happened.
    """

    records: list[Record]
    outlines: list[AnyRawOutline]
    newest: datetime | None
    others: list[Record]


def usual_reader(topic: str) -> Callable[[Sequence[Record]], Usual]:
    """Tells the usual records of an event topic from others, about which it says nothing: `codec.decode` does."""
    read = outline_decoder(topic)

    def read_usual(records: Sequence[Record]) -> Usual:
        found: list[Record] = []
        outlines: list[AnyRawOutline] = []
        others: list[Record] = []
        for record in records:
            value = record.value
            if (
                value is None
                or record.headers
                or not 0 <= record.timestamp <= LAST_MILLISECOND
                or _is_suspicious(value)
            ):
                others.append(record)
                continue
            try:
                outlines.append(read(value))
                found.append(record)
            except (msgspec.DecodeError, ArithmeticError):
                others.append(record)
        newest = _newest_if_valid(outlines)
        if newest is None:
            valid = list(map(_is_valid, outlines))
            others += compress(found, map(not_, valid))
            found, outlines = list(compress(found, valid)), list(compress(outlines, valid))
            newest = max(filter(None, (parse_time(outline.told_at) for outline in outlines)), default=None)
        return Usual(found, outlines, newest, others)

    return read_usual


def _is_suspicious(value: bytes) -> bool:
    """Whether it may hold what PostgreSQL cannot store, or nest too deep."""
    if not value.isascii() and not _is_utf8(value):
        return True
    if BACKSLASH in value and _HAS_FORBIDDEN_ESCAPE(value):
        return True
    return len(value) >= MIN_BYTES_TO_NEST_TOO_DEEP and value.count(b"{") + value.count(b"[") > MAX_DEPTH


def _is_utf8(value: bytes) -> bool:
    """msgspec does not look into what it skips."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_valid(outline: AnyRawOutline) -> bool:
    """Whether the fields hold what `codec` would accept, and as it would write them."""
    return (
        known_account(outline.account_id) == outline.account_id
        and is_uuid(outline.occurrence.contact_id)
        and parse_time(outline.told_at) is not None
        and outline.occurrence.has_valid_amount
    )


def _newest_if_valid(outlines: Sequence[AnyRawOutline]) -> datetime | None:
    """The last time told, rounded up; None where not all of many are valid, which is a fourth of the work of looking at each."""
    accounts = {outline.account_id for outline in outlines}
    if any(known_account(account) != account for account in accounts):
        return None
    if not are_uuids([outline.occurrence.contact_id for outline in outlines]):
        return None
    if not all([outline.occurrence.has_valid_amount for outline in outlines]):
        return None
    return _newest_time([outline.told_at for outline in outlines])


def _newest_time(texts: Sequence[str]) -> datetime | None:
    """The last of many times, which msgspec reads in one go; None where one is not as programs write UTC."""
    document = '["' + '","'.join(texts) + '"]'
    if OFFSET_WITHOUT_COLON in document:
        return None
    try:
        times = _read_times(document)
    except msgspec.DecodeError:
        return None
    are_all_utc = len(times) == len(texts) and all([time.tzinfo is UTC for time in times])
    return max(times) if times and are_all_utc else None


_read_times = msgspec.json.Decoder(list[datetime]).decode

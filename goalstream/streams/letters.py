"""Dead letters as they are read back: what each says, which were done with already, and which a person means.

The dead-letter topic holds two kinds of records: letters, whose last headers are ours, and marks, which say what became of a
letter. A mark lies on the letter's own partition, so that it is there for as long as the letter is; its key is the letter's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from goalstream.streams.ports import Headers, PlacedRecord

MARK_HEADER = "goalstream_mark"
ATTEMPTS_HEADER = "goalstream_attempts"
"""On a record that was sent again: which attempt it is. Where that fails too, its dead letter has it from the record."""

_FIRST_HEADER = "goalstream_topic"
_MAX_DIGITS = 18


class Mark(StrEnum):
    """What became of a dead letter; one without a mark is open."""

    REDRIVEN = "redriven"
    DROPPED = "dropped"


class Place(NamedTuple):
    """Where on the dead-letter topic a letter lies."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Origin(NamedTuple):
    """The record that was set aside. The timestamp, too: a topic that was made anew counts its offsets from 0 again."""

    topic: str
    partition: int
    offset: int
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter without its value: timestamps are in milliseconds since 1970, the size is the value's.

    `headers` are those of the original record; `attempts` is how often it was tried, and failed.
    """

    place: Place
    set_aside_at: int
    origin: Origin
    reason: str
    error: str
    key: bytes | None
    size_bytes: int
    headers: Headers
    attempts: int
    mark: Mark | None = None
    marked_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters a person means; what is not said does not matter. Times are when a letter was set aside."""

    reason: str | None = None
    topic: str | None = None
    since: int | None = None
    until: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant; since is inclusive, until is not."""
        return (
            self.reason in (None, letter.reason)
            and self.topic in (None, letter.origin.topic)
            and (self.since is None or letter.set_aside_at >= self.since)
            and (self.until is None or letter.set_aside_at < self.until)
        )


class Collection:
    """The letters among the records of the dead-letter topic.

    A worker that dies between setting a record aside and acknowledging it sets it aside again: such copies are one letter,
    whose id is the first copy's, and what was done with one of them was done with it.
    """

    def __init__(self) -> None:
        self._letters: dict[Origin, Letter] = {}
        self._origins: dict[Place, Origin] = {}
        self._marks: dict[Place, tuple[int, Mark]] = {}
        self.strangers = 0
        """Records that goalstream did not write."""

        self.unread = 0
        """Older records that were not looked at."""

    def add(self, record: PlacedRecord) -> None:
        """Takes in a record of the dead-letter topic, in the order of its partition."""
        if (found := _read_mark(record)) is not None:
            place, mark = found
            self._marks[place] = (record.timestamp, mark)
        elif (letter := read_letter(record)) is not None:
            self._origins[letter.place] = letter.origin
            first = self._letters.setdefault(letter.origin, letter)
            if _age(letter) < _age(first):
                self._letters[letter.origin] = letter
        else:
            self.strangers += 1

    def letters(self) -> list[Letter]:
        """All of them, in the order in which they were set aside."""
        return sorted(self._marked().values(), key=_age)

    def find(self, places: Iterable[Place]) -> tuple[list[Letter], list[Place]]:
        """The letters at these places, each once, and the places where there is none."""
        marked = self._marked()
        found: dict[Origin, Letter] = {}
        missing = []
        for place in places:
            origin = self._origins.get(place)
            if origin is None:
                missing.append(place)
            else:
                found[origin] = marked[origin]
        return sorted(found.values(), key=_age), missing

    def _marked(self) -> dict[Origin, Letter]:
        marked = dict(self._letters)
        for place, (at, mark) in sorted(self._marks.items(), key=lambda item: item[1]):
            origin = self._origins.get(place)
            if origin is not None:
                marked[origin] = replace(marked[origin], mark=mark, marked_at=at)
        return marked


def read_letter(record: PlacedRecord) -> Letter | None:
    """What a record of the dead-letter topic says; None where goalstream did not write it, or wrote a mark.

    The original record may have had headers with our names: ours are the last.
    """
    names = [name for name, _ in record.headers]
    if _FIRST_HEADER not in names:
        return None
    begin = len(names) - 1 - names[::-1].index(_FIRST_HEADER)
    ours = {name: (value or b"").decode(errors="replace") for name, value in record.headers[begin:]}
    partition, offset = _number(ours.get("goalstream_partition")), _number(ours.get("goalstream_offset"))
    if partition is None or offset is None:
        return None
    headers, attempts = _without_attempts(record.headers[:begin])
    timestamp = _number(ours.get("goalstream_timestamp"))
    return Letter(
        place=Place(record.partition, record.offset),
        set_aside_at=record.timestamp,
        origin=Origin(ours[_FIRST_HEADER], partition, offset, -1 if timestamp is None else timestamp),
        reason=ours.get("goalstream_reason", ""),
        error=ours.get("goalstream_error", ""),
        key=record.key,
        size_bytes=len(record.value or b""),
        headers=tuple(headers),
        attempts=attempts,
    )


def parse_place(text: str) -> Place | None:
    """A letter's id, `partition:offset`; None when it is none."""
    partition, colon, offset = text.partition(":")
    numbers = _number(partition), _number(offset)
    if not colon or numbers[0] is None or numbers[1] is None:
        return None
    return Place(numbers[0], numbers[1])


def _read_mark(record: PlacedRecord) -> tuple[Place, Mark] | None:
    if not record.headers or record.headers[-1][0] != MARK_HEADER:
        return None
    place = parse_place((record.key or b"").decode(errors="replace"))
    value = (record.headers[-1][1] or b"").decode(errors="replace")
    return (place, Mark(value)) if place is not None and value in set(Mark) else None


def _without_attempts(headers: Headers) -> tuple[Sequence[tuple[str, bytes | None]], int]:
    """The headers as they were at first, and how often the record was tried: once, unless the last header says otherwise."""
    if headers and headers[-1][0] == ATTEMPTS_HEADER:
        attempts = _number((headers[-1][1] or b"").decode(errors="replace"))
        if attempts:
            return headers[:-1], attempts
    return headers, 1


def _number(text: str | None) -> int | None:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text) if is_number and text is not None else None


def _age(letter: Letter) -> tuple[int, Place]:
    return letter.set_aside_at, letter.place

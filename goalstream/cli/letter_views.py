"""How dead letters look: as a table, as JSON, and one in full.

What stands in a record was written by others: nothing of it reaches the terminal but printable characters. Values, which hold
personal data, and the details that PostgreSQL adds to its errors are shown for one letter alone, when asked for by its id.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from goalstream.cli.terminal import printable
from goalstream.domain.times import from_milliseconds
from goalstream.streams.letters import Letter
from goalstream.streams.ports import Record

MAX_KEY_LENGTH = 40


def summary(letters: Sequence[Letter]) -> str:
    """How many there are, and how many for each reason, the most frequent first."""
    noun = "dead letter" if len(letters) == 1 else "dead letters"
    reasons = Counter(letter.reason for letter in letters).most_common()
    return f"{len(letters)} {noun}" + "".join(
        f"{': ' if number == 0 else ', '}{count} {printable(reason)}" for number, (reason, count) in enumerate(reasons)
    )


def table(letters: Iterable[Letter]) -> Table:
    """A row for each letter."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ID", "TIME", "ORIGIN", "REASON", "ATTEMPTS", "BYTES", "KEY", "STATE", "ERROR"):
        found.add_column(name, no_wrap=True, justify="right" if name in ("ATTEMPTS", "BYTES") else "left")
    for letter in letters:
        cells = (
            str(letter.place),
            moment(letter.set_aside_at),
            f"{letter.origin.topic} {letter.origin.partition}:{letter.origin.offset}",
            letter.reason,
            str(letter.attempts),
            str(letter.size_bytes),
            _short(_key(letter.key)),
            "open" if letter.mark is None else letter.mark.value,
            sentence(letter.error),
        )
        found.add_row(*(Text(printable(cell)) for cell in cells))
    return found


def document(letter: Letter) -> dict[str, Any]:
    """A letter as JSON shows it: times as RFC 3339, a key that is no text as base64."""
    is_text = _text(letter.key) is not None
    return {
        "id": str(letter.place),
        "time": moment(letter.set_aside_at),
        "topic": letter.origin.topic,
        "partition": letter.origin.partition,
        "offset": letter.origin.offset,
        "timestamp": moment(letter.origin.timestamp),
        "reason": letter.reason,
        "error": sentence(letter.error),
        "key": _text(letter.key) if is_text else None,
        "key_base64": None if is_text or letter.key is None else base64.b64encode(letter.key).decode(),
        "size_bytes": letter.size_bytes,
        "attempts": letter.attempts,
        "state": "open" if letter.mark is None else letter.mark.value,
        "state_since": None if letter.marked_at is None else moment(letter.marked_at),
    }


def full_document(letter: Letter, record: Record) -> dict[str, Any]:
    """A letter with everything that was set aside: the whole error, headers, and the value as text or base64."""
    value = _text(record.value)
    return document(letter) | {
        "error": letter.error,
        "headers": [[name, None if part is None else part.decode(errors="replace")] for name, part in record.headers],
        "value": value,
        "value_base64": None if value is not None or record.value is None else base64.b64encode(record.value).decode(),
    }


def in_full(letter: Letter, record: Record) -> Iterator[str]:
    """The lines that show a letter with its headers and value."""
    state = "open" if letter.mark is None else f"{letter.mark.value} {moment(letter.marked_at or 0)}"
    origin = letter.origin
    for name, text in (
        ("id", str(letter.place)),
        ("time", moment(letter.set_aside_at)),
        ("origin", f"{origin.topic} {origin.partition}:{origin.offset}, written {moment(origin.timestamp)}"),
        ("reason", letter.reason),
        ("error", letter.error),
        ("attempts", str(letter.attempts)),
        ("state", state),
        ("key", _key(letter.key)),
    ):
        yield f"{name:9} {printable(text)}"
    yield ""
    for name, part in record.headers:
        yield printable(f"{name}: {_key(part)}")
    yield ""
    yield from _value(record.value)


def sentence(error: str) -> str:
    """The first line of an error: below it PostgreSQL repeats the row that it refuses."""
    return error.split("\n", 1)[0]


def moment(milliseconds: int) -> str:
    """A time in RFC 3339 to the millisecond; whatever no calendar knows, as the number that it is."""
    found = from_milliseconds(milliseconds)
    return str(milliseconds) if found is None else found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(value: bytes | None) -> Iterator[str]:
    if value is None:
        yield "no value"
        return
    try:
        shown = msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        shown = _key(value)
    for line in shown.split("\n"):
        yield printable(line)


def _key(key: bytes | None) -> str:
    if key is None:
        return ""
    text = _text(key)
    return key.hex(" ") if text is None else text


def _short(text: str) -> str:
    return text if len(text) <= MAX_KEY_LENGTH else f"{text[: MAX_KEY_LENGTH - 1]}…"


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None

"""How dead letters look to a person, and what never reaches the terminal unasked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from goalstream.cli.letter_views import document, full_document, in_full, summary, table
from goalstream.cli.moments import parse_moment
from goalstream.cli.terminal import printable
from goalstream.streams.letters import Letter, Mark, Origin, Place
from tests.unit.streams.records import NOON, NOON_MS, FakeRecord

REFUSED = "NotNullViolationError: null value\nDETAIL:  Failing row contains (Ada Lovelace)."


def letter(**changes: Any) -> Letter:
    fields: dict[str, Any] = {
        "place": Place(2, 17),
        "set_aside_at": NOON_MS,
        "origin": Origin("form.submitted", 3, 981, NOON_MS - 1),
        "reason": "not_json",
        "error": "not an object",
        "key": b"k",
        "size_bytes": 8,
        "headers": (),
        "attempts": 1,
    }
    return Letter(**(fields | changes))


def shown(*letters: Letter) -> str:
    console = Console(width=400, color_system=None)
    with console.capture() as capture:
        console.print(table(letters))
    return capture.get()


def test_a_row_tells_what_a_person_needs_to_go_on() -> None:
    _, row = shown(letter(mark=Mark.DROPPED)).splitlines()
    assert row.split() == [
        "2:17",
        "2026-11-23T12:00:00.000Z",
        "form.submitted",
        "3:981",
        "not_json",
        "1",
        "8",
        "k",
        "dropped",
        "not",
        "an",
        "object",
    ]


def test_the_row_that_postgresql_refuses_is_told_for_one_letter_alone() -> None:
    refused = letter(error=REFUSED)
    assert "Ada" not in shown(refused)
    assert document(refused)["error"] == "NotNullViolationError: null value"
    record = FakeRecord(value=b"{}", headers=[("h", b"1")])
    assert any("Ada Lovelace" in line for line in in_full(refused, record))
    assert full_document(refused, record)["error"] == REFUSED


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    evil = letter(key=b"\x1b[2J", error="\x1b]0;x\x07[red]", origin=Origin("t\x9b", 0, 0, 0))
    record = FakeRecord(value=b'{"a": "\xc2\x9b\xe2\x80\xae"}', headers=[("\x1b", b"\x1b\xff")])
    text = shown(evil) + "\n".join(in_full(evil, record))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "[red]" in text
    assert printable("Zoë €\t") == "Zoë €\\t"


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (b'{"amount":150.00,"a":[]}', ["{", '  "amount": 150.00,', '  "a": []', "}"]),
        (b"no JSON\n", ["no JSON", ""]),
        (b"\xff\x00", ["ff 00"]),
        (None, ["no value"]),
        (b"", [""]),
    ],
)
def test_a_value_is_shown_as_json_as_text_or_as_bytes(value: bytes | None, lines: list[str]) -> None:
    found = list(in_full(letter(), FakeRecord(value=value)))
    assert found[-len(lines) :] == lines


def test_a_document_holds_keys_and_values_that_are_no_text_as_base64() -> None:
    found = full_document(letter(key=b"\xff"), FakeRecord(value=b"\xfe"))
    assert (found["key"], found["key_base64"], found["value"], found["value_base64"]) == (None, "/w==", None, "/g==")
    found = full_document(letter(key=None), FakeRecord(value=b"text"))
    assert (found["key"], found["key_base64"], found["value"], found["value_base64"]) == (None, None, "text", None)


def test_a_time_that_no_calendar_knows_is_shown_as_it_is() -> None:
    assert document(letter(origin=Origin("t", 0, 0, -1)))["timestamp"] == "-1"


def test_the_summary_counts_by_reason_the_most_frequent_first() -> None:
    assert summary([]) == "0 dead letters"
    assert summary([letter()]) == "1 dead letter: 1 not_json"
    letters = [letter(reason="bad_time"), letter(), letter()]
    assert summary(letters) == "3 dead letters: 2 not_json, 1 bad_time"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOON - timedelta(hours=2)),
        ("1d2h3m4s", NOON - timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("90s", NOON - timedelta(seconds=90)),
        ("2026-11-23T10:00:00+01:00", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23", None),
        ("yesterday", None),
        ("h", None),
        ("", None),
        ("2h1d", None),
        ("999999d", None),
        ("٢h", None),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text: str, moment: datetime | None) -> None:
    assert parse_moment(text, NOON) == moment

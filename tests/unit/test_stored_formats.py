"""Texts that one release stores or hands out and another compares or reads: fixed values, which no change may alter."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from goalstream.api.cursors import decode_cursor, encode_cursor, moment, number, text, uuid
from goalstream.domain.events import Event
from goalstream.domain.goals import Criteria, FormCriteria, PurchaseCriteria, TagCriteria, criteria_key
from goalstream.storage.codecs import digest
from goalstream.streams.codec import decode
from tests.unit.streams.records import envelope, record

GOAL = "d1a7c0de-0000-4000-8000-000000000009"
MORNING = datetime(2026, 11, 23, 10, 0, 0, 123000, UTC)


def test_a_cursor_leads_on_after_an_upgrade() -> None:
    of_goals = "WyJnb2FscyIsICIyMDI2LTExLTIzVDEwOjAwOjAwLjEyMzAwMCswMDowMCIsICJkMWE3YzBkZS0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDkiXQ=="
    assert encode_cursor("goals", MORNING, GOAL) == of_goals
    assert decode_cursor(of_goals, "goals", moment, uuid) == (MORNING, GOAL)
    assert decode_cursor("WyJhdWRpdCIsIDE3XQ==", "audit", number) == (17,)
    of_timeline = "WyJ0aW1lbGluZSIsICIyMDI2LTExLTIzVDEwOjAwOjAwLjEyMzAwMCswMDowMCIsICJleGl0ZWQgNCJd"
    assert decode_cursor(of_timeline, "timeline", moment, text) == (MORNING, "exited 4")


@pytest.mark.parametrize(
    ("criteria", "key"),
    [
        (FormCriteria(form_id="form-1"), "03e824ee6104e31ec8c5e50f8fdb887d2ce0f849779ea87d9e5e56a5f76baa2d"),
        (TagCriteria(tag_name=" Grüße "), "1a5000bef6f6d1f72fdca25ddd35b2a34b178f37db855a9991477df2492f6411"),
        (
            PurchaseCriteria(min_amount=Decimal("150.00"), currency="EUR"),
            "28d9b29d06e17bf48daf90ab0d527e70a7b66874bc9a37fb1046717de224bb5f",
        ),
    ],
)
def test_goals_with_the_same_criteria_are_found_whichever_release_made_them(criteria: Criteria, key: str) -> None:
    assert criteria_key(criteria) == key


def test_an_event_without_id_gets_the_same_one_in_a_replay_by_another_release() -> None:
    event = decode("contact.tag.added", record(envelope(event_id=None)))
    assert isinstance(event, Event)
    assert event.event_id == "54ad522e40dece7e68c8836bb984b2f09ad247995af981d6233e316c795b549a"


def test_what_a_program_records_without_event_id_gets_the_same_one_from_another_release() -> None:
    told = digest("tag_added", GOAL, None, {"b": Decimal("1.50"), "a": [True]})
    assert told == "d1fbb32ce9b2baf6567551f8092f22e6f05afc0c2c981e12113344e4d239d422"

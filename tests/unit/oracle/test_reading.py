"""Worked examples of what a record tells and which goals it fulfils, and of every reason why it is a dead letter."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.oracle.bad_records import EVERYWHERE, OF_A_CONTACT, OF_TOPIC, Break
from tests.oracle.envelope import BadRecord, canonical
from tests.oracle.history import (
    APPOINTMENT_BOOKED,
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    FORM_SUBMITTED,
    PAYMENT_COMPLETED,
    REFERENCE_CHANGED,
    STAGE_CHANGED,
    STATUS_CHANGED,
    TAG_ADDED,
    TOPIC_OF_GOAL_TYPE,
    Digits,
    Fact,
    Record,
    Wrapping,
    json_text,
    milliseconds,
    on_the_wire,
)
from tests.oracle.matching import fulfils
from tests.oracle.oracle import dead_letters
from tests.oracle.reading import Told, read
from tests.unit.oracle.builders import ACCOUNT, ANNA, BERT, ENROLLMENT, NOON, WORKFLOW, fact, goal, history, tagged

ELEVEN = datetime(2026, 11, 23, 11, tzinfo=UTC)

DATA: dict[str, dict[str, object]] = {
    TAG_ADDED: {"contact_id": ANNA, "tag_id": "tag-1"},
    PAYMENT_COMPLETED: {"contact_id": ANNA, "amount": "150.00"},
    APPOINTMENT_BOOKED: {"contact_id": ANNA, "calendar_id": "cal-456"},
    FORM_SUBMITTED: {"contact_id": ANNA, "form_id": "form-123"},
    STAGE_CHANGED: {"contact_id": ANNA, "pipeline_id": "p", "stage_id": "s"},
    ENROLLMENT_STARTED: {"enrollment_id": ENROLLMENT, "workflow_id": WORKFLOW, "contact_id": ANNA},
    ENROLLMENT_ENDED: {"enrollment_id": ENROLLMENT},
    STATUS_CHANGED: {"workflow_id": WORKFLOW, "status": "active"},
    REFERENCE_CHANGED: {"kind": "tag", "id": "tag-1"},
    CONTACT_MERGED: {"contact_id": ANNA, "into_contact_id": BERT},
    CONTACT_DELETED: {"contact_id": ANNA},
}


def whole(topic: str, **changes: object) -> Fact:
    """A fact with nothing wrong in it; a change to None leaves the part out."""
    envelope = {
        "event_id": "evt-1",
        "event_type": topic,
        "account_id": ACCOUNT,
        "timestamp": "2026-11-23T11:00:00Z",
        "data": DATA[topic],
    }
    parts = {name: part for name, part in (envelope | changes).items() if part is not None}
    return Fact(topic=topic, timestamp=milliseconds(NOON), envelope=parts, source="/crm")


def event(topic: str = TAG_ADDED, **data: object) -> Told:
    return read(fact(topic, 1, {"contact_id": ANNA, **data}, event_id="e1"))


def fulfilled(goal_type: str, criteria: dict[str, object], **data: object) -> bool:
    return fulfils(goal(goal_type=goal_type, criteria=criteria), event(TOPIC_OF_GOAL_TYPE[goal_type], **data))


@pytest.mark.parametrize("topic", DATA)
@pytest.mark.parametrize("wrapping", Wrapping)
def test_a_whole_fact_of_any_topic_is_read_however_it_is_wrapped(topic: str, wrapping: Wrapping) -> None:
    told = read(on_the_wire(replace(whole(topic), wrapping=wrapping)))
    assert (told.topic, told.account_id, told.event_id, told.record_at) == (topic, ACCOUNT, "evt-1", NOON)
    assert told.source == (topic if wrapping is Wrapping.PLAIN else "/crm")
    assert told.occurred_at == ELEVEN
    assert told.data == DATA[topic]


@pytest.mark.parametrize(
    ("topic", "reason", "broken"),
    [(topic, *way) for topic in DATA for way in EVERYWHERE]
    + [(topic, *way) for topic in DATA if topic == ENROLLMENT_STARTED or "contact" in topic for way in OF_A_CONTACT]
    + [(topic, *way) for topic, ways in OF_TOPIC.items() for way in ways],
)
def test_whatever_is_broken_has_its_reason(topic: str, reason: str, broken: Break) -> None:
    assert dead_letters(history(tagged(1), broken(whole(topic)))) == [(1, reason)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (on_the_wire(whole(TAG_ADDED, account_id=None, data={})), "no_account"),
        (on_the_wire(whole(TAG_ADDED, timestamp="noon", data={})), "no_contact"),
        (on_the_wire(whole(TAG_ADDED, timestamp="noon", data={"contact_id": 7})), "bad_time"),
        (on_the_wire(whole(TAG_ADDED, event_type=PAYMENT_COMPLETED, account_id=None)), "type_contradicts_topic"),
    ],
)
def test_of_several_reasons_the_first_is_told(record: Record, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        read(record)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T11:00:00", ELEVEN),
        ("2026-11-23t11:00:00.0000009z", ELEVEN),
        ("2026-11-23T11:00:00.123456789Z", ELEVEN + timedelta(microseconds=123_456)),
        ("2026-11-23T13:00:00+02:00", ELEVEN),
        ("2026-11-23T05:30:00-05:30", ELEVEN),
        ("2026-11-23T10:59:60Z", ELEVEN),
    ],
)
def test_times_are_rfc_3339_in_utc_and_finer_than_microseconds_cut_off(text: str, moment: datetime) -> None:
    assert read(on_the_wire(whole(TAG_ADDED, timestamp=text))).occurred_at == moment


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-23", "2026-11-23T11:00Z", "2026-11-23T24:00:00Z", "2026-02-30T11:00:00Z", "2026-11-23T11:00:00+0200"],
)
def test_what_is_not_rfc_3339_is_a_bad_time(text: str) -> None:
    with pytest.raises(BadRecord, match="bad_time"):
        read(on_the_wire(whole(TAG_ADDED, timestamp=text)))


def test_ids_are_in_lower_case_and_unknown_fields_are_ignored() -> None:
    told = read(on_the_wire(whole(TAG_ADDED, account_id=ACCOUNT.upper(), data={"contact_id": ANNA.upper(), "new": {}})))
    assert (told.account_id, told.fields) == (ACCOUNT, {"contact_id": ANNA})


def test_a_missing_type_is_the_topics_and_null_is_missing() -> None:
    told = read(on_the_wire(whole(TAG_ADDED, event_type=None, data={"contact_id": ANNA, "tag_name": None})))
    assert told.fields == {"contact_id": ANNA}


def test_the_last_of_duplicate_keys_holds() -> None:
    record = on_the_wire(whole(TAG_ADDED))
    value = (record.value or b"").replace(b'"tag-1"', b'"tag-1","tag_id":"tag-2"')
    assert read(replace(record, value=value)).fields["tag_id"] == "tag-2"


def test_a_hundred_levels_are_not_too_deep() -> None:
    deep: object = 1
    for _ in range(98):
        deep = [deep]
    assert read(on_the_wire(whole(TAG_ADDED, data={"contact_id": ANNA, "deep": deep}))).event_id == "evt-1"


def test_amounts_are_decimals_from_their_own_digits() -> None:
    digits = "0.100000000000000005551115123126"
    assert event(PAYMENT_COMPLETED, amount=Digits(digits)).fields["amount"] == Decimal(digits)
    for notation in ("150.00", 150, Digits("150.0"), Digits("1.5e2"), "1.5E+2"):
        assert event(PAYMENT_COMPLETED, amount=notation).fields["amount"] == 150


def test_the_canonical_text_has_sorted_keys_no_blanks_and_numbers_as_they_are() -> None:
    document = json.loads('{"b": [1.50, 2], "a": "\\u00e9\\n", "B": {}}', parse_float=Decimal)
    assert canonical(document) == '{"B":{},"a":"é\\n","b":[1.50,2]}'


def test_digits_are_written_as_they_are() -> None:
    assert json_text({"a": [Digits("1.5e2"), "1.5e2", None]}) == '{"a":[1.5e2,"1.5e2",null]}'


# Section 3, which goals an event fulfils.


@pytest.mark.parametrize(
    ("criteria", "data", "expected"),
    [
        ({"tag_id": "a"}, {"tag_id": "a"}, True),
        ({"tag_id": "a"}, {"tag_id": "A"}, False),
        ({"tag_id": "a"}, {"tag_name": "a"}, False),
        ({"tag_id": "a", "tag_name": "Bought"}, {"tag_id": "b", "tag_name": "Bought"}, False),
        ({"tag_id": "a", "tag_name": "Bought"}, {"tag_id": "a", "tag_name": "Other"}, True),
        ({"tag_id": "a", "tag_name": "Bought"}, {"tag_name": "bought"}, True),
        ({"tag_id": None, "tag_name": " Straße "}, {"tag_id": "b", "tag_name": "\u2003STRASSE\t"}, True),
        ({"tag_name": "Bought"}, {"tag_id": "Bought"}, False),
        ({"tag_name": "Bought"}, {"tag_name": "Bou ght"}, False),
    ],
)
def test_tags_are_compared_by_id_where_both_have_one_and_else_by_name(
    criteria: dict[str, object], data: dict[str, object], expected: bool
) -> None:
    assert fulfilled("tag_added", criteria, **data) is expected


@pytest.mark.parametrize(
    ("criteria", "data", "expected"),
    [
        ({"any_purchase": True}, {}, True),
        ({"min_amount": "150.00"}, {"amount": 150}, True),
        ({"min_amount": 150}, {"amount": "149.99"}, False),
        ({"min_amount": 150}, {}, False),
        ({"min_amount": 0}, {"amount": 0}, True),
        ({"min_amount": 0}, {}, False),
        ({"product_id": None, "min_amount": 100}, {"amount": Digits("1.5e2"), "product_id": "x"}, True),
        ({"currency": "eur"}, {"currency": "EUR"}, True),
        ({"currency": "EUR"}, {"currency": "USD"}, False),
        ({"currency": "EUR"}, {}, False),
        ({"product_id": "p"}, {"product_id": "p"}, True),
        ({"product_id": "p"}, {"product_id": "q", "product_ids": ["r", "p"]}, True),
        ({"product_id": "p"}, {"product_ids": []}, False),
        ({"product_id": "p", "min_amount": 5}, {"product_id": "p", "amount": 4}, False),
    ],
)
def test_purchases_meet_every_key_that_is_present(
    criteria: dict[str, object], data: dict[str, object], expected: bool
) -> None:
    assert fulfilled("purchase_made", criteria, **data) is expected


@pytest.mark.parametrize(
    ("goal_type", "criteria", "data", "expected"),
    [
        ("appointment_booked", {"any_appointment": True}, {}, True),
        ("appointment_booked", {"calendar_id": "c", "any_appointment": False}, {"calendar_id": "c"}, True),
        ("appointment_booked", {"calendar_id": "c", "any_appointment": False}, {"calendar_id": "d"}, False),
        ("appointment_booked", {"calendar_id": "c", "service_id": "s"}, {"calendar_id": "c"}, False),
        ("form_submitted", {"form_id": "f"}, {"form_id": "f"}, True),
        ("form_submitted", {"form_id": "f"}, {}, False),
        ("pipeline_stage_reached", {"pipeline_id": "p", "stage_id": "s"}, {"pipeline_id": "p", "stage_id": "s"}, True),
        ("pipeline_stage_reached", {"pipeline_id": "p", "stage_id": "s"}, {"stage_id": "s"}, False),
    ],
)
def test_ids_are_compared_exactly(
    goal_type: str, criteria: dict[str, object], data: dict[str, object], expected: bool
) -> None:
    assert fulfilled(goal_type, criteria, **data) is expected


def test_a_goal_is_fulfilled_only_by_events_of_its_type() -> None:
    assert not fulfils(goal(goal_type="form_submitted", criteria={"form_id": "f"}), event(TAG_ADDED, form_id="f"))

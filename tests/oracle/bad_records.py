"""Bad records: facts that were all right, broken in every way that section 5 of the contract knows, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.oracle.history import (
    APPOINTMENT_BOOKED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    FORM_SUBMITTED,
    PAYMENT_COMPLETED,
    REFERENCE_CHANGED,
    STAGE_CHANGED,
    STATUS_CHANGED,
    TAG_ADDED,
    Digits,
    Fact,
    Record,
    Wrapping,
    on_the_wire,
)

Break = Callable[[Fact], Record]


def _plain(fact: Fact) -> Record:
    return on_the_wire(replace(fact, wrapping=Wrapping.PLAIN))


def _value(value: bytes | None) -> Break:
    return lambda fact: replace(_plain(fact), value=value)


def _more(text: str) -> Break:
    """The fact with one more member, written as it is: unused, but there."""

    def broken(fact: Fact) -> Record:
        record = _plain(fact)
        return replace(record, value=(record.value or b"")[:-1] + f",{text}}}".encode())

    return broken


def _envelope(**changes: object) -> Break:
    return lambda fact: _plain(replace(fact, envelope={**fact.envelope, **changes}))


def _without(name: str) -> Break:
    return lambda fact: _plain(replace(fact, envelope={key: p for key, p in fact.envelope.items() if key != name}))


def _data(**changes: object) -> Break:
    def broken(fact: Fact) -> Record:
        data = fact.envelope["data"]
        assert isinstance(data, Mapping)
        return _plain(replace(fact, envelope={**fact.envelope, "data": {**data, **changes}}))

    return broken


def _cloudevent(fact: Fact, wrapping: Wrapping) -> Record:
    return on_the_wire(replace(fact, wrapping=wrapping, envelope={"event_id": "evt-ce", **fact.envelope}))


def _headers(**changes: bytes | None) -> Break:
    """A CloudEvent in binary mode with other headers; None leaves one out."""

    def broken(fact: Fact) -> Record:
        record = _cloudevent(fact, Wrapping.BINARY)
        headers = dict(record.headers) | {
            name.replace("content_type", "content-type"): h for name, h in changes.items()
        }
        return replace(record, headers=tuple(item for item in headers.items() if item[1] is not None))

    return broken


def _structured(text: str) -> Break:
    """A CloudEvent in structured mode with one more member, which holds because it is the last."""

    def broken(fact: Fact) -> Record:
        record = _cloudevent(fact, Wrapping.STRUCTURED)
        return replace(record, value=(record.value or b"")[:-1] + f",{text}}}".encode())

    return broken


def _batch(fact: Fact) -> Record:
    record = _cloudevent(fact, Wrapping.STRUCTURED)
    headers = (("content-type", b"application/cloudevents-batch+json"),)
    return replace(record, value=b"[" + (record.value or b"") + b"]", headers=headers)


_LONG = "x" * 256
_DEEP = "[" * 100 + "]" * 100

EVERYWHERE: list[tuple[str, Break]] = [
    ("not_json", _value(None)),
    ("not_json", _value(b"")),
    ("not_json", _value(b"<event/>")),
    ("not_json", _value(b"[]")),
    ("not_json", _value(b'"text"')),
    ("not_json", _value(b'{"event_id": "\xff"}')),
    ("not_json", _more('"extra":NaN')),
    ("not_json", _more('"extra":-Infinity')),
    ("not_json", _more(f'"extra":{_DEEP}')),
    ("forbidden_character", _more('"extra":"a\\u0000b"')),
    ("forbidden_character", _more('"extra":["\\ud800"]')),
    ("forbidden_character", _more('"\\udfff":1')),
    ("forbidden_character", _envelope(event_id="a\0", account_id=None)),
    ("bad_cloudevent", _headers(ce_specversion=b"0.3")),
    ("bad_cloudevent", _headers(ce_id=None)),
    ("bad_cloudevent", _headers(content_type=b"application/xml")),
    ("bad_cloudevent", _structured('"specversion":"2.0"')),
    ("bad_cloudevent", _structured('"id":null')),
    ("bad_cloudevent", _structured('"datacontenttype":"text/plain"')),
    ("bad_cloudevent", _structured('"data_base64":"e30="')),
    ("bad_cloudevent", _batch),
    ("type_contradicts_topic", _envelope(event_type="contact.tag.removed")),
    ("type_contradicts_topic", _envelope(event_type=7, account_id=None)),
    ("type_contradicts_topic", _headers(ce_type=b"contact.tag.removed")),
    ("no_account", _without("account_id")),
    ("no_account", _envelope(account_id=None, timestamp="yesterday")),
    ("no_account", _headers(ce_accountid=None)),
    ("bad_time", _envelope(timestamp="yesterday", account_id="no-uuid")),
    ("bad_time", _envelope(timestamp="2026-11-31T10:00:00Z")),
    ("bad_time", _envelope(timestamp=1_764_000_000)),
    ("bad_time", _headers(ce_time=b"23.11.2026")),
    ("wrong_type", _envelope(account_id="no-uuid")),
    ("wrong_type", _envelope(account_id=5)),
    ("wrong_type", _envelope(event_id=5)),
    ("wrong_type", _envelope(event_id="")),
    ("wrong_type", _envelope(event_id=_LONG)),
    ("wrong_type", _headers(ce_source=_LONG.encode())),
]
"""Reason and way, for a fact of any topic."""

OF_A_CONTACT: list[tuple[str, Break]] = [
    ("no_contact", _data(contact_id=None)),
    ("no_contact", _without("data")),
    ("no_contact", _envelope(data=[], timestamp="yesterday")),
    ("wrong_type", _data(contact_id="contact-1")),
    ("wrong_type", _data(contact_id=True)),
]

OF_TOPIC: dict[str, list[tuple[str, Break]]] = {
    TAG_ADDED: [("wrong_type", _data(tag_id=7)), ("wrong_type", _data(tag_name=_LONG))],
    APPOINTMENT_BOOKED: [("wrong_type", _data(calendar_id=["cal-456"])), ("wrong_type", _data(appointment_id=_LONG))],
    FORM_SUBMITTED: [("wrong_type", _data(form_id={})), ("wrong_type", _data(submission_id=1))],
    STAGE_CHANGED: [("wrong_type", _data(stage_id=False)), ("wrong_type", _data(opportunity_id=_LONG))],
    PAYMENT_COMPLETED: [
        ("wrong_type", _data(amount=-1)),
        ("wrong_type", _data(amount="1,50")),
        ("wrong_type", _data(amount=True)),
        ("wrong_type", _data(amount=Digits("1e31"))),
        ("wrong_type", _data(amount="1234567890123456789012345678901")),
        ("wrong_type", _data(product_ids="prod-1")),
        ("wrong_type", _data(product_ids=["prod-1", 2])),
        ("wrong_type", _data(currency=978)),
    ],
    ENROLLMENT_STARTED: [
        ("bad_time", _data(entered_at="noon", enrollment_id=None)),
        ("wrong_type", _data(enrollment_id=None)),
        ("wrong_type", _data(workflow_id="workflow-1")),
        ("wrong_type", _data(trigger_event_id=_LONG)),
    ],
    ENROLLMENT_ENDED: [
        ("bad_time", _data(ended_at="2026-11-23")),
        ("wrong_type", _without("data")),
        ("wrong_type", _data(reason=3)),
    ],
    STATUS_CHANGED: [
        ("wrong_type", _data(status=None)),
        ("wrong_type", _data(goal_logic="most")),
        ("wrong_type", _data(name=_LONG)),
    ],
    CONTACT_MERGED: [("wrong_type", _data(into_contact_id=None)), ("wrong_type", _data(into_contact_id="contact-2"))],
    REFERENCE_CHANGED: [("wrong_type", _data(kind="person")), ("wrong_type", _data(deleted="yes"))],
}


def ways_to_break(fact: Fact) -> list[tuple[str, Break]]:
    """Every way to break a fact of this topic, with the reason that a reader must give."""
    data = fact.envelope.get("data")
    has_contact = fact.topic != ENROLLMENT_ENDED and isinstance(data, Mapping) and "contact_id" in data
    of_a_contact = OF_A_CONTACT if has_contact else []
    return [*EVERYWHERE, *of_a_contact, *OF_TOPIC.get(fact.topic, [])]

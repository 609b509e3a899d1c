"""Presets: what Stripe, Calendly and Typeform send becomes the event that it tells of, about a contact whom we know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goalstream.contracts import problems_of
from goalstream.domain.mappings import Mapped, apply, parse_mapping
from goalstream.domain.presets import PRESETS, PresetName
from goalstream.domain.signing import Scheme
from goalstream.domain.topics import READ_TOPICS
from tests.senders import CONTACT, calendly_event, stripe_event, typeform_event

SESSION = "checkout.session.completed"
INTENT = "payment_intent.succeeded"
KNOWN: dict[str, Any] = {"metadata": {"contact_id": CONTACT}}


def mapped(name: str, body: object) -> Mapped:
    return apply(parse_mapping(PRESETS[PresetName(name)].mapping, event_types=READ_TOPICS), body)


def only_event(name: str, body: object) -> dict[str, Any]:
    """The event that a body becomes, which keeps to its contract."""
    found = mapped(name, body)
    assert found.problems == ()
    (event,) = found.events
    document = {
        "event_type": event.event_type,
        "event_id": event.event_id,
        "account_id": CONTACT,
        "timestamp": event.timestamp,
        "data": event.data,
    }
    assert problems_of(json.dumps(document).encode()) == []
    return document


def test_a_payment_is_a_purchase_of_as_much() -> None:
    event = only_event("stripe", stripe_event(INTENT, metadata={"contact_id": CONTACT, "product_id": "sku-7"}))
    assert (event["event_type"], event["event_id"]) == ("payment.completed", "evt_3Qb7")
    assert event["timestamp"] == "2026-03-10T12:00:00Z"
    assert event["data"] == {
        "contact_id": CONTACT,
        "payment_id": "pi_9Zt",
        "amount": "49.00",
        "currency": "eur",
        "product_id": "sku-7",
    }
    yen = only_event("stripe", stripe_event(INTENT, **KNOWN, currency="jpy"))
    assert yen["data"]["amount"] == "4900"


@pytest.mark.parametrize(
    "members", [KNOWN, {"client_reference_id": CONTACT}, KNOWN | {"client_reference_id": "order-7"}]
)
@pytest.mark.parametrize("kind", [SESSION, "checkout.session.async_payment_succeeded"])
def test_a_checkout_is_a_purchase_once_it_is_paid(kind: str, members: dict[str, Any]) -> None:
    event = only_event("stripe", stripe_event(kind, **members))
    assert event["data"] == {"contact_id": CONTACT, "payment_id": "pi_9Zt", "amount": "49.00", "currency": "eur"}
    assert mapped("stripe", stripe_event(kind, **members, payment_status="unpaid")).events == ()
    subscription = only_event("stripe", stripe_event(kind, **members, mode="subscription", payment_intent=None))
    assert subscription["data"]["payment_id"] == "cs_live_a1"


@pytest.mark.parametrize(
    "body",
    [
        stripe_event("payment_intent.created", **KNOWN),
        stripe_event("charge.refunded", **KNOWN),
        stripe_event(INTENT),
        stripe_event(SESSION, client_reference_id="order-7"),
        stripe_event(INTENT, metadata=None),
        {"type": INTENT},
        {},
    ],
)
def test_what_is_no_payment_of_somebody_whom_we_know_becomes_nothing(body: object) -> None:
    found = mapped("stripe", body)
    assert (found.events, found.problems) == ((), ())


def test_an_appointment_that_is_booked_is_one_in_its_calendar() -> None:
    event = only_event("calendly", calendly_event())
    assert (event["event_type"], event["timestamp"]) == ("appointment.booked", "2026-03-10T12:00:00.327602Z")
    assert event["event_id"] == event["data"]["appointment_id"]
    assert event["data"] == {
        "contact_id": CONTACT,
        "appointment_id": "https://api.calendly.com/scheduled_events/GBGB/invitees/INV1",
        "calendar_id": "https://api.calendly.com/event_types/TYPE7",
    }


@pytest.mark.parametrize(
    "body",
    [
        calendly_event("invitee.canceled"),
        calendly_event(old_invitee="https://api.calendly.com/scheduled_events/X/invitees/Y"),
        calendly_event(tracking={"utm_content": None}),
        calendly_event(tracking={"utm_content": "spring"}),
        {"event": "invitee.created"},
        {"event": "routing_form_submission.created", "payload": {}},
    ],
)
def test_what_is_cancelled_moved_or_of_a_stranger_is_no_appointment(body: object) -> None:
    found = mapped("calendly", body)
    assert (found.call_id, found.events, found.problems) == (None, (), ())


def test_a_form_that_is_submitted_is_one() -> None:
    event = only_event("typeform", typeform_event())
    assert (event["event_type"], event["event_id"]) == ("form.submitted", "a3a12ec67a13")
    assert event["timestamp"] == "2026-03-10T12:00:00Z"
    assert event["data"] == {"contact_id": CONTACT, "submission_id": "a3a12ec67a13", "form_id": "lT4Z3j"}


@pytest.mark.parametrize(
    "body",
    [
        typeform_event(hidden={}),
        typeform_event(hidden={"contact_id": "xxxxx"}),
        typeform_event() | {"event_type": "form_response_partial"},
        {},
    ],
)
def test_a_form_of_a_stranger_or_half_of_one_becomes_nothing(body: object) -> None:
    assert mapped("typeform", body).events == ()


def test_each_preset_knows_what_its_sender_calls_a_call() -> None:
    assert mapped("stripe", stripe_event(INTENT)).call_id == "evt_3Qb7"
    assert mapped("typeform", typeform_event()).call_id == "01HEVENT"
    assert {name.value: preset.scheme for name, preset in PRESETS.items()} == {
        "stripe": Scheme.STRIPE,
        "calendly": Scheme.CALENDLY,
        "typeform": Scheme.TYPEFORM,
    }

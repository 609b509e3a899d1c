"""Presets: how systems that many use sign what they send, and what makes events of it.

None of them knows our contacts, so each carries a contact's id where it takes foreign ids. What is about nobody whom we know
becomes no event.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from goalstream.domain.signing import Scheme
from goalstream.domain.values import value


class PresetName(StrEnum):
    """Systems with a preset."""

    STRIPE = "stripe"
    CALENDLY = "calendly"
    TYPEFORM = "typeform"


@value
class Preset:
    """What a hook is made of; `contact_id` says where the system takes the contact's id, and `mapping` is a document."""

    scheme: Scheme
    title: str
    contact_id: str
    mapping: Mapping[str, Any]


_STRIPE_CONTACT = "uuid(data.object.metadata.contact_id) || uuid(data.object.client_reference_id)"
_CALENDLY_CONTACT = "uuid(payload.tracking.utm_content)"
_TYPEFORM_CONTACT = "uuid(form_response.hidden.contact_id)"

PRESETS: Mapping[PresetName, Preset] = {
    PresetName.STRIPE: Preset(
        scheme=Scheme.STRIPE,
        title="Payments that Stripe has taken",
        contact_id="metadata.contact_id of the payment or of the Checkout session, or the session's client_reference_id",
        mapping={
            "call_id": "id",
            "events": [
                {
                    "when": "contains(['checkout.session.completed', 'checkout.session.async_payment_succeeded'], type)"
                    f" && data.object.payment_status == 'paid' && ({_STRIPE_CONTACT})",
                    "event_type": "payment.completed",
                    "event_id": "id",
                    "timestamp": "from_unix(created)",
                    "data": {
                        "contact_id": _STRIPE_CONTACT,
                        "payment_id": "data.object.payment_intent || data.object.id",
                        "amount": "minor_units(data.object.amount_total, data.object.currency)",
                        "currency": "data.object.currency",
                        "product_id": "data.object.metadata.product_id",
                    },
                },
                {
                    "when": "type == 'payment_intent.succeeded' && uuid(data.object.metadata.contact_id)",
                    "event_type": "payment.completed",
                    "event_id": "id",
                    "timestamp": "from_unix(created)",
                    "data": {
                        "contact_id": "data.object.metadata.contact_id",
                        "payment_id": "data.object.id",
                        "amount": "minor_units(data.object.amount_received, data.object.currency)",
                        "currency": "data.object.currency",
                        "product_id": "data.object.metadata.product_id",
                    },
                },
            ],
        },
    ),
    PresetName.CALENDLY: Preset(
        scheme=Scheme.CALENDLY,
        title="Appointments that were booked with Calendly",
        contact_id="utm_content of the booking page's address",
        mapping={
            "events": [
                {
                    "when": f"event == 'invitee.created' && !(payload.old_invitee) && {_CALENDLY_CONTACT}",
                    "event_type": "appointment.booked",
                    "event_id": "payload.uri",
                    "timestamp": "payload.created_at",
                    "data": {
                        "contact_id": _CALENDLY_CONTACT,
                        "appointment_id": "payload.uri",
                        "calendar_id": "payload.scheduled_event.event_type",
                    },
                }
            ]
        },
    ),
    PresetName.TYPEFORM: Preset(
        scheme=Scheme.TYPEFORM,
        title="Forms that were submitted with Typeform",
        contact_id="a hidden field contact_id of the form",
        mapping={
            "call_id": "event_id",
            "events": [
                {
                    "when": f"event_type == 'form_response' && {_TYPEFORM_CONTACT}",
                    "event_type": "form.submitted",
                    "event_id": "form_response.token",
                    "timestamp": "form_response.submitted_at",
                    "data": {
                        "contact_id": _TYPEFORM_CONTACT,
                        "submission_id": "form_response.token",
                        "form_id": "form_response.form_id",
                    },
                }
            ],
        },
    ),
}

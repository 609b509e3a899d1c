"""Systems that call hooks: what they send, and how each signs it, written after their formats and without our code."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

CONTACT = "cccccccc-0000-4000-8000-000000000001"

STANDARD_SECRET = "whsec_" + b64encode(b"thirty-two bytes of a good secret").decode()
SECRETS = {
    "standard": STANDARD_SECRET,
    "stripe": "whsec_endpoint5Jq0cZkT2mPw",
    "calendly": "a signing key that its owner chose",
    "typeform": "a-secret-of-the-form",
}

Signer = Callable[..., dict[str, str]]


def sign_standard(
    body: bytes, *, secret: str = STANDARD_SECRET, at: datetime, message_id: str = "msg_1"
) -> dict[str, str]:
    signature = Webhook(secret).sign(message_id, at, body.decode("utf-8", "surrogateescape"))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def sign_stripe(body: bytes, *, secret: str = SECRETS["stripe"], at: datetime) -> dict[str, str]:
    """Beside the real one an old scheme, which test events have, and which proves nothing."""
    seconds = int(at.timestamp())
    told = _hex(secret, b"%d.%b" % (seconds, body))
    return {"Stripe-Signature": f"t={seconds},v1={told},v0={'0' * 64}"}


def sign_calendly(body: bytes, *, secret: str = SECRETS["calendly"], at: datetime) -> dict[str, str]:
    seconds = int(at.timestamp())
    return {"Calendly-Webhook-Signature": f"t={seconds},v1={_hex(secret, b'%d.%b' % (seconds, body))}"}


def sign_typeform(body: bytes, *, secret: str = SECRETS["typeform"], at: datetime | None = None) -> dict[str, str]:
    """Of the body alone: the time plays no part."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"Typeform-Signature": f"sha256={b64encode(digest).decode()}"}


SIGNERS: Mapping[str, Signer] = {
    "standard": sign_standard,
    "stripe": sign_stripe,
    "calendly": sign_calendly,
    "typeform": sign_typeform,
}


def padded(scheme: str, told: str, more: str) -> str:
    """A header with one more signature: that of another such header, or any text."""
    signature = more.partition("v1=")[2].partition(",")[0] or more.removeprefix("v1,")
    return f"{told} v1,{signature}" if scheme == "standard" else f"{told},v1={signature}"


def written(document: object) -> bytes:
    """JSON as Stripe writes it, over several lines: what is signed is these bytes, and not what they mean."""
    return json.dumps(document, indent=2).encode()


def now() -> datetime:
    return datetime.now(UTC)


def stripe_event(kind: str, event_id: str = "evt_3Qb7", **members: Any) -> dict[str, Any]:
    """An event about a payment or a Checkout session; `members` are those of the object."""
    is_session = kind.startswith("checkout.")
    usual: dict[str, Any] = {"metadata": {}, "currency": "eur", "livemode": True}
    if is_session:
        usual |= {
            "id": "cs_live_a1",
            "object": "checkout.session",
            "amount_subtotal": 4200,
            "amount_total": 4900,
            "client_reference_id": None,
            "mode": "payment",
            "payment_intent": "pi_9Zt",
            "payment_status": "paid",
            "status": "complete",
        }
    else:
        usual |= {
            "id": "pi_9Zt",
            "object": "payment_intent",
            "amount": 4900,
            "amount_received": 4900,
            "status": "succeeded",
        }
    return {
        "id": event_id,
        "object": "event",
        "api_version": "2026-01-28",
        "created": 1773144000,
        "data": {"object": usual | members},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def calendly_event(kind: str = "invitee.created", **members: Any) -> dict[str, Any]:
    """An invitee who booked or cancelled; `members` are those of the payload."""
    event = "https://api.calendly.com/scheduled_events/GBGB"
    usual: dict[str, Any] = {
        "cancel_url": "https://calendly.com/cancellations/AAA",
        "created_at": "2026-03-10T12:00:00.327602Z",
        "email": "kim@example.com",
        "event": event,
        "name": "Kim",
        "new_invitee": None,
        "old_invitee": None,
        "questions_and_answers": [],
        "rescheduled": False,
        "scheduled_event": {
            "uri": event,
            "event_type": "https://api.calendly.com/event_types/TYPE7",
            "name": "Consultation",
            "start_time": "2026-03-17T09:00:00.000000Z",
            "end_time": "2026-03-17T09:30:00.000000Z",
        },
        "status": "active",
        "timezone": "Europe/Berlin",
        "tracking": {"utm_campaign": None, "utm_source": "mail", "utm_content": CONTACT},
        "uri": f"{event}/invitees/INV1",
    }
    return {
        "created_at": "2026-03-10T12:00:01.000000Z",
        "created_by": "https://api.calendly.com/users/HOST",
        "event": kind,
        "payload": usual | members,
    }


def typeform_event(event_id: str = "01HEVENT", **members: Any) -> dict[str, Any]:
    """A form that was submitted; `members` are those of the response."""
    usual: dict[str, Any] = {
        "form_id": "lT4Z3j",
        "token": "a3a12ec67a13",
        "landed_at": "2026-03-10T11:58:00Z",
        "submitted_at": "2026-03-10T12:00:00Z",
        "hidden": {"contact_id": CONTACT},
        "definition": {"id": "lT4Z3j", "title": "What do you like?", "fields": []},
        "answers": [{"type": "boolean", "boolean": True, "field": {"id": "f1", "type": "yes_no", "ref": "newsletter"}}],
    }
    return {"event_id": event_id, "event_type": "form_response", "form_response": usual | members}


def _hex(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()

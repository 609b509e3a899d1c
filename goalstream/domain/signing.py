"""Signatures of webhooks: secrets that are rotated, and HMAC as Standard Webhooks, Stripe, Calendly and Typeform use it."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from goalstream.domain.values import value

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets of Standard Webhooks begin with

OVERLAP = timedelta(hours=24)
"""A secret that was rotated is good for so long beside the new one."""

MOST_SECRETS = 5
"""That hold at once, the newest: each signs every message, and every call is held against each."""

TOLERANCE = timedelta(minutes=5)
"""How far a signature's time may be from now: a call that somebody kept is refused later."""

MOST_SIGNATURES = 10
"""In one header: a sender has one for each of its secrets, and each is compared with each of ours."""

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
"""The headers of Standard Webhooks."""

_is_seconds = re.compile(r"[0-9]{1,12}").fullmatch


class Scheme(StrEnum):
    """How calls are signed."""

    STANDARD = "standard"
    STRIPE = "stripe"
    CALENDLY = "calendly"
    TYPEFORM = "typeform"


SIGNED_BY = {
    Scheme.STANDARD: SIGNATURE,
    Scheme.STRIPE: "stripe-signature",
    Scheme.CALENDLY: "calendly-webhook-signature",
    Scheme.TYPEFORM: "typeform-signature",
}
"""The header with the signature, in lower case."""

TELLS_NO_TIME = frozenset({Scheme.TYPEFORM})
"""Schemes that sign the body alone: a repetition looks like the call itself, and no call is ever stale."""


@value
class SigningSecret:
    """What a signature proves the knowledge of; without `expires_at` until it is rotated."""

    text: str
    added_at: datetime
    expires_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it still signs and proves."""
        return self.expires_at is None or now < self.expires_at


def rotated(
    secrets: Sequence[SigningSecret], text: str, *, now: datetime, overlap: timedelta = OVERLAP
) -> tuple[SigningSecret, ...]:
    """The secrets with a new one in front; those before it hold for `overlap` at the most, and the newest five of all.

    What no longer holds is gone.
    """
    end = now + overlap
    kept = [
        SigningSecret(
            text=one.text, added_at=one.added_at, expires_at=end if one.expires_at is None else min(one.expires_at, end)
        )
        for one in secrets
        if one.text != text and one.holds(now) and overlap
    ]
    return (SigningSecret(text=text, added_at=now), *kept)[:MOST_SECRETS]


def make_secret(key: bytes) -> str:
    """A secret of Standard Webhooks; `key`: 24 to 64 random bytes."""
    return SECRET_PREFIX + b64encode(key).decode()


def is_secret(text: str) -> bool:
    """Whether it has the form of a secret of Standard Webhooks."""
    try:
        key = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (NotBase64, ValueError):
        return False
    return 24 <= len(key) <= 64


def signed_headers(secrets: Sequence[SigningSecret], *, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers that sign a body as Standard Webhooks says, with each secret that holds."""
    seconds = str(int(now.timestamp()))
    content = f"{message_id}.{seconds}.".encode() + body
    signatures = [_signature(Scheme.STANDARD, one.text, content) for one in secrets if one.holds(now)]
    return {ID: message_id, TIMESTAMP: seconds, SIGNATURE: " ".join(f"v1,{signature}" for signature in signatures)}


def signed_content(
    scheme: Scheme, secrets: Sequence[SigningSecret], *, headers: Mapping[str, str], body: bytes, now: datetime
) -> bytes | None:
    """What one of the secrets has signed, not longer than the tolerance ago where the scheme tells when: a body, with its time
    and id; the same however the signatures are written, and whichever are left out. None where none of them has signed it.

    Header names are in lower case. Each comparison takes as long whatever differs.
    """
    told = headers.get(SIGNED_BY[scheme], "")
    match scheme:
        case Scheme.STANDARD:
            message_id, seconds = headers.get(ID, ""), headers.get(TIMESTAMP, "")
            if not message_id or not _is_recent(seconds, now):
                return None
            given = [part.removeprefix("v1,") for part in told.split(" ") if part.startswith("v1,")]
            content = f"{message_id}.{seconds}.".encode() + body
        case Scheme.STRIPE | Scheme.CALENDLY:
            parts = [part.partition("=") for part in told.split(",")]
            times = [text for name, _, text in parts if name.strip() == "t"]
            if len(times) != 1 or not _is_recent(times[0], now):
                return None
            given = [text for name, _, text in parts if name.strip() == "v1"]
            content = f"{times[0]}.".encode() + body
        case _:  # Typeform
            given = [told.removeprefix("sha256=")] if told.startswith("sha256=") else []
            content = body
    if not 0 < len(given) <= MOST_SIGNATURES:
        return None
    wanted = [_signature(scheme, one.text, content) for one in secrets if one.holds(now)]
    return content if _has_common(given, wanted) else None


def _signature(scheme: Scheme, secret: str, content: bytes) -> str:
    match scheme:
        case Scheme.STANDARD:
            return b64encode(hmac.digest(b64decode(secret.removeprefix(SECRET_PREFIX)), content, "sha256")).decode()
        case Scheme.STRIPE | Scheme.CALENDLY:
            return hmac.digest(secret.encode(), content, "sha256").hex()
        case _:  # Typeform
            return b64encode(hmac.digest(secret.encode(), content, "sha256")).decode()


def _has_common(given: Sequence[str], wanted: Sequence[str]) -> bool:
    """Compares all with all, whatever is found."""
    ours = [one.encode() for one in wanted]
    return any([hmac.compare_digest(one, other) for one in map(str.encode, given) for other in ours])


def _is_recent(seconds: str, now: datetime) -> bool:
    return _is_seconds(seconds) is not None and abs(int(seconds) - now.timestamp()) <= TOLERANCE.total_seconds()

"""The fields of each topic's data, and what may stand in them; sections 3 and 5 of the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.oracle.envelope import BadRecord
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
)

# What each topic uses of its data: field → kind. A kind with "!" is required.
FIELDS: dict[str, dict[str, str]] = {
    TAG_ADDED: {"contact_id": "uuid!", "tag_id": "text", "tag_name": "text"},
    PAYMENT_COMPLETED: {
        "contact_id": "uuid!",
        "payment_id": "text",
        "amount": "amount",
        "currency": "text",
        "product_id": "text",
        "product_ids": "texts",
    },
    APPOINTMENT_BOOKED: {"contact_id": "uuid!", "appointment_id": "text", "calendar_id": "text", "service_id": "text"},
    FORM_SUBMITTED: {"contact_id": "uuid!", "submission_id": "text", "form_id": "text"},
    STAGE_CHANGED: {
        "contact_id": "uuid!",
        "opportunity_id": "text",
        "pipeline_id": "text",
        "stage_id": "text",
        "previous_stage_id": "text",
    },
    ENROLLMENT_STARTED: {
        "enrollment_id": "uuid!",
        "workflow_id": "uuid!",
        "contact_id": "uuid!",
        "entered_at": "time",
        "trigger_event_id": "text",
    },
    ENROLLMENT_ENDED: {"enrollment_id": "uuid!", "ended_at": "time", "reason": "text"},
    STATUS_CHANGED: {"workflow_id": "uuid!", "name": "text", "status": "text!", "goal_logic": "logic"},
    REFERENCE_CHANGED: {"kind": "kind!", "id": "text!", "name": "text", "parent_id": "text", "deleted": "flag"},
    CONTACT_MERGED: {"contact_id": "uuid!", "into_contact_id": "uuid!"},
    CONTACT_DELETED: {"contact_id": "uuid!"},
}
_REFERENCE_KINDS = {"tag", "form", "calendar", "service", "product", "pipeline", "stage"}
_MAX_CHARACTERS = 255

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))?", re.ASCII
)


def read_time(told: object) -> datetime | None:
    """RFC 3339; finer than microseconds is cut off, without an offset it is UTC. None when missing or null."""
    if told is None:
        return None
    parts = _RFC3339.fullmatch(told) if isinstance(told, str) else None
    if parts is None:
        raise BadRecord("bad_time", repr(told))
    year, month, day, hour, minute, second = map(int, parts.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = parts.groups()[6:]
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    if second > 60 or int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
        raise BadRecord("bad_time", repr(told))
    try:
        moment = datetime(
            year, month, day, hour, minute, min(second, 59), int((fraction or "0").ljust(6, "0")[:6]), UTC
        )
        moment += timedelta(seconds=1 if second == 60 else 0)
        return moment + offset if sign == "-" else moment - offset
    except (ValueError, OverflowError):
        raise BadRecord("bad_time", repr(told)) from None


def read_fields(kinds: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a topic uses, times excepted."""
    fields: dict[str, Any] = {}
    for name, kind in kinds.items():
        told = data.get(name)
        if told is None and kind.endswith("!"):
            raise BadRecord("wrong_type", f"{name} is missing")
        if told is not None and kind != "time":
            fields[name] = _READERS[kind.rstrip("!")](told)
    return fields


def read_uuid(told: object) -> str:
    if not isinstance(told, str) or not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", told):
        raise BadRecord("wrong_type", "no UUID")
    return told.lower()


def read_text(told: object) -> str | None:
    if told is not None and not (isinstance(told, str) and len(told) <= _MAX_CHARACTERS):
        raise BadRecord("wrong_type", "no string, or too long")
    return told


def _list_of_texts(told: object) -> list[str | None]:
    if not isinstance(told, list) or None in told:
        raise BadRecord("wrong_type", "no list of strings")
    return [read_text(one) for one in told]


def _amount(told: object) -> Decimal:
    is_number = isinstance(told, int | Decimal) and not isinstance(told, bool)
    is_text_of_one = (
        isinstance(told, str)
        and len(told) <= _MAX_CHARACTERS
        and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", told)
    )
    if not is_number and not is_text_of_one:
        raise BadRecord("wrong_type", "no amount")
    amount = Decimal(str(told))
    _, digits, exponent = amount.as_tuple()
    if amount < 0 or len(digits) > 30 or not isinstance(exponent, int) or abs(exponent) > 30:
        raise BadRecord("wrong_type", "an amount out of range")
    return amount


def _logic(told: object) -> str:
    if told not in ("any", "all"):
        raise BadRecord("wrong_type", "an unknown logic")
    return str(told)


def _kind(told: object) -> str:
    if not isinstance(told, str) or told not in _REFERENCE_KINDS:
        raise BadRecord("wrong_type", "an unknown kind")
    return told


def _flag(told: object) -> bool:
    if not isinstance(told, bool):
        raise BadRecord("wrong_type", "no boolean")
    return told


_READERS: dict[str, Any] = {
    "uuid": read_uuid,
    "text": read_text,
    "texts": _list_of_texts,
    "amount": _amount,
    "logic": _logic,
    "kind": _kind,
    "flag": _flag,
}

"""The poison corpus: on every topic every way in which a record can break the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from tests.oracle.bad_records import ways_to_break
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
    Fact,
    Record,
    milliseconds,
)

LARGE_BYTES = 900_000
"""Near to what a broker takes by default: with the headers of a dead letter it must still find its way."""

AGE = timedelta(hours=1)


def corpus(chance: Random, now: datetime) -> list[Record]:
    """Every bad record there is, once."""
    records = []
    for topic, data in _DATA.items():
        fact = _good(chance, now, topic, data)
        records += [broken(fact) for _, broken in ways_to_break(fact)]
        records.append(replace(records[-1], value=b"x" * LARGE_BYTES, headers=(("empty", None), ("mine", b"\xff"))))
    return records


def _good(chance: Random, now: datetime, topic: str, data: Mapping[str, object]) -> Fact:
    moment = now - AGE
    envelope = {
        "event_id": f"evt-{chance.getrandbits(64):x}",
        "event_type": topic,
        "account_id": _id(chance),
        "timestamp": moment.isoformat(),
        "data": {name: _id(chance) if told is UUID else told for name, told in data.items()},
    }
    return Fact(topic=topic, timestamp=milliseconds(moment), envelope=envelope)


def _id(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))


_DATA: Mapping[str, Mapping[str, object]] = {
    TAG_ADDED: {"contact_id": UUID, "tag_id": "tag-1"},
    PAYMENT_COMPLETED: {"contact_id": UUID, "amount": "10.00", "currency": "EUR"},
    APPOINTMENT_BOOKED: {"contact_id": UUID, "calendar_id": "cal-456"},
    FORM_SUBMITTED: {"contact_id": UUID, "form_id": "form-123"},
    STAGE_CHANGED: {"contact_id": UUID, "pipeline_id": "pipe-1", "stage_id": "stage-1"},
    ENROLLMENT_STARTED: {"enrollment_id": UUID, "workflow_id": UUID, "contact_id": UUID},
    ENROLLMENT_ENDED: {"enrollment_id": UUID, "reason": "completed"},
    STATUS_CHANGED: {"workflow_id": UUID, "status": "active"},
    CONTACT_MERGED: {"contact_id": UUID, "into_contact_id": UUID},
    CONTACT_DELETED: {"contact_id": UUID},
    REFERENCE_CHANGED: {"kind": "form", "id": "form-123"},
}
"""What a good record of a topic tells; `UUID` stands for some id."""

"""Records in, facts out: bytes → an event, an enrollment's start or end, a workflow's status, a change of a reference, or
InvalidRecord(reason).

Every record is checked in full, whatever goals exist. Of several things wrong the first in the order of the contract is
told: not_json, forbidden_character, bad_cloudevent, type_contradicts_topic, no_account, no_contact, bad_time, wrong_type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from goalstream.domain.amounts import parse_amount
from goalstream.domain.events import (
    Appointment,
    Event,
    FormSubmission,
    OccurredAtSource,
    Occurrence,
    Payment,
    StageChange,
    TagAdded,
)
from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, WorkflowStatus
from goalstream.domain.goals import GoalType
from goalstream.domain.references import ReferenceChange, ReferenceKind
from goalstream.domain.texts import MAX_TEXT_LENGTH, fold_name, is_uuid
from goalstream.domain.times import from_milliseconds, parse_time
from goalstream.errors import InvalidRecord
from goalstream.streams.envelope import Envelope, open_envelope
from goalstream.streams.ports import Record
from goalstream.streams.topics import ENROLLMENT_ENDED, ENROLLMENT_STARTED, REFERENCE_CHANGED, WORKFLOW_STATUS_CHANGED

Decoded = Event | EnrollmentStart | EnrollmentEnd | WorkflowStatus | ReferenceChange
Fields = Mapping[str, Any]

_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted")


def canonical_json(document: object) -> str:
    """The one JSON text of a document: keys sorted, no blanks, numbers by their own digits."""
    return _canonical.encode(document).decode()


class _Frame(NamedTuple):
    """What records of every topic have in common, checked."""

    account_id: str
    source: str
    event_id: str
    occurred_at: datetime
    occurred_at_source: OccurredAtSource
    record_at: datetime


def decode(topic: str, record: Record) -> Decoded:
    """What a record of `topic` (its name without prefix) tells. Raises InvalidRecord."""
    envelope = open_envelope(record.value, record.headers)
    if envelope.event_type is not None and envelope.event_type != topic:
        raise InvalidRecord("type_contradicts_topic", f"{envelope.event_type!r:.80} on {topic}")
    if envelope.account_id is None:
        raise InvalidRecord("no_account", "the account is missing")
    fields: Fields = envelope.data if isinstance(envelope.data, dict) else {}
    occurrence_of = _OCCURRENCES.get(topic)
    if fields.get("contact_id") is None and (occurrence_of is not None or topic == ENROLLMENT_STARTED):
        raise InvalidRecord("no_contact", "contact_id is missing")
    if occurrence_of is None:
        return _FACTS[topic](topic, envelope, fields, record.timestamp)
    frame = _frame(topic, envelope, record.timestamp)
    contact_id = _uuid(fields["contact_id"], "contact_id")
    account_id, source, event_id, occurred_at, occurred_at_source, record_at = frame
    return Event(
        account_id,
        source,
        event_id,
        topic,
        contact_id,
        occurred_at,
        occurred_at_source,
        record_at,
        occurrence_of(fields),
        fields,
        envelope.traceparent,
    )


def _frame(topic: str, envelope: Envelope, timestamp: int) -> _Frame:
    """Times first, then everything else: that is the order of the reasons."""
    record_at = from_milliseconds(timestamp)
    if record_at is None:
        raise InvalidRecord("bad_time", f"the record's timestamp is {timestamp}")
    occurred_at = _time(envelope.time, "the event's time")
    occurred_at_source: OccurredAtSource = "event"
    if occurred_at is None or occurred_at > record_at:
        occurred_at, occurred_at_source = record_at, "record"
    account_id = known_account(envelope.account_id) if isinstance(envelope.account_id, str) else None
    if account_id is None:
        raise InvalidRecord("wrong_type", "the account is no UUID")
    event_id = _text(envelope.event_id, "the event id")
    if event_id is None:
        event_id = sha256(canonical_json([topic, account_id, envelope.time, envelope.data]).encode()).hexdigest()
    elif not event_id:
        raise InvalidRecord("wrong_type", "the event id is empty")
    source = _text(envelope.source, "the source") or topic
    return _Frame(account_id, source, event_id, occurred_at, occurred_at_source, record_at)


@lru_cache(maxsize=65_536)
def known_account(text: str) -> str | None:
    """An account's id in lower case; remembered, since accounts are few and records are many."""
    return text.lower() if is_uuid(text) else None


def _tag(fields: Fields) -> TagAdded:
    name = _text(fields.get("tag_name"), "tag_name")
    return TagAdded(_text(fields.get("tag_id"), "tag_id"), None if name is None else fold_name(name))


def _payment(fields: Fields) -> Payment:
    _text(fields.get("payment_id"), "payment_id")
    amount = None
    if (told := fields.get("amount")) is not None:
        amount = parse_amount(told)
        if amount is None:
            raise InvalidRecord("wrong_type", f"amount is no amount: {told!r:.80}")
    currency = _text(fields.get("currency"), "currency")
    product_id = _text(fields.get("product_id"), "product_id")
    product_ids: tuple[str, ...] = () if product_id is None else (product_id,)
    if (products := fields.get("product_ids")) is not None:
        if not isinstance(products, list):
            raise InvalidRecord("wrong_type", "product_ids is no list")
        product_ids += tuple(_required_text(product, "a product id") for product in products)
    return Payment(amount, None if currency is None else currency.upper(), product_ids)


def _appointment(fields: Fields) -> Appointment:
    _text(fields.get("appointment_id"), "appointment_id")
    return Appointment(_text(fields.get("calendar_id"), "calendar_id"), _text(fields.get("service_id"), "service_id"))


def _form(fields: Fields) -> FormSubmission:
    _text(fields.get("submission_id"), "submission_id")
    return FormSubmission(_text(fields.get("form_id"), "form_id"))


def _stage(fields: Fields) -> StageChange:
    _text(fields.get("opportunity_id"), "opportunity_id")
    _text(fields.get("previous_stage_id"), "previous_stage_id")
    return StageChange(_text(fields.get("pipeline_id"), "pipeline_id"), _text(fields.get("stage_id"), "stage_id"))


_OCCURRENCES: Mapping[str, Callable[[Fields], Occurrence]] = {
    GoalType.TAG_ADDED.event_type: _tag,
    GoalType.PURCHASE_MADE.event_type: _payment,
    GoalType.APPOINTMENT_BOOKED.event_type: _appointment,
    GoalType.FORM_SUBMITTED.event_type: _form,
    GoalType.PIPELINE_STAGE_REACHED.event_type: _stage,
}


def _enrollment_start(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> EnrollmentStart:
    entered_at = _time(fields.get("entered_at"), "entered_at")
    frame = _frame(topic, envelope, timestamp)
    return EnrollmentStart(
        account_id=frame.account_id,
        enrollment_id=_uuid(fields.get("enrollment_id"), "enrollment_id"),
        workflow_id=_uuid(fields.get("workflow_id"), "workflow_id"),
        contact_id=_uuid(fields["contact_id"], "contact_id"),
        entered_at=entered_at or frame.occurred_at,
        trigger_event_id=_text(fields.get("trigger_event_id"), "trigger_event_id"),
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


def _enrollment_end(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> EnrollmentEnd:
    ended_at = _time(fields.get("ended_at"), "ended_at")
    frame = _frame(topic, envelope, timestamp)
    return EnrollmentEnd(
        account_id=frame.account_id,
        enrollment_id=_uuid(fields.get("enrollment_id"), "enrollment_id"),
        ended_at=ended_at or frame.occurred_at,
        reason=_text(fields.get("reason"), "reason"),
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


def _workflow_status(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> WorkflowStatus:
    frame = _frame(topic, envelope, timestamp)
    goal_logic = fields.get("goal_logic")
    if goal_logic not in (None, "any", "all"):
        raise InvalidRecord("wrong_type", f"goal_logic is neither any nor all: {goal_logic!r:.80}")
    return WorkflowStatus(
        account_id=frame.account_id,
        workflow_id=_uuid(fields.get("workflow_id"), "workflow_id"),
        name=_text(fields.get("name"), "name"),
        status=_required_text(fields.get("status"), "status"),
        goal_logic=goal_logic,
        occurred_at=frame.occurred_at,
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


def _reference_change(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> ReferenceChange:
    frame = _frame(topic, envelope, timestamp)
    try:
        kind = ReferenceKind(fields.get("kind", ""))
    except ValueError:
        raise InvalidRecord("wrong_type", f"kind is none of {', '.join(ReferenceKind)}") from None
    is_deleted = fields.get("deleted")
    if is_deleted is not None and not isinstance(is_deleted, bool):
        raise InvalidRecord("wrong_type", "deleted is neither true nor false")
    used = ("kind", "id", "name", "parent_id", "deleted")
    return ReferenceChange(
        account_id=frame.account_id,
        kind=kind,
        reference_id=_required_text(fields.get("id"), "id"),
        name=_text(fields.get("name"), "name"),
        parent_id=_text(fields.get("parent_id"), "parent_id"),
        is_deleted=bool(is_deleted),
        occurred_at=frame.occurred_at,
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
        payload=canonical_json({field: fields[field] for field in used if fields.get(field) is not None}),
    )


_FACTS: Mapping[str, Callable[[str, Envelope, Fields, int], Decoded]] = {
    ENROLLMENT_STARTED: _enrollment_start,
    ENROLLMENT_ENDED: _enrollment_end,
    WORKFLOW_STATUS_CHANGED: _workflow_status,
    REFERENCE_CHANGED: _reference_change,
}


def _text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRecord("wrong_type", f"{name} is no string")
    if len(value) > MAX_TEXT_LENGTH:
        raise InvalidRecord("wrong_type", f"{name} has more than {MAX_TEXT_LENGTH} characters")
    return value


def _required_text(value: object, name: str) -> str:
    text = _text(value, name)
    if text is None:
        raise InvalidRecord("wrong_type", f"{name} is missing")
    return text


def _uuid(value: object, name: str) -> str:
    if not (isinstance(value, str) and is_uuid(value)):
        raise InvalidRecord("wrong_type", f"{name} is no UUID")
    return value.lower()


def _time(value: object, name: str) -> datetime | None:
    if value is None:
        return None
    moment = parse_time(value) if isinstance(value, str) else None
    if moment is None:
        raise InvalidRecord("bad_time", f"{name} is not RFC 3339: {value!r:.80}")
    return moment

"""Records in, facts out: bytes → an event, or a fact about an enrollment, a workflow or a contact, or InvalidRecord(reason).

Every record is checked in full, whatever goals exist. Of several things wrong the first in the order of the contract is
told: not_json, forbidden_character, bad_cloudevent, type_contradicts_topic, no_account, no_contact, bad_time, wrong_type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import msgspec

from goalstream.domain.events import Event, OccurredAtSource
from goalstream.domain.facts import ContactDeletion, ContactMerge, EnrollmentEnd, EnrollmentStart, WorkflowStatus
from goalstream.domain.fields import required_text_field, text_field, time_field, uuid_field
from goalstream.domain.occurrences import Fields, read_occurrence
from goalstream.domain.texts import is_uuid
from goalstream.domain.times import from_milliseconds
from goalstream.errors import InvalidRecord
from goalstream.streams.envelope import Envelope, open_envelope
from goalstream.streams.ports import Record
from goalstream.streams.topics import (
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    EVENT_TOPICS,
    WORKFLOW_STATUS_CHANGED,
)

Told = EnrollmentStart | EnrollmentEnd | WorkflowStatus | ContactMerge | ContactDeletion
"""A fact that a record tells by itself; an event becomes one only where it matches."""

Decoded = Event | Told

TOPICS_WITH_A_CONTACT = frozenset({*EVENT_TOPICS, ENROLLMENT_STARTED, CONTACT_MERGED, CONTACT_DELETED})

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
    if fields.get("contact_id") is None and topic in TOPICS_WITH_A_CONTACT:
        raise InvalidRecord("no_contact", "contact_id is missing")
    if (read_fact := _FACTS.get(topic)) is not None:
        return read_fact(topic, envelope, fields, record.timestamp)
    frame = _frame(topic, envelope, record.timestamp)
    contact_id = uuid_field(fields["contact_id"], "contact_id")
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
        read_occurrence(topic, fields),
        fields,
        envelope.traceparent,
    )


def _frame(topic: str, envelope: Envelope, timestamp: int) -> _Frame:
    """Times first, then everything else: that is the order of the reasons."""
    record_at = from_milliseconds(timestamp)
    if record_at is None:
        raise InvalidRecord("bad_time", f"the record's timestamp is {timestamp}")
    occurred_at = time_field(envelope.time, "the event's time")
    occurred_at_source: OccurredAtSource = "event"
    if occurred_at is None or occurred_at > record_at:
        occurred_at, occurred_at_source = record_at, "record"
    account_id = known_account(envelope.account_id) if isinstance(envelope.account_id, str) else None
    if account_id is None:
        raise InvalidRecord("wrong_type", "the account is no UUID")
    event_id = text_field(envelope.event_id, "the event id")
    if event_id is None:
        event_id = sha256(canonical_json([topic, account_id, envelope.time, envelope.data]).encode()).hexdigest()
    elif not event_id:
        raise InvalidRecord("wrong_type", "the event id is empty")
    source = text_field(envelope.source, "the source") or topic
    return _Frame(account_id, source, event_id, occurred_at, occurred_at_source, record_at)


@lru_cache(maxsize=65_536)
def known_account(text: str) -> str | None:
    """An account's id in lower case; remembered, since accounts are few and records are many."""
    return text.lower() if is_uuid(text) else None


def _enrollment_start(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> EnrollmentStart:
    entered_at = time_field(fields.get("entered_at"), "entered_at")
    frame = _frame(topic, envelope, timestamp)
    return EnrollmentStart(
        account_id=frame.account_id,
        enrollment_id=uuid_field(fields.get("enrollment_id"), "enrollment_id"),
        workflow_id=uuid_field(fields.get("workflow_id"), "workflow_id"),
        contact_id=uuid_field(fields["contact_id"], "contact_id"),
        entered_at=entered_at or frame.occurred_at,
        trigger_event_id=text_field(fields.get("trigger_event_id"), "trigger_event_id"),
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


def _enrollment_end(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> EnrollmentEnd:
    ended_at = time_field(fields.get("ended_at"), "ended_at")
    frame = _frame(topic, envelope, timestamp)
    return EnrollmentEnd(
        account_id=frame.account_id,
        enrollment_id=uuid_field(fields.get("enrollment_id"), "enrollment_id"),
        ended_at=ended_at or frame.occurred_at,
        reason=text_field(fields.get("reason"), "reason"),
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
        workflow_id=uuid_field(fields.get("workflow_id"), "workflow_id"),
        name=text_field(fields.get("name"), "name"),
        status=required_text_field(fields.get("status"), "status"),
        goal_logic=goal_logic,
        occurred_at=frame.occurred_at,
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


def _contact_merge(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> ContactMerge:
    frame = _frame(topic, envelope, timestamp)
    return ContactMerge(
        account_id=frame.account_id,
        contact_id=uuid_field(fields["contact_id"], "contact_id"),
        into_contact_id=uuid_field(fields.get("into_contact_id"), "into_contact_id"),
        occurred_at=frame.occurred_at,
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


def _contact_deletion(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> ContactDeletion:
    frame = _frame(topic, envelope, timestamp)
    return ContactDeletion(
        account_id=frame.account_id,
        contact_id=uuid_field(fields["contact_id"], "contact_id"),
        occurred_at=frame.occurred_at,
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


_FACTS: Mapping[str, Callable[[str, Envelope, Fields, int], Told]] = {
    ENROLLMENT_STARTED: _enrollment_start,
    ENROLLMENT_ENDED: _enrollment_end,
    WORKFLOW_STATUS_CHANGED: _workflow_status,
    CONTACT_MERGED: _contact_merge,
    CONTACT_DELETED: _contact_deletion,
}

"""Facts that records tell by themselves: about enrollments, workflows, contacts and references, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from goalstream.domain.facts import ContactDeletion, ContactMerge, EnrollmentEnd, EnrollmentStart, WorkflowStatus
from goalstream.domain.fields import required_text_field, text_field, time_field, uuid_field
from goalstream.domain.occurrences import Fields
from goalstream.domain.references import ReferenceChange, ReferenceKind
from goalstream.errors import InvalidRecord
from goalstream.streams.envelope import Envelope
from goalstream.streams.frame import canonical_json, read_frame
from goalstream.streams.topics import (
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    REFERENCE_CHANGED,
    WORKFLOW_STATUS_CHANGED,
)

Told = EnrollmentStart | EnrollmentEnd | WorkflowStatus | ContactMerge | ContactDeletion | ReferenceChange


def _enrollment_start(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> EnrollmentStart:
    entered_at = time_field(fields.get("entered_at"), "entered_at")
    frame = read_frame(topic, envelope, timestamp)
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
    frame = read_frame(topic, envelope, timestamp)
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
    frame = read_frame(topic, envelope, timestamp)
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
    frame = read_frame(topic, envelope, timestamp)
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
    frame = read_frame(topic, envelope, timestamp)
    return ContactDeletion(
        account_id=frame.account_id,
        contact_id=uuid_field(fields["contact_id"], "contact_id"),
        occurred_at=frame.occurred_at,
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
    )


def _reference_change(topic: str, envelope: Envelope, fields: Fields, timestamp: int) -> ReferenceChange:
    frame = read_frame(topic, envelope, timestamp)
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
        reference_id=required_text_field(fields.get("id"), "id"),
        name=text_field(fields.get("name"), "name"),
        parent_id=text_field(fields.get("parent_id"), "parent_id"),
        is_deleted=bool(is_deleted),
        occurred_at=frame.occurred_at,
        source=frame.source,
        event_id=frame.event_id,
        record_at=frame.record_at,
        payload=canonical_json({field: fields[field] for field in used if fields.get(field) is not None}),
    )


FACT_READERS: Mapping[str, Callable[[str, Envelope, Fields, int], Told]] = {
    ENROLLMENT_STARTED: _enrollment_start,
    ENROLLMENT_ENDED: _enrollment_end,
    WORKFLOW_STATUS_CHANGED: _workflow_status,
    CONTACT_MERGED: _contact_merge,
    CONTACT_DELETED: _contact_deletion,
    REFERENCE_CHANGED: _reference_change,
}

"""Histories: goal versions and Kafka records, as bytes on the wire, in a vocabulary that shares nothing with the product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from json import dumps

TAG_ADDED = "contact.tag.added"
PAYMENT_COMPLETED = "payment.completed"
APPOINTMENT_BOOKED = "appointment.booked"
FORM_SUBMITTED = "form.submitted"
STAGE_CHANGED = "pipeline.stage.changed"
ENROLLMENT_STARTED = "workflow.enrollment.started"
ENROLLMENT_ENDED = "workflow.enrollment.ended"
STATUS_CHANGED = "workflow.status.changed"
REFERENCE_CHANGED = "crm.reference.changed"
CONTACT_MERGED = "contact.merged"
CONTACT_DELETED = "contact.deleted"

TOPIC_OF_GOAL_TYPE = {
    "tag_added": TAG_ADDED,
    "purchase_made": PAYMENT_COMPLETED,
    "appointment_booked": APPOINTMENT_BOOKED,
    "form_submitted": FORM_SUBMITTED,
    "pipeline_stage_reached": STAGE_CHANGED,
}
EVENT_TOPICS = tuple(TOPIC_OF_GOAL_TYPE.values())

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalVersion:
    """One version of a goal, in force from `effective_from` until that of the next; `created_at` is the goal's.

    Criteria are what the HTTP API takes: JSON with nulls, with amounts as numbers or texts.
    """

    account_id: str
    workflow_id: str
    goal_id: str
    version: int
    goal_type: str
    criteria: Mapping[str, object]
    is_active: bool
    is_deleted: bool
    window: timedelta | None
    measure_after_exit: timedelta
    effective_from: datetime
    created_at: datetime


class Digits(str):
    """A JSON number by its own digits, such as `1.5e2`: written as it is, without quotes."""

    __slots__ = ()


class Wrapping(StrEnum):
    """How a fact travels."""

    PLAIN = "plain"
    BINARY = "binary"
    STRUCTURED = "structured"


Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What Kafka holds; `timestamp` in milliseconds since 1970."""

    topic: str
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What a producer tells: the CRM's plain envelope, and how it is wrapped. `source` is used by CloudEvents only."""

    topic: str
    timestamp: int
    envelope: Mapping[str, object]
    wrapping: Wrapping = Wrapping.PLAIN
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that happened. Records stand in no particular order; `now` lies after all of them."""

    goal_versions: tuple[GoalVersion, ...]
    records: tuple[Record, ...]
    now: datetime


def joined(histories: Iterable[History]) -> History:
    """Several histories as one; they should have no account in common."""
    several = list(histories)
    return History(
        goal_versions=tuple(version for one in several for version in one.goal_versions),
        records=tuple(record for one in several for record in one.records),
        now=max(one.now for one in several),
    )


_ATTRIBUTES = {"event_id": "id", "event_type": "type", "account_id": "accountid", "timestamp": "time"}
"""What CloudEvents calls the parts of the plain envelope."""


def on_the_wire(fact: Fact) -> Record:
    """The bytes of a fact's record. Parts of the envelope that are missing or null are left out of CloudEvents."""
    attributes = {
        name: fact.envelope[ours] for ours, name in _ATTRIBUTES.items() if fact.envelope.get(ours) is not None
    }
    attributes["specversion"] = "1.0"
    if fact.source is not None:
        attributes["source"] = fact.source
    headers: Headers = ()
    match fact.wrapping:
        case Wrapping.PLAIN:
            body: object = fact.envelope
        case Wrapping.BINARY:
            body = fact.envelope.get("data")
            headers = (
                *((f"ce_{name}", str(attribute).encode()) for name, attribute in attributes.items()),
                ("content-type", b"application/json"),
            )
        case Wrapping.STRUCTURED:
            body = {**attributes, "data": fact.envelope.get("data")}
            headers = (("content-type", b"application/cloudevents+json"),)
    return Record(
        topic=fact.topic,
        timestamp=fact.timestamp,
        key=_key(fact.envelope),
        value=json_text(body).encode(),
        headers=headers,
    )


def _key(envelope: Mapping[str, object]) -> bytes | None:
    """The contact, as producers choose it, or what the fact is about."""
    data = envelope.get("data")
    if isinstance(data, Mapping):
        for name in ("contact_id", "enrollment_id", "workflow_id", "id"):
            if data.get(name) is not None:
                return str(data[name]).encode()
    return None


def json_text(document: object) -> str:
    """A document as JSON, in the order of its keys, without blanks; `Digits` as they are."""
    match document:
        case Digits():
            return str(document)
        case Mapping():
            return "{" + ",".join(f"{dumps(key)}:{json_text(part)}" for key, part in document.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(json_text, document)) + "]"
        case _:
            return dumps(document)


def milliseconds(moment: datetime) -> int:
    """A moment as Kafka has it, finer parts cut off."""
    return (moment - EPOCH) // timedelta(milliseconds=1)

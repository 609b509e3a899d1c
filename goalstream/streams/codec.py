"""Records in, facts out: bytes → an event or a fact, or InvalidRecord(reason).

Every record is checked in full, whatever goals exist. Of several things wrong the first in the order of the contract is
told: not_json, forbidden_character, bad_cloudevent, type_contradicts_topic, no_account, no_contact, bad_time, wrong_type.
"""

from __future__ import annotations

from goalstream.domain.events import Event
from goalstream.domain.fields import uuid_field
from goalstream.domain.occurrences import Fields, read_occurrence
from goalstream.errors import InvalidRecord
from goalstream.streams.envelope import open_envelope
from goalstream.streams.frame import read_frame
from goalstream.streams.ports import Record
from goalstream.streams.told import FACT_READERS, Told
from goalstream.streams.topics import CONTACT_DELETED, CONTACT_MERGED, ENROLLMENT_STARTED, EVENT_TOPICS

Decoded = Event | Told
"""What a record tells; an event becomes a fact only where it matches."""

TOPICS_WITH_A_CONTACT = frozenset({*EVENT_TOPICS, ENROLLMENT_STARTED, CONTACT_MERGED, CONTACT_DELETED})


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
    if (read_fact := FACT_READERS.get(topic)) is not None:
        return read_fact(topic, envelope, fields, record.timestamp)
    frame = read_frame(topic, envelope, record.timestamp)
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

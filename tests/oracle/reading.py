"""A record → what it tells, or the reason why it is a dead letter; section 5 of the contract, check by check.

Checks stand in the order of the contract's table, so that the first that applies is the one that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from tests.oracle.envelope import BadRecord, canonical, open_envelope
from tests.oracle.fields import FIELDS, read_fields, read_text, read_time, read_uuid
from tests.oracle.history import CONTACT_DELETED, CONTACT_MERGED, ENROLLMENT_STARTED, EPOCH, EVENT_TOPICS, Record

_TOPICS_OF_A_CONTACT = {*EVENT_TOPICS, ENROLLMENT_STARTED, CONTACT_MERGED, CONTACT_DELETED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a record of any topic tells.

    `fields` holds exactly the fields of its data that the topic uses and that are not null: ids of the platform in lower
    case, times as moments (default filled in), amounts as decimals, texts as sent. `data` is the data as sent.
    """

    topic: str
    account_id: str
    source: str
    event_id: str
    occurred_at: datetime
    is_time_of_record: bool
    record_at: datetime
    fields: Mapping[str, Any]
    data: Any

    def said(self) -> str:
        """The canonical payload: one text for everything that the fact says in `fields`."""
        return canonical({name: str(said) for name, said in self.fields.items()})


def read(record: Record) -> Told:
    """What a record tells. Raises BadRecord."""
    envelope = open_envelope(record)
    if envelope.event_type is not None and envelope.event_type != record.topic:
        raise BadRecord("type_contradicts_topic", repr(envelope.event_type))
    if envelope.account_id is None:
        raise BadRecord("no_account", "missing or null")
    data = envelope.data if isinstance(envelope.data, dict) else {}
    if record.topic in _TOPICS_OF_A_CONTACT and data.get("contact_id") is None:
        raise BadRecord("no_contact", "missing or null")
    kinds = FIELDS[record.topic]
    time = read_time(envelope.time)
    times = {name: read_time(data.get(name)) for name, kind in kinds.items() if kind == "time"}
    fields = read_fields(kinds, data)
    account_id = read_uuid(envelope.account_id)
    source = read_text(envelope.source) or record.topic
    event_id = read_text(envelope.event_id)
    if event_id == "":
        raise BadRecord("wrong_type", "the event id is empty")
    if event_id is None:
        payload = canonical([record.topic, account_id, envelope.time, envelope.data])
        event_id = sha256(payload.encode()).hexdigest()
    record_at = EPOCH + timedelta(milliseconds=record.timestamp)
    is_time_of_record = time is None or time > record_at
    occurred_at = record_at if time is None or is_time_of_record else time
    return Told(
        topic=record.topic,
        account_id=account_id,
        source=source,
        event_id=event_id,
        occurred_at=occurred_at,
        is_time_of_record=is_time_of_record,
        record_at=record_at,
        fields=fields | {name: occurred_at if moment is None else moment for name, moment in times.items()},
        data=envelope.data,
    )

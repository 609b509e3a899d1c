"""The frame: what records of every topic have in common, read and checked."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import msgspec

from goalstream.domain.events import OccurredAtSource
from goalstream.domain.fields import text_field, time_field
from goalstream.domain.texts import is_uuid
from goalstream.domain.times import from_milliseconds
from goalstream.errors import InvalidRecord
from goalstream.streams.envelope import Envelope

_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted")


def canonical_json(document: object) -> str:
    """The one JSON text of a document: keys sorted, no blanks, numbers by their own digits."""
    return _canonical.encode(document).decode()


class Frame(NamedTuple):
    """What records of every topic have in common, checked."""

    account_id: str
    source: str
    event_id: str
    occurred_at: datetime
    occurred_at_source: OccurredAtSource
    record_at: datetime


def read_frame(topic: str, envelope: Envelope, timestamp: int) -> Frame:
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
    return Frame(account_id, source, event_id, occurred_at, occurred_at_source, record_at)


@lru_cache(maxsize=65_536)
def known_account(text: str) -> str | None:
    """An account's id in lower case; remembered, since accounts are few and records are many."""
    return text.lower() if is_uuid(text) else None

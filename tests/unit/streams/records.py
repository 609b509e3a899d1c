"""Records and envelopes with defaults for what a test is not about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ACCOUNT = "0a000000-0000-4000-8000-000000000001"
CONTACT = "0c000000-0000-4000-8000-000000000001"
WORKFLOW = "0d000000-0000-4000-8000-000000000001"
ENROLLMENT = "0e000000-0000-4000-8000-000000000001"
GOAL = "0f000000-0000-4000-8000-000000000001"

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRecord:
    """What Kafka would give us."""

    value: bytes | None
    topic: str = "contact.tag.added"
    partition: int = 0
    offset: int = 0
    timestamp: int = NOON_MS
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def envelope(event_type: str = "contact.tag.added", data: object = None, **changes: Any) -> dict[str, Any]:
    """A plain envelope; a change to None leaves the part out."""
    document = {
        "event_id": "evt-1",
        "event_type": event_type,
        "account_id": ACCOUNT,
        "timestamp": "2026-11-23T11:00:00.123Z",
        "data": {"contact_id": CONTACT, "tag_id": "tag-7"} if data is None else data,
    }
    document.update(changes)
    return {name: part for name, part in document.items() if part is not None}


def record(document: object = None, **changes: Any) -> FakeRecord:
    """A record that holds a document as JSON."""
    text = (
        document if isinstance(document, bytes) else json.dumps(envelope() if document is None else document).encode()
    )
    return FakeRecord(value=text, **changes)

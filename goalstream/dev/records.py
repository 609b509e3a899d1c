"""Records as CRM and workflow engine write them: envelopes, and ways in which they can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from goalstream.streams.topics import ENROLLMENT_ENDED

Headers = tuple[tuple[str, bytes], ...]

YOURS = ("goalstream_dev", b"sent by a key")
"""A header of what the person at the terminal sends, so that it is always told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One record to send `at_seconds` after the beginning of the story. `is_event`: a sound one of the demo's account."""

    at_seconds: float
    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    is_event: bool = False


def engine_answer(exit_document: Mapping[str, Any], *, now: datetime, event_id: str) -> tuple[str, bytes, bytes]:
    """What a workflow engine does with a `workflow.exit.goal`: lets the contact out. Topic, key and value."""
    data = {
        "enrollment_id": exit_document["workflow_enrollment_id"],
        "workflow_id": exit_document["workflow_id"],
        "contact_id": exit_document["contact_id"],
        "ended_at": wire_time(now),
        "reason": "goal_achieved",
    }
    value = envelope(ENROLLMENT_ENDED, event_id, exit_document["account_id"], wire_time(now), data)
    return ENROLLMENT_ENDED, str(exit_document["contact_id"]).encode(), value


def envelope(event_type: str, event_id: str, account_id: str, timestamp: str, data: Mapping[str, Any]) -> bytes:
    """The CRM's plain envelope."""
    document = {
        "event_id": event_id,
        "event_type": event_type,
        "account_id": account_id,
        "timestamp": timestamp,
        "data": data,
    }
    return json.dumps(document).encode()


def wire_time(moment: datetime) -> str:
    """RFC 3339 in milliseconds, as Kafka has them: finer, an event would seem to happen after its own record."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cloudevent(
    event_type: str, event_id: str, account_id: str, time: str, data: Mapping[str, Any], *, traceparent: str
) -> tuple[bytes, Headers]:
    """A CloudEvent in binary mode, as the billing system sends it: value and headers."""
    headers = {
        "ce_specversion": "1.0",
        "ce_type": event_type,
        "ce_source": "billing",
        "ce_id": event_id,
        "ce_time": time,
        "ce_accountid": account_id,
        "content-type": "application/json",
        "traceparent": traceparent,
    }
    return json.dumps(data).encode(), tuple((name, text.encode()) for name, text in headers.items())


def spoiled(document: Mapping[str, Any], way: int) -> bytes:
    """The envelope, broken in one of several ways."""
    return _WAYS[way % len(_WAYS)](document)


def _but(document: Mapping[str, Any], **changes: Any) -> bytes:
    return json.dumps({**document, **changes}).encode()


_WAYS: tuple[Callable[[Mapping[str, Any]], bytes], ...] = (
    lambda document: json.dumps(document).encode()[:-9],
    lambda document: _but(document, timestamp="yesterday"),
    lambda document: _but(document, data={**document["data"], "contact_id": None}),
    lambda document: _but(document, account_id=None),
    lambda document: _but(document, event_type="contact.tag.removed"),
    lambda document: _but(document, data={**document["data"], "contact_id": "Ada"}),
)

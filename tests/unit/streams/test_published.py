"""What of the topics of messages is one that a worker has published; everything else is left aside."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import ConsumerRecord

from goalstream.streams.published import _message

ACCOUNT, CONTACT = "aaaaaaaa-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-000000000001"
HEADERS = {
    "ce_id": "99999999-0000-4000-8000-000000000001",
    "ce_accountid": ACCOUNT,
    "ce_subject": CONTACT,
    "ce_time": "2026-03-10T12:00:00Z",
}


def record(value: bytes | None = b'{"a": 1}', timestamp: int = 1_773_144_000_000, **headers: str) -> Any:
    found = [(name, text.encode()) for name, text in (HEADERS | headers).items()]
    return ConsumerRecord("workflow.goal.achieved", 0, 7, timestamp, 0, b"", value, None, 0, 0, found)


def test_a_message_of_a_worker_is_taken_as_it_is() -> None:
    found = _message(record(traceparent="00-x"), "workflow.goal.achieved")
    assert found is not None
    assert (found.account_id, found.subject, found.body, found.traceparent) == (ACCOUNT, CONTACT, '{"a": 1}', "00-x")


@pytest.mark.parametrize(
    "foreign",
    [
        record(None),
        record(b""),
        record(b"no json"),
        record(b'{"a": "\0"}'),
        record(b'{"a": "\xff"}'),
        record(b"[]"),
        record(b'{"a":' * 100_000),
        record(ce_id="7"),
        record(ce_accountid="ours"),
        record(ce_subject=""),
        record(ce_time="yesterday"),
        record(timestamp=-1),
    ],
    ids=range(12),
)
def test_what_is_none_is_left_aside(foreign: Any) -> None:
    assert _message(foreign, "workflow.goal.achieved") is None

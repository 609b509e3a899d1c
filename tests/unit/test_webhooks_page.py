"""docs/webhooks.md: the receiver that it shows takes what goalstream signs, once, and nothing else; its numbers are those of the code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goalstream.domain.deliveries import FAILURES_TO_OPEN, PATIENCE, delay_seconds, envelope, open_seconds
from goalstream.domain.signing import SigningSecret, make_secret, rotated, signed_headers
from goalstream.storage.deliverers import KEPT_FOR
from goalstream.storage.webhooks import MAX_WEBHOOKS
from tests.pages import ROOT, blocks

PAGE = ROOT / "docs" / "webhooks.md"
TEXT = " ".join(PAGE.read_text("utf-8").split())
Receive = Callable[[Mapping[str, str], bytes], int]

[EXAMPLE] = (json.loads(text) for text in blocks(PAGE, "json"))
BODY = envelope(EXAMPLE["type"], datetime.fromisoformat(EXAMPLE["timestamp"]), json.dumps(EXAMPLE["data"]))


@pytest.fixture
def shown() -> dict[str, Any]:
    """What the page's example defines; what it would print is kept."""
    [code] = blocks(PAGE, "python")
    found: dict[str, Any] = {"told": []}
    exec(code, found)
    found["handle"] = lambda kind, data: found["told"].append((kind, data))
    return found


def headers(*secrets: str, message_id: str = "m-1", ago: timedelta = timedelta()) -> dict[str, str]:
    now = datetime.fromtimestamp(time.time(), UTC) - ago
    kept: tuple[SigningSecret, ...] = ()
    for secret in secrets:
        kept = rotated(kept, secret, now=now)
    return signed_headers(kept, message_id=message_id, now=now, body=BODY)


def test_what_is_signed_is_handled_once(shown: dict[str, Any]) -> None:
    receive: Receive = shown["receive"]
    for message_id in ("m-1", "m-1", "m-2"):
        assert receive(headers(shown["SECRET"], message_id=message_id), BODY) == 204
    assert shown["told"] == [(EXAMPLE["type"], EXAMPLE["data"])] * 2


def test_what_is_not_signed_so_is_refused(shown: dict[str, Any]) -> None:
    receive: Receive = shown["receive"]
    good = headers(shown["SECRET"])
    assert receive(headers(make_secret(bytes(32))), BODY) == 401
    assert receive(headers(shown["SECRET"], ago=timedelta(minutes=6)), BODY) == 401
    assert receive(good, BODY + b" ") == 401
    assert receive(good | {"webhook-id": "m-2"}, BODY) == 401
    assert receive({}, BODY) == 401
    assert shown["told"] == []


def test_while_a_secret_is_rotated_the_old_one_still_verifies(shown: dict[str, Any]) -> None:
    assert shown["receive"](headers(shown["SECRET"], make_secret(bytes(32))), BODY) == 204


def test_its_numbers_are_those_of_the_code() -> None:
    delays = [delay_seconds(attempts, chance=0.5) for attempts in (1, 2, 3, 20)]
    assert delays == [5, 15, 45, 6 * 3600]
    assert "after 5 seconds, and then after three times as long each time, up to six hours" in TEXT
    assert (FAILURES_TO_OPEN, open_seconds(FAILURES_TO_OPEN), open_seconds(100)) == (5, 30, 1800)
    assert "After five failures in a row" in TEXT
    assert (timedelta(hours=24), timedelta(days=30), 20) == (PATIENCE, KEPT_FOR, MAX_WEBHOOKS)
    assert "more than 24 hours after the first, it is parked" in TEXT
    assert "goes back 30 days" in TEXT
    assert "has 20 webhooks at the most" in TEXT

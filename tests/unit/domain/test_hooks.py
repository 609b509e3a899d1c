"""Addresses of hooks, and what tells their calls apart."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.hooks import call_id_of, hook_source, parse_source
from goalstream.domain.ids import hook_event_id
from goalstream.domain.signing import Scheme

BODY = b"{}"
DIGEST = sha256(BODY).hexdigest()


@given(account=st.uuids(), hook=st.uuids())
def test_an_address_names_its_account_and_its_hook(account: UUID, hook: UUID) -> None:
    source = hook_source(str(account), str(hook))
    assert len(source) == 43
    assert parse_source(source) == (str(account), str(hook))


@pytest.mark.parametrize(
    "text", ["", "x", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "B", "é" * 43, "A" * 42 + "\n", "A/" * 21 + "A"]
)
def test_what_is_no_address_names_nothing(text: str) -> None:
    """Of the last character two bits mean nothing: one spelling alone is taken."""
    assert parse_source(text) is None


@pytest.mark.parametrize(
    ("told", "known"),
    [("evt_1", "evt_1"), (None, DIGEST), ("x" * 255, "x" * 255), ("x" * 256, sha256(b"x" * 256).hexdigest())],
)
def test_a_call_is_known_by_what_its_body_tells_or_by_all_of_it(told: str | None, known: str) -> None:
    assert call_id_of(Scheme.STRIPE, {}, told, BODY) == known


def test_a_call_that_is_signed_with_its_id_is_known_by_that() -> None:
    assert call_id_of(Scheme.STANDARD, {"webhook-id": "msg_1"}, "told", BODY) == "msg_1"
    for unusable in ("\0", "\ud800", "x" * 300):
        assert len(call_id_of(Scheme.STANDARD, {"webhook-id": unusable}, "told", BODY)) == 64


def test_an_event_of_a_call_has_the_same_id_whenever_it_is_repeated_and_no_other_has_it() -> None:
    wanted = hook_event_id("hook", "call", 0)
    assert hook_event_id("hook", "call", 0) == wanted
    others = {hook_event_id("hook", "call", 1), hook_event_id("hook", "call2", 0), hook_event_id("hook2", "call", 0)}
    assert len(others | {wanted}) == 4
    assert UUID(wanted).version == 5

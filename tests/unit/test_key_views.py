"""How API keys look to an operator."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from goalstream.cli.key_views import line, sentence, table
from goalstream.storage.api_keys import KeyRecord, State

RECORD = KeyRecord(
    account_id="aaaaaaaa-0000-4000-8000-000000000001",
    key_id="bbbbbbbb-0000-4000-8000-000000000002",
    name="the \x1b[31mimport[/red]",
    scopes=("goals:read", "operator"),
    created_at=datetime(2026, 11, 23, 12, 30, 15, 999_999, UTC),
    created_by="ada",
    expires_at=None,
    revoked_at=None,
    revoked_by=None,
    last_used_at=None,
    state=State.ACTIVE,
)


def test_a_key_is_one_row_and_its_name_steers_no_terminal() -> None:
    console = Console(width=1_000, force_terminal=False)
    with console.capture() as capture:
        console.print(table([RECORD, replace(RECORD, expires_at=RECORD.created_at, state=State.EXPIRED)]))
    heading, first, second = capture.get().splitlines()
    assert heading.split()[:5] == ["ID", "ACCOUNT", "NAME", "SCOPES", "STATE"]
    assert "the \\x1b[31mimport[/red]" in first
    assert first.split()[-5:] == ["active", "2026-11-23T12:30:15Z", "ada", "-", "-"]
    assert second.split()[-5:] == ["expired", "2026-11-23T12:30:15Z", "ada", "2026-11-23T12:30:15Z", "-"]


def test_as_json_it_holds_the_key_itself_only_where_it_was_just_made() -> None:
    shown = json.loads(line(RECORD))
    assert (shown["state"], shown["scopes"], shown["expires_at"]) == ("active", ["goals:read", "operator"], None)
    assert "key" not in shown
    assert json.loads(line(RECORD, key="gs_x"))["key"] == "gs_x"


def test_a_sentence_says_what_a_key_is_good_for() -> None:
    assert sentence(replace(RECORD, name="x")) == (
        "bbbbbbbb-0000-4000-8000-000000000002 (x) is good for goals:read operator of account "
        "aaaaaaaa-0000-4000-8000-000000000001, for ever"
    )
    assert sentence(replace(RECORD, expires_at=RECORD.created_at)).endswith(", until 2026-11-23T12:30:15Z")

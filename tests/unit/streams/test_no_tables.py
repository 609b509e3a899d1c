"""A worker's start: it does not wait for tables that nobody declares."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from goalstream.config import Settings
from goalstream.streams.app import NoTables, build_app
from goalstream.streams.processor import Processor


async def test_a_worker_does_not_wait_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    async def note(what: str) -> None:
        done.append(what)

    tables = build_app(Settings(), cast("Processor", None), lambda _: None).tables
    assert isinstance(tables, NoTables)
    monkeypatch.setattr(tables, "_update_channels", lambda: note("channels"))
    monkeypatch.setattr(tables.recovery, "start", lambda: note("recovery"))
    async with asyncio.timeout(0.5):
        await tables.on_start()
    assert done == ["channels", "recovery"]

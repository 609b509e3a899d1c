"""A worker that settles and never gets to publish: as if Kafka did not answer its producer."""

from __future__ import annotations

import asyncio
from typing import Any

from goalstream.streams.publisher import Publisher
from tests.faults.forked_workers import ForkedWorker
from tests.faults.workers import Running


class MuteWorker(ForkedWorker):
    """Mute in each of its lives."""

    def _launched(self) -> Running:
        self.arm = be_mute
        return super()._launched()


def be_mute() -> None:
    """Called in the worker's own process, before it begins."""

    async def wait_for_ever(*_: Any) -> None:
        await asyncio.Event().wait()

    setattr(Publisher, "_send", wait_for_ever)  # noqa: B010 - a class is no place to assign functions to, says mypy

"""What the keys of the live screen do, each with a sentence about it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from uuid import uuid4

from goalstream.dev.crm import Crm
from goalstream.dev.narrator import Narrator
from goalstream.dev.simulation import Story
from goalstream.dev.world import World
from goalstream.dev.yours import YourWalk

RATES = (0.1, 2_000.0)
FACTOR = 2.0
NOT_SIMULATED = "nothing is simulated (--no-sim): send events of your own"
DOES_NOT_OPEN = "the browser does not open: ? shows the address to paste"
OPEN_SECONDS = 3.0


class Keys:
    """Acts on the CRM and its story; `story` is None where nothing is simulated."""

    def __init__(self, world: World, crm: Crm, narrator: Narrator, *, story: Story | None, console: str) -> None:
        self._crm = crm
        self._narrator = narrator
        self._story = story
        self._console = console
        self._walk = YourWalk(world, lambda: str(uuid4()))

    async def press(self, key: str) -> str | None:
        """Does what the key is for and says so; None for a key without a meaning here."""
        match key:
            case "e":
                return await self._send()
            case "r":
                return await self._redeliver()
            case " ":
                return self._pause()
            case "+" | "=":
                return self._change_rate(FACTOR)
            case "-" | "_":
                return self._change_rate(1 / FACTOR)
            case "o":
                return await asyncio.to_thread(open_page, self._console)
        return None

    async def _send(self) -> str:
        step = self._walk.next(datetime.now(UTC))
        self._narrator.introduce(step.contact_id, step.name)
        await self._crm.send_yours(step.records)
        return f"sent: {step.text}"

    async def _redeliver(self) -> str:
        record = await self._crm.redeliver()
        return f"sent again: the last {record.topic}" if record else "there is no event yet to send again"

    def _pause(self) -> str:
        if self._story is None:
            return NOT_SIMULATED
        if self._crm.is_paused:
            self._crm.go_on()
            return "it goes on"
        self._crm.pause()
        return "paused: space goes on"

    def _change_rate(self, factor: float) -> str:
        if self._story is None:
            return NOT_SIMULATED
        slowest, fastest = RATES
        self._story.rate = min(max(self._story.rate * factor, slowest), fastest)
        return f"{self._story.rate:g} records/s"


def open_page(address: str) -> str:
    """Has the desktop's browser show a page; never one that would take over the terminal."""
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    has_desktop = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    program = shutil.which(opener)
    if program is None or not has_desktop:
        return "no browser can be opened from here: ? shows the address to paste"
    try:
        opened = subprocess.Popen(
            [program, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return DOES_NOT_OPEN
    try:
        code = opened.wait(OPEN_SECONDS)
    except subprocess.TimeoutExpired:  # the browser itself, which stays
        threading.Thread(target=opened.wait, daemon=True).start()
        code = 0
    return "the console is in your browser" if code == 0 else DOES_NOT_OPEN

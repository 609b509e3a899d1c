"""The live screen while it is looked at: painted four times a second, and keys read, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from collections.abc import Awaitable, Callable

from goalstream.dev.live import LINES_PER_SECOND, View, frame
from goalstream.dev.narrator import Line
from goalstream.dev.screen import Allowance
from goalstream.dev.terminal import Terminal

FRAME_SECONDS = 0.25
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.)?")
"""What arrows, the mouse and the like send."""

REMEMBERED = 200
"""More lines than any terminal has."""


class Session:
    """Takes lines and keys; `notice` is what the last key did, and what became of it."""

    def __init__(
        self,
        terminal: Terminal,
        *,
        view: Callable[[Session], View],
        press: Callable[[str], Awaitable[str | None]],
        show_help: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self.notice = ""
        self.feed: deque[tuple[str, Line]] = deque(maxlen=REMEMBERED)
        self._terminal = terminal
        self._view = view
        self._press = press
        self._show_help = show_help
        self._stop = stop
        self._allowance = Allowance(LINES_PER_SECOND)
        self._keys: deque[str] = deque()
        self._is_resized = False
        self._wake = asyncio.Event()

    def show(self, line: Line, *, clock: str, now: float) -> None:
        """Takes a line, unless too many of its kind were shown lately. `now` is in seconds, of any clock."""
        if line.is_yours:
            self.notice = line.text
        if line.is_yours or self._allowance.take(line.kind, now):
            self.feed.append((clock, line))

    async def run(self) -> None:
        """Until cancelled, or somebody presses `q`, or the terminal or whoever started us is gone."""
        loop = asyncio.get_running_loop()
        parent = os.getppid()
        loop.add_signal_handler(signal.SIGWINCH, self._resize)
        with self._terminal.opened():
            loop.add_reader(self._terminal.input_fd, self._read)
            try:
                while os.getppid() == parent:
                    while self._keys:
                        await self._key(self._keys.popleft())
                    self._paint()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), FRAME_SECONDS)
                    self._wake.clear()
            finally:
                loop.remove_reader(self._terminal.input_fd)
                loop.remove_signal_handler(signal.SIGWINCH)
        self._stop()

    def _paint(self) -> None:
        if self._is_resized:
            self._is_resized = False
            self._terminal.clear()
        columns, lines = self._terminal.size()
        self._terminal.paint(frame(self._view(self), columns, lines))

    async def _key(self, key: str) -> None:
        if key == "q":
            self._stop()
        elif key == "?":
            await self._help()
        elif (notice := await self._press(key)) is not None:
            self.notice = notice

    async def _help(self) -> None:
        """On the usual screen, where it can be copied from and stays; any key leads back, `q` ends."""
        with self._terminal.aside():
            self._show_help()
            while not self._keys:
                self._wake.clear()
                await self._wake.wait()
            if self._keys.popleft() == "q":
                self._stop()

    def _resize(self) -> None:
        self._is_resized = True
        self._wake.set()

    def _read(self) -> None:
        """Keys as they come. The end of them, or an error, means that the terminal is gone."""
        typed = b""
        with contextlib.suppress(OSError):
            typed = os.read(self._terminal.input_fd, 1024)
        if not typed:
            asyncio.get_running_loop().remove_reader(self._terminal.input_fd)
            self._stop()
        else:
            self._keys.extend(_ESCAPES.sub("", typed.decode("utf-8", "ignore")))
            self._wake.set()

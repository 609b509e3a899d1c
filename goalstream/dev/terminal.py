"""The person's terminal: keys one by one, a screen beside the usual one, and everything as it was before at the end.

Also when this process is killed: a shell outlives it, which puts the terminal right then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.text import Text

from goalstream.dev.screen import ScreenClosed

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"

_GUARD = r"""
exec 3>&1
read -r _ && exit
[ "$(stty -g <&3)" = "$2" ] && stty "$1" <&3
printf '\033[?25h\033[?1049l' >&3
"""
"""Waits for the end of our life. A line means that we have put everything right ourselves; settings that are not ours any more
are those of the shell that has gone on already."""

GUARD_SECONDS = 2.0
_LOCAL, _INPUT, _CHARACTERS = 3, 0, 6


def is_interactive() -> bool:
    """Whether a person looks and can press keys: a terminal at both ends, which is ours at the moment."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        return False
    with contextlib.suppress(OSError):
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


class Terminal:
    """Between `open` and `close`. What writes raises ScreenClosed when the terminal is gone."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self.input_fd = sys.stdin.fileno()
        self._console = Console(file=self._output, highlight=False, markup=False, emoji=False)
        self._before: list[int | list[bytes | int]] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Keys come one by one and are not echoed; the usual screen is put aside."""
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # to put it right is allowed from the background, too
        self._before = termios.tcgetattr(self.input_fd)
        before = self._words()
        settings = termios.tcgetattr(self.input_fd)
        settings[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
        settings[_INPUT] &= ~termios.IXON  # Ctrl-S would stop everything, not only the screen
        disabled = bytes([os.fpathconf(self.input_fd, "PC_VDISABLE")])
        settings[_CHARACTERS][termios.VSUSP] = disabled  # Ctrl-Z likewise
        settings[_CHARACTERS][termios.VMIN], settings[_CHARACTERS][termios.VTIME] = 1, 0
        try:
            termios.tcsetattr(self.input_fd, termios.TCSANOW, settings)
            self._guard = self._start_guard(before, self._words())
            self._write(ENTER)
            yield
        finally:
            self._close()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """The usual screen, in between; keys go on coming one by one."""
        self._write(LEAVE)
        try:
            yield
        finally:
            self._write(ENTER)

    def size(self) -> os.terminal_size:
        with contextlib.suppress(OSError):
            return os.get_terminal_size(self._output.fileno())
        return os.terminal_size((80, 24))

    def clear(self) -> None:
        self._write("\x1b[2J")

    def paint(self, lines: list[Text]) -> None:
        """These lines and nothing else, from the top; each fits the width."""
        with self._console.capture() as capture:
            self._console.print(Text("\n").join(lines), soft_wrap=True, end="")
        painted = "\n".join(f"\x1b[K{line}" for line in capture.get().split("\n"))
        self._write(f"\x1b[H{painted}\x1b[J" if len(lines) < self.size().lines else f"\x1b[H{painted}")

    def _close(self) -> None:
        with contextlib.suppress(ScreenClosed):
            self._write(LEAVE)
        if self._before is not None:
            with contextlib.suppress(termios.error, OSError):
                if os.tcgetpgrp(self.input_fd) == os.getpgrp():
                    termios.tcsetattr(self.input_fd, termios.TCSANOW, self._before)
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            with contextlib.suppress(OSError):
                guard.stdin.write(b"\n")
                guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                guard.wait(GUARD_SECONDS)

    def _start_guard(self, before: str, ours: str) -> subprocess.Popen[bytes] | None:
        if not before or not ours:
            return None
        return subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", before, ours],  # noqa: S607 - the machine's own
            stdin=subprocess.PIPE,
            stdout=self._output.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def _words(self) -> str:
        """The settings as `stty` takes them; empty on a machine without."""
        with contextlib.suppress(OSError):
            told = subprocess.run(["stty", "-g"], stdin=self.input_fd, capture_output=True, text=True, check=False)  # noqa: S607
            return told.stdout.strip()
        return ""

    def _write(self, text: str) -> None:
        try:
            self._output.write(text)
            self._output.flush()
        except (OSError, ValueError) as error:
            raise ScreenClosed from error

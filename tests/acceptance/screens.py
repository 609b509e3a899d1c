"""A terminal for a program to run in, whose screen can be read and whose keys can be pressed: a pseudo-terminal and pyte.

pyte has one screen; programs that use the alternate one (mode 1049) need two.
"""

from __future__ import annotations

import copy
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pyte

WAIT_SECONDS = 40.0
ALTERNATE = 1049


class TwoScreens(pyte.Screen):
    """Puts the usual screen aside while the alternate one is shown."""

    _aside: Any = None

    @property
    def is_alternate(self) -> bool:
        return self._aside is not None

    def set_mode(self, *modes: int, **options: bool) -> None:
        if ALTERNATE in modes and self._aside is None:
            self._aside = (copy.deepcopy(self.buffer), copy.copy(self.cursor))
            self.erase_in_display(2)
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: bool) -> None:
        if ALTERNATE in modes and self._aside is not None:
            (self.buffer, self.cursor), self._aside = self._aside, None
        super().reset_mode(*modes, **options)


class TerminalProgram:
    """A program in a terminal of its own, as session leader: closing the terminal hangs up."""

    def __init__(
        self, command: Sequence[str], *, columns: int, lines: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self._screen = TwoScreens(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._bytes = b""
        self._master, self._slave = pty.openpty()
        self._resize(columns, lines)
        self.settings = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", **(environment or {})},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    @property
    def text(self) -> str:
        """What is on the screen now."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def written(self) -> str:
        """All that was ever written, with control sequences."""
        with self._lock:
            return self._bytes.decode()

    @property
    def is_alternate(self) -> bool:
        with self._lock:
            return self._screen.is_alternate

    def settings_now(self) -> Any:
        return termios.tcgetattr(self._slave)

    def has_its_settings_back(self) -> bool:
        return bool(self.settings_now() == self.settings)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits until the pattern is found on the screen; `^` and `$` are those of a line."""
        end = time.monotonic() + WAIT_SECONDS
        while not (found := re.search(pattern, self.text, re.MULTILINE)):
            assert time.monotonic() < end, f"{pattern!r} is not on the screen:\n{self.text}"
            time.sleep(0.02)
        return found

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """As a person does with the window."""
        with self._lock:
            self._screen.resize(lines, columns)
        self._resize(columns, lines)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def end(self) -> int:
        """Waits for the end, and for the last word; the exit code."""
        code = self.process.wait(WAIT_SECONDS)
        time.sleep(0.1)
        return code

    def close(self) -> None:
        """Closes the terminal, as a person does with the window; more than once is harmless."""
        for descriptor in (self._slave, self._master):
            if descriptor >= 0:
                os.close(descriptor)
        self._slave = self._master = -1

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._master, 65_536)
            except OSError:
                return
            if not chunk:
                return
            with self._lock:
                self._bytes += chunk
                self._stream.feed(chunk)

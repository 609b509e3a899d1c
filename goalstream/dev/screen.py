"""What a person sees of `goalstream dev` without a terminal or with `--plain`, and while it starts and ends: lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console

from goalstream.dev.health import Health
from goalstream.dev.narrator import Kind, Line

STYLES = {
    Kind.ACHIEVED: "green",
    Kind.EXIT: "bold green",
    Kind.REVOKED: "yellow",
    Kind.DEAD_LETTER: "red",
    Kind.DUPLICATE: "cyan",
    Kind.NOT_COUNTED: "dim",
    Kind.NO_MATCH: "dim",
}
LINES_PER_SECOND = {Kind.ACHIEVED: 4.0, Kind.EXIT: 2.0, Kind.DUPLICATE: 1.0, Kind.NO_MATCH: 1.0, Kind.NOT_COUNTED: 1.0}
"""Nobody reads forty lines a second: the rest is counted. Kinds that are not named here are always shown."""

NARROW = 80
NAME_WIDTH, ABOUT_WIDTH, ADDRESS_COLUMN = 12, 48, 26


class ScreenClosed(Exception):
    """Nobody reads any more: the terminal is gone, or the pipe."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise ScreenClosed


class Screen:
    """Writes to `output`. Every method raises ScreenClosed when nobody reads it any more."""

    def __init__(self, output: TextIO | None = None) -> None:
        output = output or sys.stdout
        if hasattr(output, "reconfigure"):
            output.reconfigure(errors="replace")  # a terminal without the tick gets a question mark, not a traceback
        self._console = _Console(file=output, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._allowance = Allowance(LINES_PER_SECOND)

    def title(self) -> None:
        self._print("\n  goalstream dev", "bold", end="")
        self._print("   no Docker needed, Ctrl-C stops everything\n", "dim")

    def tick(self, name: str, about: str, seconds: float, *, address: str = "", hint: str = "") -> None:
        """A thing that is true now, where it is, and how many seconds that took."""
        self._print("  ✓ ", "green", end="")
        if self._console.width < NARROW:
            self._print(" ".join(word for word in (name, about, address, f"{seconds:.1f} s") if word))
            return
        where = f"{about:<{ADDRESS_COLUMN}}{address}" if address else about
        line = f"{name:<{NAME_WIDTH}}{where:<{ABOUT_WIDTH}}{seconds:>5.1f} s"
        has_room = hint and len(line) + len(hint) + 7 <= self._console.width
        self._print(line, end="" if has_room else "\n")
        if has_room:
            self._print(f"   {hint}", "dim")

    def block(self, heading: str, lines: Sequence[str]) -> None:
        """Lines that can be copied as they are, below a blank line and a heading, if any."""
        self._print(f"\n  {heading}" if heading else "", "bold")
        for line in lines:
            self._print(f"  {line}")

    def blank(self) -> None:
        self._print("")

    def show(self, line: Line, *, clock: str, now: float) -> None:
        """A sentence of the feed, unless too many of its kind were shown lately. `now` is in seconds, of any clock."""
        if line.is_yours or self._allowance.take(line.kind, now):
            self._print(f"{clock} {line.kind:<11} {line.text}", STYLES[line.kind])

    def health(self, health: Health, *, clock: str) -> None:
        """How it goes, in one line; and in another why the worker waits, if it does."""
        self._print(f"{clock} {'health':<11} {', '.join(health.words())}", "bold")
        if health.trouble:
            self._print(f"{clock} {'not ready':<11} {health.trouble}", "red")

    def note(self, text: str) -> None:
        self._print(f"  {text}")

    def _print(self, text: str, style: str | None = None, *, end: str = "\n") -> None:
        try:
            self._console.print(text, style=style, end=end)
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            raise ScreenClosed from error


class Allowance:
    """How many lines of a kind may still be shown: a bucket each, filled at the kind's rate."""

    def __init__(self, lines_per_second: dict[Kind, float]) -> None:
        self._lines_per_second = lines_per_second
        self._left: dict[Kind, tuple[float, float]] = {}

    def take(self, kind: Kind, now: float) -> bool:
        rate = self._lines_per_second.get(kind)
        if rate is None:
            return True
        most = max(rate, 1.0)
        left, since = self._left.get(kind, (most, now))
        left = min(most, left + (now - since) * rate)
        may = left >= 1
        self._left[kind] = (left - 1 if may else left, now)
        return may

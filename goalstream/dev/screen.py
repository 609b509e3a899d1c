"""What a person sees of `goalstream dev`: ticked lines at the start, then sentences. Plain lines, in a terminal or not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console

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
        self._allowance = Allowance()

    def title(self) -> None:
        self._print("\n  goalstream dev", "bold", end="")
        self._print("   no Docker needed, Ctrl-C stops everything\n", "dim")

    def tick(self, name: str, detail: str, seconds: float, hint: str = "") -> None:
        """A thing that is true now, and how many seconds that took."""
        self._print("  ✓ ", "green", end="")
        if self._console.width < NARROW:
            self._print(f"{name} {detail} {seconds:.1f} s")
        else:
            self._print(f"{name:<12}{detail:<48}{seconds:>5.1f} s", end="" if hint else "\n")
            if hint:
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
        if line.is_foreign or self._allowance.take(line.kind, now):
            self._print(f"{clock} {line.kind:<11} {line.text}", STYLES[line.kind])

    def health(self, counts: Counter[str], *, clock: str, events_per_second: float, trouble: str = "") -> None:
        """How it goes, in one line; and in another why the worker waits, if it does."""
        self._print(
            f"{clock} {'health':<11} {events_per_second:.0f} events/s, {counts[Kind.ACHIEVED]} achieved, "
            f"{counts[Kind.EXIT]} exits, {counts[Kind.DUPLICATE]} duplicates, {counts[Kind.DEAD_LETTER]} dead letters",
            "bold",
        )
        if trouble:
            self._print(f"{clock} {'not ready':<11} {trouble}", "red")

    def note(self, text: str) -> None:
        self._print(f"  {text}")

    def _print(self, text: str, style: str | None = None, *, end: str = "\n") -> None:
        try:
            self._console.print(text, style=style, end=end)
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            raise ScreenClosed from error


class Allowance:
    """How many lines of a kind may still be shown: a bucket each, filled at the kind's rate."""

    def __init__(self) -> None:
        self._left: dict[Kind, tuple[float, float]] = {}

    def take(self, kind: Kind, now: float) -> bool:
        rate = LINES_PER_SECOND.get(kind)
        if rate is None:
            return True
        left, since = self._left.get(kind, (rate, now))
        left = min(rate, left + (now - since) * rate)
        may = left >= 1
        self._left[kind] = (left - 1 if may else left, now)
        return may

"""Tables without lines, for people and for `cut`. What is shown was written by others: only printable characters reach the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from goalstream.cli.terminal import printable

_NUMBERS = frozenset({"VERSION", "ATTEMPTS", "SECONDS", "STATUS", "ACHIEVED", "ENROLLED", "RATE"})
"""Columns that are read from their right end."""


def table_of(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A heading, and a row for each of some things."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        found.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
    for row in rows:
        found.add_row(*(Text(printable(cell)) for cell in row))
    return found


def fields_of(fields: Mapping[str, str]) -> Table:
    """A line for each field of one thing."""
    found = Table(box=None, pad_edge=False, show_header=False)
    for name, value in fields.items():
        found.add_row(Text(name, style="bold"), Text(printable(value)))
    return found


def secret_in_words(secret: Mapping[str, str | None]) -> str:
    """What is known of a signing secret: not the secret."""
    end = "" if secret["expires_at"] is None else f" until {secret['expires_at']}"
    return f"of {secret['added_at']}{end}"

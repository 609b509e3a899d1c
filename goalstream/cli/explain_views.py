"""How verdicts look. What stands in events was written by others: only printable characters reach the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from goalstream.cli.terminal import printable

_STYLES = {"achieved": "green", "superseded": "yellow"}


def table(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each verdict: when the event happened, which it is, for which enrollment, and why."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("WHEN", "EVENT", "ENROLLMENT", "VERDICT", "WHY"):
        found.add_column(name, no_wrap=True)
    for verdict in verdicts:
        event = verdict["event"]
        found.add_row(
            Text(_moment(event["occurred_at"])),
            Text(printable(event["event_id"])),
            Text(verdict["enrollment_id"] or "-"),
            Text(verdict["verdict"], style=_STYLES.get(verdict["verdict"], "")),
            Text(printable(verdict["text"])),
        )
    return found


def summary(document: Mapping[str, Any]) -> str:
    """How many verdicts of each kind there are, the most frequent first."""
    verdicts = document["verdicts"]
    kinds = Counter(verdict["verdict"] for verdict in verdicts).most_common()
    number = f"{len(verdicts)} {'verdict' if len(verdicts) == 1 else 'verdicts'}"
    counted = f": {', '.join(f'{count} {kind}' for kind, count in kinds)}" if kinds else ""
    more = "" if document["is_complete"] else "; there are older ones (--limit)"
    return number + counted + more


def _moment(told: str | datetime) -> str:
    return told.isoformat().replace("+00:00", "Z") if isinstance(told, datetime) else told

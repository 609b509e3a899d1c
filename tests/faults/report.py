"""Results as a table on the screen, and merged into a JSON file: rows run at different times add up to one result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.faults.rows import Result, Row, Size

EXAMPLES = 5
"""Findings shown; all are in the kept folder."""


def table(results: Sequence[Result], left_out: Sequence[Row], size: Size) -> Table:
    """One line for each row that was run, and which were not, for want of such a size."""
    shown = Table(title="faults", title_justify="left", box=None, pad_edge=False)
    shown.add_column("fault", no_wrap=True)
    shown.add_column("size")
    numbers = ("lost", "duplicate", "wrong", "dead letters wrong", "limits missed")
    for name in (*numbers, "recovery median", "recovery max", "seconds"):
        shown.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    for result in results:
        document = document_of(result)
        recovery = [_shown(document[name]) for name in ("recovery_median_seconds", "recovery_max_seconds")]
        counts = [str(document[name.replace(" ", "_")]) for name in numbers]
        style = None if result.is_clean else "red"
        shown.add_row(result.fault, result.size.value, *counts, *recovery, f"{result.seconds:.1f}", style=style)
    if left_out:
        shown.caption = f"not run: {', '.join(row.fault for row in left_out)} (no size {size})"
    return shown


def document_of(result: Result) -> dict[str, Any]:
    """A result as JSON."""
    found, recovery = result.outcome.findings, result.recovery()
    return {
        "fault": result.fault,
        "title": result.title,
        "size": result.size.value,
        "seed": result.seed,
        "clean": result.is_clean,
        "lost": len(found.lost),
        "duplicate": len(found.duplicate),
        "wrong": len(found.wrong),
        "dead_letters_wrong": len(found.dead_letters_wrong),
        "limits_missed": len(found.limits_missed),
        "recovery_median_seconds": recovery and round(recovery[0], 2),
        "recovery_max_seconds": recovery and round(recovery[1], 2),
        "seconds": round(result.seconds, 1),
        "figures": result.outcome.figures,
        "findings": found.sentences()[:EXAMPLES],
    }


def measured(result: Result) -> str:
    """A row's figures in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in result.outcome.figures.items())


def merge(path: Path, result: Result) -> None:
    """Puts a result into the file, in the place of an earlier one of the same fault and size."""
    known = json.loads(path.read_text()) if path.exists() else []
    document = document_of(result)
    kept = [one for one in known if (one["fault"], one["size"]) != (document["fault"], document["size"])]
    merged = sorted([*kept, document], key=lambda one: (int(one["fault"][1:]), one["size"]))
    path.write_text(json.dumps(merged, indent=2) + "\n")


def _shown(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"

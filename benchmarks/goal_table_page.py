"""The goal table as a page with a picture.

python -m benchmarks.goal_table_page benchmarks/goal_table.json    writes GOAL_TABLE.md and the picture beside it
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PICTURE = "goal_table.svg"

_TOP = """\
# From one goal to a million

Goals of all five types, spread over accounts; events of those accounts, 1 % of which fulfil a goal, read and matched as a worker
does it. *Slower* compares each point with a table of one goal on the same events in the same run; matching is about half of what
an event costs a worker. [README.md](README.md) says how each figure is measured.

![Events per second and bytes per goal]({picture})

"""
_COLUMNS = {
    "goals": "goals",
    "accounts": "accounts",
    "bytes_per_goal": "bytes a goal",
    "us_per_event": "µs an event",
    "slower": "slower",
    "load_seconds": "load, s",
    "longest_pause_ms": "longest pause while loading, ms",
    "ms_per_refresh": "refresh of ten goals, ms",
    "longest_pause_of_a_refresh_ms": "longest pause of a refresh, ms",
    "rss_bytes_per_change": "bytes a change",
}


def page(points: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a table, a row for each point."""
    return "".join([_TOP.format(picture=PICTURE), *_table(points)])


def _table(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS.values())} |\n|{'--:|' * len(_COLUMNS)}\n"
    for point in points:
        yield f"| {' | '.join(_shown(name, point[name]) for name in _COLUMNS)} |\n"


def _shown(name: str, value: float) -> str:
    if name == "slower":
        return f"{value * 100:.0f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def main() -> None:
    from benchmarks import plots

    source = Path(sys.argv[1])
    points = json.loads(source.read_text())
    (source.parent / "GOAL_TABLE.md").write_text(page(points))
    plots.goal_table(points, source.parent / PICTURE)


if __name__ == "__main__":
    main()

"""How goals and statistics look. Criteria and names were written by others: only printable characters reach the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from goalstream.cli.tables import fields_of, table_of

BAR_WIDTH = 30
"""Characters of 100 %."""

_TIMES = {"avg": "average", "median": "median", "p90": "90 %", "fastest": "fastest", "slowest": "slowest"}


def table(goals: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each goal."""
    rows = [
        (
            goal["id"],
            goal["goal_type"],
            _criteria(goal["criteria"]),
            _state(goal),
            str(goal["version"]),
            goal["window"] or "-",
            goal["effective_from"],
        )
        for goal in goals
    ]
    return table_of(("ID", "TYPE", "CRITERIA", "STATE", "VERSION", "WINDOW", "HOLDS FROM"), rows)


def one(goal: Mapping[str, Any]) -> Table:
    """Everything about a goal, a line for each field."""
    fields = {
        "id": goal["id"],
        "workflow": goal["workflow_id"],
        "type": goal["goal_type"],
        "criteria": _criteria(goal["criteria"]),
        "state": _state(goal),
        "version": str(goal["version"]),
        "window": goal["window"] or "none",
        "measured after exit": goal["measure_after_exit"] or "no",
        "holds from": goal["effective_from"],
        "created": f"{goal['created_at']} by {goal['created_by']}",
        "changed": f"{goal['updated_at']} by {goal['updated_by']}",
    }
    return fields_of(fields)


def statistics(found: Mapping[str, Any]) -> Iterator[Table | Text]:
    """The figures of a workflow: in one sentence, times to goal, by type, by goal, and the series if there is one."""
    yield Text(
        f"{found['goals_achieved']} of {found['total_enrolled']} enrollments achieved: {found['conversion_rate']} %"
    )
    times = {label: found[f"{name}_time_to_goal_hours"] for name, label in _TIMES.items()}
    if any(hours is not None for hours in times.values()):
        yield Text("hours to goal: " + ", ".join(f"{label} {_hours(hours)}" for label, hours in times.items()))
    for title, key in (("TYPE", "by_goal_type"), ("GOAL", "by_goal")):
        if found[key]:
            rows = [
                (name, str(figures["achieved"]), f"{figures['conversion_rate']} %", _bar(figures["conversion_rate"]))
                for name, figures in found[key].items()
            ]
            yield table_of((title, "ACHIEVED", "RATE", ""), rows)
    if found.get("series"):
        series = [
            (
                point["start"],
                str(point["total_enrolled"]),
                str(point["goals_achieved"]),
                f"{point['conversion_rate']} %",
                _bar(point["conversion_rate"]),
            )
            for point in found["series"]
        ]
        yield table_of(("ENROLLED FROM", "ENROLLED", "ACHIEVED", "RATE", ""), series)


def _criteria(criteria: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_text(value)}" for key, value in criteria.items() if value is not None)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _state(goal: Mapping[str, Any]) -> str:
    return "active" if goal["is_active"] else "paused"


def _hours(hours: float | None) -> str:
    """As the API rounds them: what is under three minutes comes as nothing."""
    return "under 0.1" if hours == 0 else str(hours)


def _bar(percent: float) -> str:
    return "█" * round(percent / 100 * BAR_WIDTH)

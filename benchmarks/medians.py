"""Repeated runs become one: what the page and its pictures show."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

FIGURES = ("us_per_event", "postgres_us_per_event", "max_rss_mb", "machine_busy_share")


def merged(results: Mapping[str, Any]) -> dict[str, Any]:
    """The same results with one run for each system and match share: medians of its figures, right if all were right."""
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for run in results["runs"]:
        groups.setdefault((run["system"], run["match_share"]), []).append(run)
    return {**results, "runs": [_merge(group) for group in groups.values()]}


def _merge(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    figures: dict[str, float | None] = {}
    for name in FIGURES:
        found = [run[name] for run in runs if run.get(name) is not None]
        figures[name] = statistics.median(found) if found else None
    us = [run["us_per_event"] for run in runs]
    return {
        "system": runs[0]["system"],
        "match_share": runs[0]["match_share"],
        **figures,
        "spread": (max(us) - min(us)) / statistics.median(us),
        "right": all(run.get("right", True) for run in runs),
    }

"""The pictures of the page; matplotlib comes with the dependency group `benchmarks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

OURS, THEIRS, YARDSTICK = "#1a6fb5", "#8a8f98", "#c9ccd1"
ROW_INCHES = 0.32
MANY_GOALS = 1_000
"""With fewer, a table weighs mostly what it needs anyway."""


# The same results give the same file.
mpl.rcParams.update({"svg.hashsalt": "goalstream", "font.size": 9})


def cpu_per_event(results: Mapping[str, Any], path: Path) -> None:
    """A panel for each match share, in it a row for each system; µs on a logarithmic scale."""
    shares = sorted({run["match_share"] for run in results["runs"]})
    names = list(results["systems"])
    rows = (len(shares) + 1) // 2
    figure = Figure(figsize=(9, rows * (len(names) * ROW_INCHES + 0.9)), layout="constrained")
    panels = list(figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).flat)
    for share, axes in zip(shares, panels, strict=False):
        found = {run["system"]: run["us_per_event"] for run in results["runs"] if run["match_share"] == share}
        axes.set_title(f"{share * 100:.3g} % of the events match", fontsize=10, loc="left")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
        _points(axes, results, [found[name] for name in names], names)
    for unused in panels[len(shares) :]:
        unused.set_visible(False)
    figure.supxlabel("CPU per event, µs (logarithmic)", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def messages_lost(results: Mapping[str, Any], path: Path) -> None:
    """A bar for each system: lost messages as a share of those expected."""
    names = [run["system"] for run in results["kills"]]
    lost = [run["verdict"]["messages_missing"] for run in results["kills"]]
    expected = [run["verdict"]["messages_expected"] for run in results["kills"]]
    shares = [some / all_ * 100 for some, all_ in zip(lost, expected, strict=True)]
    figure = Figure(figsize=(9, len(names) * ROW_INCHES + 0.8), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(names)), shares, color=[_colour(name) for name in names], height=0.6)
    for row, (share, some) in enumerate(zip(shares, lost, strict=True)):
        axes.annotate(f"{some:,}", (share, row), xytext=(4, 0), textcoords="offset points", va="center")
    _label_rows(axes, results, names)
    axes.set_xlabel("messages lost, % of those expected")
    axes.set_xlim(0, max(1, *shares) * 1.1)
    figure.savefig(path, metadata={"Date": None})


def latency(points: Sequence[Mapping[str, Any]], key: str, title: str, path: Path) -> None:
    """Percentiles above, the worker's CPU below, over something on a logarithmic scale."""
    places = [point[key] for point in points]
    figure = Figure(figsize=(9, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for name, label, colour in (("p50_ms", "p50", YARDSTICK), ("p95_ms", "p95", THEIRS), ("p99_ms", "p99", OURS)):
        figures = [point[name] for point in points]
        above.plot(places, figures, marker="o", color=colour, label=label)
        above.annotate(label, (places[-1], figures[-1]), xytext=(7, 0), textcoords="offset points", va="center")
    above.set_ylabel("ms")
    below.plot(places, [point["share_of_one_core"] for point in points], marker="o", color=OURS)
    below.set_ylabel("share of a core")
    below.set_xscale("log")
    below.set_xticks(places, [f"{place:,}" for place in places])
    below.minorticks_off()
    below.set_xlabel(title)
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e6e8eb")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def goal_table(points: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Events matched in a second of CPU above, bytes of a goal below, over the number of goals; a line for each of accounts."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for accounts, colour in zip(
        sorted({point["accounts"] for point in points}), (OURS, THEIRS, YARDSTICK), strict=False
    ):
        line = [point for point in points if point["accounts"] == accounts]
        goals = [point["goals"] for point in line]
        label = f"{accounts:,} {'account' if accounts == 1 else 'accounts'}"
        above.plot(goals, [1e6 / point["us_per_event"] for point in line], marker="o", color=colour, label=label)
        weighed = [point for point in line if point["goals"] >= MANY_GOALS]
        below.plot(
            [point["goals"] for point in weighed],
            [point["bytes_per_goal"] for point in weighed],
            marker="o",
            color=colour,
        )
    above.set_ylabel("events a second")
    above.yaxis.set_major_formatter("{x:,.0f}")
    above.legend(frameon=False)
    below.set_ylabel("bytes a goal")
    below.set_xscale("log")
    below.xaxis.set_major_formatter("{x:,.0f}")
    below.set_xlabel("goals")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e6e8eb")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def trace(spans: Sequence[tuple[int, str, str, int, int]], path: Path) -> None:
    """A row for each span: depth, service, name, and its start and end in nanoseconds."""
    colours = dict(zip(dict.fromkeys(service for _, service, *_ in spans), ("#8a8f98", OURS, "#3f9c6b"), strict=False))
    first = min(start for *_, start, _ in spans)
    figure = Figure(figsize=(11, len(spans) * 0.26 + 0.9), layout="constrained")
    axes = figure.subplots()
    for row, (_, service, _, start, end) in enumerate(spans):
        axes.barh(row, (end - start) / 1e6, left=(start - first) / 1e6, color=colours[service], height=0.62)
        axes.annotate(
            f"{(end - start) / 1e6:.1f}", ((end - first) / 1e6, row), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=8, color="#5a6068",
        )  # fmt: skip
    axes.set_yticks(range(len(spans)), ["    " * depth + name for depth, _, name, *_ in spans])
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.tick_params(axis="y", length=0, pad=max(len(name) + 4 * depth for depth, _, name, *_ in spans) * 5)
    axes.set_ylim(len(spans) - 0.5, -0.5)
    axes.grid(axis="x", color="#e6e8eb", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.margins(x=0.06)
    axes.set_xlabel("ms since the CRM began to send its record")
    axes.legend(
        [Patch(color=colour) for colour in colours.values()], list(colours), frameon=False, loc="lower left", fontsize=9
    )
    figure.savefig(path, metadata={"Date": None})


def _points(axes: Axes, results: Mapping[str, Any], figures: list[float], names: list[str]) -> None:
    axes.scatter(figures, range(len(names)), color=[_colour(name) for name in names], zorder=2)
    for row, us in enumerate(figures):
        axes.annotate(f"{us:,.1f}", (us, row), xytext=(7, 0), textcoords="offset points", va="center")
    _label_rows(axes, results, names)
    axes.margins(x=0.2)


def _label_rows(axes: Axes, results: Mapping[str, Any], names: list[str]) -> None:
    """The first on top."""
    axes.set_yticks(range(len(names)), [results["systems"][name]["title"] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#e6e8eb", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _colour(name: str) -> str:
    return {"goalstream": OURS, "bare_loop": YARDSTICK}.get(name, THEIRS)

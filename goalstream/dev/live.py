"""The live screen as lines of text: goals with their counts, health, the last decisions, keys. Pure.

Every line fits the width, and all of them the height, however small; what matters least goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from goalstream.dev.health import Health
from goalstream.dev.narrator import GoalCount, Kind, Line
from goalstream.dev.screen import NARROW, STYLES

LINES_PER_SECOND = {Kind.ACHIEVED: 1.0, Kind.EXIT: 0.5, Kind.DUPLICATE: 0.3, Kind.NO_MATCH: 0.5, Kind.NOT_COUNTED: 0.3}
"""Two or three lines a second can be read on a screen that they leave after a few."""

WIDE = 100
COLUMNS = (("achieved", "achieved", 9), ("matched", "matched", 8), ("seen", "seen", 7), ("duplicates", "dupl.", 6))
"""What stands beside a goal, by what it is called; the last ones go first where there is no room."""

ORDER = ("seen", "matched", "achieved", "duplicates")
NAME_WIDTH = 34
NARROW_NAME_WIDTH = 26
BAR_WIDTHS = (6, 30)
PERCENT_WIDTH = 6
LEAST_FEED = 3
KEYS = (
    ("e", "send an event"),
    ("space", "pause"),
    ("+/-", "rate"),
    ("r", "redeliver"),
    ("o", "console"),
    ("?", "help"),
    ("q", "quit"),
)
LEAST_KEYS = frozenset({"?", "q"})
EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that the screen shows at a moment. `feed` is (time of day, line), oldest first."""

    age_seconds: float
    rate: float | None
    is_paused: bool
    console: str
    goals: Sequence[GoalCount]
    health: Health
    feed: Sequence[tuple[str, Line]]
    notice: str


def frame(view: View, width: int, height: int) -> list[Text]:
    """As many lines as the terminal has, or fewer."""
    table = _table(view.goals, width)
    bottom = [Text(f" » {view.notice}", "bold yellow") if view.notice else Text(""), _keys(view, width)]
    health = [_health(view.health, width)]
    if view.health.trouble:
        health.append(Text(f" not ready: {view.health.trouble}", "red"))
    top = [_title(view, width), Text(""), *table, Text(""), *health, Text("")]
    room = height - len(top) - len(bottom)
    if room < LEAST_FEED:
        top, room = _squeezed(view, table, health, height - len(bottom))
    feed = [_feed_line(clock, line, width) for clock, line in view.feed][-room:] if room > 0 else []
    lines = [*top, *feed, *[Text("")] * (room - len(feed)), *bottom][-height:]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _squeezed(view: View, table: list[Text], health: list[Text], height: int) -> tuple[list[Text], int]:
    """The upper part for a low terminal: health first, then some decisions, then as many goals as there is room for."""
    goals = max(height - len(health) - LEAST_FEED, 0)
    if goals < len(table):
        table = [*table[: goals - 1], Text(f" … {len(view.goals)} goals", "dim")] if goals > 1 else []
    top = [*table, *health]
    return top, height - len(top)


def _title(view: View, width: int) -> Text:
    minutes, seconds = divmod(int(view.age_seconds), 60)
    title = Text.assemble((" goalstream dev", "bold"), f"  {minutes}:{seconds:02}")
    if view.rate is None:
        title.append("  your own events", "dim")
    else:
        title.append(f"  {view.rate:g} records/s")
    if view.is_paused:
        title.append("  paused", "bold yellow")
    console = Text.assemble(("Console ", "dim"), view.console)
    if len(title) + len(console) + 3 <= width:
        title.append(" " * (width - len(title) - len(console) - 1)).append_text(console)
    return title


def _table(goals: Sequence[GoalCount], width: int) -> list[Text]:
    if not goals:
        return [Text(" no goals", "dim")]
    name_width = min(max(len(goal.title) for goal in goals) + 4, NAME_WIDTH if width >= NARROW else NARROW_NAME_WIDTH)
    room = width - name_width - PERCENT_WIDTH
    columns: list[tuple[str, str, int]] = []
    for field, short, size in COLUMNS:
        column = (field, field, max(size, len(field) + 2)) if width >= WIDE else (field, short, size)
        if column[2] > room:
            break
        columns.append(column)
        room -= column[2]
    columns.sort(key=lambda column: ORDER.index(column[0]))
    bar_width = min(room - 2, BAR_WIDTHS[1]) if room - 2 >= BAR_WIDTHS[0] else 0
    head = Text(" " * name_width + "".join(f"{title:>{size}}" for _, title, size in columns), "dim")
    head.append(f"{'rate':>{PERCENT_WIDTH}}")
    lines = [head]
    for workflow, rows in groupby(goals, key=lambda goal: goal.workflow):
        for number, goal in enumerate(rows):
            if number == 0:
                lines.append(Text.assemble((f" {workflow}", "bold"), (f"  {goal.enrolled:,} enrolled", "dim")))
            lines.append(_goal_line(goal, name_width, columns, bar_width))
    return lines


def _goal_line(goal: GoalCount, name_width: int, columns: Sequence[tuple[str, str, int]], bar_width: int) -> Text:
    name = Text(f"   {goal.title}")
    name.truncate(name_width, overflow="ellipsis", pad=True)
    for field, _, size in columns:
        name.append(f"{getattr(goal, field):>{size},}", "green" if field == "achieved" else "")
    share = min(goal.achieved / goal.enrolled, 1.0) if goal.enrolled else 0.0
    name.append(f"{share:>{PERCENT_WIDTH}.0%}")
    return name.append(f"  {bar(share, bar_width)}", "green") if bar_width else name


def bar(share: float, width: int) -> str:
    """A bar of so many cells, in eighths of a cell."""
    full, eighths = divmod(round(share * width * 8), 8)
    return ("█" * full + EIGHTHS[eighths])[:width].rstrip()


def _health(health: Health, width: int) -> Text:
    """As many words as there is room for."""
    text = ""
    for word in health.words():
        longer = f"{text}   {word}" if text else f" {word}"
        if len(longer) > width:
            break
        text = longer
    return Text(text, "bold")


def _feed_line(clock: str, line: Line, width: int) -> Text:
    kind = f"{line.kind:<11} " if width >= WIDE else ""  # the sentence says it too
    return Text(f" {clock} {kind}{line.text}", "bold yellow" if line.is_yours else STYLES[line.kind])


def _keys(view: View, width: int) -> Text:
    shown = [(key, "go on" if key == "space" and view.is_paused else what) for key, what in KEYS]
    while sum(len(key) + len(what) + 3 for key, what in shown) > width:
        spare = [pair for pair in shown if pair[0] not in LEAST_KEYS]
        if not spare:
            break
        shown.remove(spare[-1])
    text = Text(" ")
    for key, what in shown:
        text.append(key, "bold reverse").append(f" {what}  ")
    text.rstrip()
    return text

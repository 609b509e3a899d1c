"""The live screen: everything that matters fits, whatever the size of the terminal."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from goalstream.dev.health import RATE_SECONDS, Health, Pulse, health_of, percentile
from goalstream.dev.live import View, bar, frame
from goalstream.dev.narrator import GoalCount, Kind, Line

TITLES = ('form "spring-promo"', 'appointment in "consultation"', "purchase from 100 EUR")
VIEW = View(
    age_seconds=125,
    rate=40.0,
    is_paused=False,
    console="http://127.0.0.1:37295",
    goals=[
        *(
            GoalCount(
                workflow="Spring promo", title=title, enrolled=200, seen=1_450, matched=150, achieved=100, duplicates=12
            )
            for title in TITLES
        ),
        GoalCount(workflow="Win back", title='stage "won" of "sales"', enrolled=0),
        GoalCount(workflow="Win back", title='tag "Purchased"', enrolled=10, achieved=3),
    ],
    health=health_of(Counter({Kind.DEAD_LETTER: 7}), range(1, 101), events_per_second=40.2, lag_records=3, trouble=""),
    feed=[(f"10:00:{second:02}", Line(kind=Kind.NO_MATCH, text=f"Ada: number {second}")) for second in range(60)],
    notice="",
)


def shown(view: View, width: int, height: int) -> list[str]:
    return [line.plain for line in frame(view, width, height)]


def sizes() -> Iterator[tuple[int, int]]:
    for width in (1, 10, 25, 40, 60, 79, 80, 100, 160, 300):
        for height in (1, 2, 3, 5, 8, 10, 14, 24, 50):
            yield width, height


@pytest.mark.parametrize("goals", [VIEW.goals, [], list(VIEW.goals) * 6], ids=["usual", "none", "many"])
def test_no_line_is_too_long_and_there_are_never_too_many(goals: Sequence[GoalCount]) -> None:
    for width, height in sizes():
        trouble = replace(VIEW.health, trouble="PostgreSQL is away " * 20)
        for view in (VIEW, replace(VIEW, health=trouble, notice="sent " * 90, is_paused=True)):
            lines = shown(replace(view, goals=goals), width, height)
            assert len(lines) <= height
            assert max(map(cell_len, lines)) <= width


def test_at_80_by_24_all_of_it_is_there() -> None:
    lines = shown(VIEW, 80, 24)
    text = "\n".join(lines)
    assert len(lines) == 24
    assert lines[0].startswith(" goalstream dev  2:05  40 records/s")
    assert lines[0].endswith("Console http://127.0.0.1:37295")
    assert lines[2].split() == ["seen", "matched", "achieved", "dupl.", "rate"]
    assert " Spring promo  200 enrolled" in lines
    assert lines[4].split() == ["form", '"spring-promo"', "1,450", "150", "100", "12", "50%", "████▌"]
    assert " 40 events/s   p50 50 ms, p99 99 ms   lag 3   7 dead letters" in text
    assert " 10:00:59 Ada: number 59" in lines
    assert lines[-1] == " e send an event  space pause  +/- rate  r redeliver  o console  ? help  q quit"


def test_at_160_by_50_bars_and_kinds_are_there_too_and_more_decisions() -> None:
    lines = shown(VIEW, 160, 50)
    assert "duplicates" in lines[2]
    assert lines[4].endswith("█" * 15)
    assert " 10:00:59 no match    Ada: number 59" in lines
    assert sum("number" in line for line in lines) > 30


def test_at_60_columns_what_matters_most_stays() -> None:
    lines = shown(VIEW, 60, 24)
    text = "\n".join(lines)
    assert lines[2].split() == ["seen", "matched", "achieved", "rate"]
    assert "…" in lines[5], "a long title is cut"
    assert "p99 99 ms" in text
    assert "10:00:59 Ada: number 59" in text
    assert "e send an event" in lines[-1]
    assert "q quit" in lines[-1]


def test_in_a_low_terminal_health_decisions_and_keys_stay() -> None:
    text = "\n".join(shown(VIEW, 80, 7))
    assert "40 events/s" in text
    assert "Ada: number 59" in text
    assert "q quit" in text
    assert "5 goals" in "\n".join(shown(VIEW, 80, 10))


def test_a_pause_own_events_a_notice_and_trouble_are_told() -> None:
    paused = shown(replace(VIEW, is_paused=True, notice="paused: space goes on"), 80, 24)
    assert "paused" in paused[0]
    assert "space go on" in paused[-1]
    assert paused[-2] == " » paused: space goes on"
    assert "your own events" in shown(replace(VIEW, rate=None), 80, 24)[0]
    trouble = shown(replace(VIEW, health=replace(VIEW.health, trouble="PostgreSQL is away")), 80, 24)
    assert " not ready: PostgreSQL is away" in trouble


def test_nothing_of_a_frame_is_taken_for_markup_and_no_color_is_heeded() -> None:
    view = replace(VIEW, feed=[("10:00:00", Line(kind=Kind.ACHIEVED, text="Ada: [red]x[/red] :smile:"))])
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, color_system="truecolor", no_color=True, width=80)
    for line in frame(view, 80, 24):
        console.print(line)
    assert "Ada: [red]x[/red] :smile:" in output.getvalue()
    assert "\x1b[32m" not in output.getvalue()


def test_a_bar_is_as_long_as_its_share() -> None:
    assert [bar(share, 8) for share in (0, 1 / 64, 0.5, 0.55, 1, 2)] == [
        "",
        "▏",
        "████",
        "████▍",
        "████████",
        "████████",
    ]
    assert bar(0.5, 0) == ""


def test_percentiles_are_values_that_were_seen() -> None:
    assert [percentile([10, 20, 30, 40], percent) for percent in (1, 50, 75, 99)] == [10, 20, 30, 40]
    assert percentile([], 50) is None


def test_events_per_second_are_those_of_the_last_seconds() -> None:
    pulse = Pulse()
    assert pulse.beat(100, 0) == 0
    assert pulse.beat(101, 40) == 40
    assert pulse.beat(101 + RATE_SECONDS, 40) < 10
    assert pulse.beat(102 + 2 * RATE_SECONDS, 40) == 0


def test_trouble_is_one_line() -> None:
    health = health_of(Counter(), [], events_per_second=0, lag_records=0, trouble="disk is full\nHINT:  make room")
    assert health.trouble == "disk is full HINT: make room"


def test_before_the_first_achievement_no_latency_is_made_up() -> None:
    health: Health = health_of(Counter(), [], events_per_second=0, lag_records=0, trouble="")
    assert "p50 unknown" in health.words()

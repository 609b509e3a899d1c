"""What the comparison's page is made of: counts that nobody would see being wrong."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.code_lines import count_code_lines
from benchmarks.losses import Losses, compare
from benchmarks.medians import merged
from benchmarks.page import page

NOTHING_LOST = {
    "messages_expected": 2_000,
    "messages_missing": 0,
    "messages_repeated": 3,
    "rows_expected": 1_000,
    "rows_missing": 0,
    "rows_unexpected": 0,
}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ("a = 1\n\n\n# why\nb = 2  # because\n", 2),
        ('"""What it is."""\n\ndef f():\n    """Says\n\n    more."""\n    return 1\n', 2),
        ('class A:\n    x: int\n    """Of what."""\n', 2),
        ('SQL = """\n    select 1\n\n    from it\n"""\n', 4),
        ("call(\n    # not this\n    a,\n    b,\n)\n", 4),
        ("if a:\n    pass", 2),
    ],
)
def test_a_line_of_code_is_one_that_holds_some_code(source: str, lines: int) -> None:
    assert count_code_lines(source) == lines


def test_what_is_missing_too_many_or_repeated_is_counted_by_id() -> None:
    losses = compare({"a", "b", "c"}, rows=["a", "a", "b", "x"], messages=["a", "b", "b", "y"], not_committed=0)
    assert losses == Losses(
        rows_expected=3,
        rows_missing=1,
        rows_unexpected=2,
        messages_expected=3,
        messages_missing=1,
        messages_unexpected=1,
        messages_repeated=1,
        not_committed=0,
    )


@pytest.mark.parametrize(
    ("rows", "messages", "not_committed", "is_right"),
    [
        ("ab", "ab", 0, True),
        ("ab", "aab", 0, True),
        ("a", "ab", 0, False),
        ("aab", "ab", 0, False),
        ("ab", "a", 0, False),
        ("ab", "abx", 0, False),
        ("ab", "ab", 1, False),
    ],
)
def test_only_a_repeated_message_is_no_fault(rows: str, messages: str, not_committed: int, is_right: bool) -> None:
    assert compare(set("ab"), rows, messages, not_committed=not_committed).is_right is is_right


def test_repeated_runs_become_their_median_and_are_right_if_all_were() -> None:
    runs = [_run("goalstream", us, right=us != 9.0) for us in (4.0, 9.0, 5.0)]
    (run,) = merged(_results(runs))["runs"]
    assert (run["us_per_event"], run["right"], run["spread"]) == (5.0, False, 1.0)


def test_the_page_shows_each_system_beside_the_bare_loop() -> None:
    text = page(merged(_results([_run("goalstream", 6.0), _run("by_hand", 9.0), _bare_loop(3.0)])))
    assert "| CPU µs per event | 0.1 % | lines | memory, MB |\n" in text
    assert "| goalstream | 6.0 (2.0) | [9,000] | 150 |\n" in text
    assert "| By hand | 9.0 (3.0) | 80 | 150 |\n" in text
    assert "| Bare loop | 3.0 |" in text
    assert "**wrong**" not in text


def test_the_page_says_what_was_wrong() -> None:
    text = page(merged(_results([_run("goalstream", 6.0), _run("by_hand", 9.0, right=False), _bare_loop(3.0)])))
    assert "| By hand | 9.0 (3.0) **wrong** | 80 | 150 |\n" in text
    assert "rows or messages were missing or too many" in text


def test_the_page_shows_what_kills_cost_and_by_which_command() -> None:
    results = _results([_run("goalstream", 6.0), _run("by_hand", 9.0), _bare_loop(3.0)])
    lost = NOTHING_LOST | {"messages_expected": 1_000, "messages_missing": 40, "messages_repeated": 0}
    results["kills"] = [
        {"system": "goalstream", "match_share": 0.1, "kills": 5, "verdict": NOTHING_LOST},
        {"system": "by_hand", "match_share": 0.1, "kills": 5, "verdict": lost},
    ]
    text = page(merged(results))
    assert "| goalstream | 2,000 | 0 | 3 | 1,000 | 0 | 0 |\n" in text
    assert "| By hand | 1,000 | 40 | 0 | 1,000 | 0 | 0 |\n" in text
    assert "python -m benchmarks.compare --events 200000\n" in text


def test_a_page_without_kills_says_nothing_about_them() -> None:
    assert "kill -9" not in page(merged(_results([_run("goalstream", 6.0), _run("by_hand", 9.0), _bare_loop(3.0)])))


def _run(system: str, us: float, *, right: bool = True) -> dict[str, Any]:
    return {
        "system": system,
        "match_share": 0.001,
        "us_per_event": us,
        "postgres_us_per_event": 1.0,
        "max_rss_mb": 150.0,
        "machine_busy_share": 0.5,
        "right": right,
    }


def _bare_loop(us: float) -> dict[str, Any]:
    return {"system": "bare_loop", "match_share": 0.001, "us_per_event": us}


def _results(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "command": "python -m benchmarks.compare --events 200000",
        "versions": {"Python": "3.11.7"},
        "cores": 2,
        "workload": {
            "events": 200_000,
            "slice_events": 20_000,
            "goals": 1_000,
            "partitions": 4,
            "event_bytes": 300,
            "repeats": 3,
        },
        "systems": {
            "goalstream": {"title": "goalstream", "code_lines": 9_000},
            "by_hand": {"title": "By hand", "code_lines": 80, "code_lines_shared": 50, "reads_slice": True},
            "bare_loop": {"title": "Bare loop"},
        },
        "runs": runs,
        "kills": [],
    }

"""Why a match counts or does not: each verdict with both values of its rule, and a sentence that holds both."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from goalstream.domain.achievements import Achievement, changes
from goalstream.domain.explanation import Explanation, not_enrolled
from goalstream.domain.facts import Match
from goalstream.domain.settlement import Verdict
from goalstream.domain.walk import Walk
from tests.unit.domain.builders import (
    LATENESS,
    at,
    deletion,
    end,
    enrollment,
    goal,
    match,
    merge,
    settled,
    start,
    status,
)

HOUR = timedelta(hours=1)


def walk(*matches: Match, recorded: dict[str, Achievement] | None = None, **told: Any) -> Walk:
    return Walk(enrollment(*matches, **told), recorded or {}, allowed_lateness=LATENESS)


def explained(one: Match, *others: Match, **told: Any) -> Explanation:
    return walk(one, *others, **told).explain(one)


def recorded(one: Match, **changed: Any) -> dict[str, Achievement]:
    """What is recorded after this match alone."""
    (change,) = changes(
        {},
        settled(one, goal_versions=[goal(one.goal_id)]),
        enrollment_id="n1",
        recorded_at=at(1),
        end_is_known=False,
        exit_is_due=True,
    )
    return {one.goal_id: replace(change.achievement, **changed)}


LATE_START = start(record_at=at(0) + LATENESS + HOUR)
MERGED = [merge(-5, "c2", "c3"), merge(-4, "c2", "c1", event_id="m2")]
INACTIVE = status(-3, "paused")
PAUSED = goal(version=2, effective_from=at(-1), is_active=False)
DELETED = goal(version=2, effective_from=at(-1), is_active=False, is_deleted=True)
CHANGED = goal(version=2, effective_from=at(-1))

REFUSALS: dict[str, tuple[Match, dict[str, Any], str, dict[str, Any], dict[str, Any], str]] = {
    "too late": (
        match(record_at=at(73)),
        {},
        "too_late",
        {"allowed_lateness": "P3D"},
        {"lateness": "PT73H"},
        "The event came 3 days 1 hour after it had happened, and events count only when they come within 3 days.",
    ),
    "told too late that it began": (
        match(),
        {"starts": [LATE_START]},
        "no_enrollment",
        {"told_until": at(72)},
        {"told_at": at(73)},
        "The enrollment was told of at 2026-11-26 13:00:00 UTC, and for this event counts only what was told until"
        " 2026-11-26 12:00:00 UTC.",
    ),
    "of another enrollment": (
        match(enrollment_id="n2"),
        {},
        "no_enrollment",
        {"enrollment_id": "n2"},
        {"enrollment_id": "n1"},
        "The event was recorded for enrollment n2 alone, and this is enrollment n1.",
    ),
    "of another workflow": (
        match(),
        {"starts": [start(workflow_id="w2")]},
        "no_enrollment",
        {"workflow_id": "w1"},
        {"workflow_id": "w2"},
        "This enrollment is in workflow w2, and the goal belongs to workflow w1.",
    ),
    "of another contact": (
        match(contact_id="c2"),
        {},
        "no_enrollment",
        {"contact_id": "c1"},
        {"contact_id": "c2"},
        "The event is one of contact c2, and this enrollment is that of contact c1; that they are the same person was not"
        " told, or too late for this event.",
    ),
    "merged": (
        match(contact_id="c2"),
        {"contacts": MERGED},
        "contact_merged",
        {"contact_id": "c1"},
        {"contact_id": "c3"},
        "After merges the event is one of contact c3, and this enrollment is that of contact c1.",
    ),
    "before the goal": (
        match(-9, record_at=at(-9)),
        {"goal_versions": [goal(effective_from=at(-1))]},
        "goal_not_in_force",
        {"goal_version": 1, "is_active": True},
        {"goal_version": None},
        "The event happened at 2026-11-23 03:00:00 UTC, and version 1 of the goal was not in force then.",
    ),
    "of a clock ahead": (
        match(goal_version=7, clock_ahead=True),
        {},
        "goal_not_in_force",
        {"goal_version": 7, "is_active": True},
        {"goal_version": None},
        "The event happened at 2026-11-23 12:00:00 UTC, and version 7 of the goal was not in force then.",
    ),
    "goal paused": (
        match(),
        {"goal_versions": [goal(), PAUSED]},
        "goal_not_in_force",
        {"goal_version": 1, "is_active": True},
        {"goal_version": 2, "is_active": False},
        "The event happened at 2026-11-23 12:00:00 UTC, when version 2 of the goal was in force and paused; it fulfils"
        " version 1.",
    ),
    "goal deleted": (
        match(),
        {"goal_versions": [goal(), DELETED]},
        "goal_not_in_force",
        {"goal_version": 1, "is_active": True},
        {"goal_version": 2, "is_active": False},
        "The event happened at 2026-11-23 12:00:00 UTC, when version 2 of the goal was in force and deleted; it fulfils"
        " version 1.",
    ),
    "goal changed": (
        match(),
        {"goal_versions": [goal(), CHANGED]},
        "goal_not_in_force",
        {"goal_version": 1, "is_active": True},
        {"goal_version": 2, "is_active": True},
        "The event happened at 2026-11-23 12:00:00 UTC, when version 2 of the goal was in force and active; it fulfils"
        " version 1.",
    ),
    "inactive": (
        match(),
        {"statuses": [INACTIVE, status(-6), status(3), status(-1, workflow_id="w2"), status(-1, record_at=at(80))]},
        "workflow_inactive",
        {"status": "active"},
        {"status": "paused", "since": at(-3)},
        'The workflow was "paused" since 2026-11-23 09:00:00 UTC and not "active" when the event happened at 2026-11-23'
        " 12:00:00 UTC.",
    ),
    "before": (
        match(-11),
        {},
        "before_enrollment",
        {"entered_at": at(-10)},
        {"occurred_at": at(-11)},
        "The event happened at 2026-11-23 01:00:00 UTC, before the contact entered the workflow at 2026-11-23 02:00:00 UTC.",
    ),
    "after": (
        match(11),
        {"ends": [end(10)]},
        "after_enrollment",
        {"before": at(10)},
        {"occurred_at": at(11)},
        "The event happened at 2026-11-23 23:00:00 UTC, and the enrollment had ended at 2026-11-23 22:00:00 UTC.",
    ),
    "after it was measured": (
        match(13),
        {"ends": [end(10, "goal_achieved")], "goal_versions": [goal(measure_after_exit=2 * HOUR)]},
        "after_enrollment",
        {"until": at(12), "ended_at": at(10), "measure_after_exit": "PT2H"},
        {"occurred_at": at(13)},
        "The event happened at 2026-11-24 01:00:00 UTC, and the enrollment had ended at 2026-11-23 22:00:00 UTC (the goal"
        " is measured for 2 hours longer).",
    ),
    "ended before it began": (
        match(),
        {"ends": [end(-11)], "goal_versions": [goal(measure_after_exit=2 * HOUR)]},
        "after_enrollment",
        {"before": at(-11), "entered_at": at(-10)},
        {"occurred_at": at(0)},
        "The enrollment ended at 2026-11-23 01:00:00 UTC, before it began at 2026-11-23 02:00:00 UTC, so that nothing counts"
        " for it; the event happened at 2026-11-23 12:00:00 UTC.",
    ),
    "deleted": (
        match(),
        {"contacts": [deletion(-1, "c1")]},
        "contact_deleted",
        {"before": at(-1)},
        {"occurred_at": at(0)},
        "The event happened at 2026-11-23 12:00:00 UTC, and the contact was deleted at 2026-11-23 11:00:00 UTC: from then on"
        " nothing counts.",
    ),
    "outside the window": (
        match(),
        {"goal_versions": [goal(window=9 * HOUR)]},
        "outside_window",
        {"before": at(-1), "window": "PT9H"},
        {"occurred_at": at(0), "after": "PT10H"},
        "The event happened 10 hours after the contact entered the workflow, and the goal must be achieved in less than 9"
        " hours: before 2026-11-23 11:00:00 UTC.",
    ),
    "what it began by": (
        match(),
        {"starts": [start(trigger_event_id="e1")]},
        "own_trigger",
        {"trigger_event_id": "e1"},
        {"event_id": "e1"},
        "Event e1 is what the contact was enrolled by (trigger e1), and what begins an enrollment cannot achieve its goal.",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_told_with_both_values(name: str) -> None:
    one, told, verdict, wanted, got, text = REFUSALS[name]
    found = explained(one, **told)
    assert (found.verdict, found.wanted, found.got) == (verdict, wanted, got)
    assert found.text == text


def test_every_verdict_is_explained() -> None:
    assert {row[2] for row in REFUSALS.values()} | {"achieved", "already_achieved", "already_satisfied"} == set(Verdict)


def test_what_counts_needs_no_values() -> None:
    found = explained(match())
    assert (found.verdict, found.wanted, found.got) == ("achieved", None, None)
    assert found.text == "The goal was achieved by this event of 2026-11-23 12:00:00 UTC."


def test_what_comes_after_the_goal_names_what_achieved_it() -> None:
    found = explained(match(1, "e2"), match(0, "e1"))
    first = {"goal_id": "g1", "event_id": "e1", "occurred_at": at(0)}
    assert (found.verdict, found.wanted, found.got) == ("already_achieved", None, first)
    assert found.text == "The goal had been achieved before, by event e1 of 2026-11-23 12:00:00 UTC."


def test_what_comes_after_another_goal_names_that_one() -> None:
    found = explained(match(1, "e2", "g2"), match(0, "e1"), goal_versions=[goal(), goal("g2")])
    first = {"goal_id": "g1", "event_id": "e1", "occurred_at": at(0)}
    assert (found.verdict, found.wanted, found.got) == ("already_satisfied", None, first)
    assert found.text == (
        "The contact had done before what the workflow was for: goal g1 was achieved by event e1 of 2026-11-23 12:00:00 UTC."
    )


def test_what_had_achieved_the_goal_before_an_earlier_event_came_is_superseded() -> None:
    one, earlier = match(1, "e2", "g2"), match(0, "e1")
    two_goals = {"goal_versions": [goal(), goal("g2")]}
    revoked = recorded(one, revoked_at=at(3), revoked_reason="superseded")
    found = walk(one, earlier, recorded=revoked, **two_goals).explain(one)
    first = {"goal_id": "g1", "event_id": "e1", "occurred_at": at(0)}
    assert (found.verdict, found.wanted, found.got) == ("superseded", None, first)
    assert found.text == (
        "The goal had been achieved by this event, until an earlier one was told that did what the workflow was for: event e1"
        " of 2026-11-23 12:00:00 UTC, for goal g1."
    )
    another = match(2, "e3", "g2")
    later = walk(another, one, earlier, recorded=revoked, **two_goals)
    assert later.explain(another).verdict == "already_satisfied"
    assert later.achievement_by(another) is None
    assert later.achievement_by(one) == revoked["g2"]


def test_of_what_is_not_kept_any_more_the_record_tells_the_reason() -> None:
    one = match()
    gone = walk(recorded=recorded(one, revoked_at=at(3), revoked_reason="outside_window"))
    found = gone.explain(one)
    assert (found.verdict, found.wanted, found.got) == ("outside_window", None, None)
    assert found.text == (
        "The goal had been achieved by this event of 2026-11-23 12:00:00 UTC, until it was taken back at 2026-11-23 15:00:00"
        " UTC: outside window."
    )
    assert gone.judged(one) is one


def test_a_match_that_the_walk_does_not_come_by_is_nobodys() -> None:
    assert walk().explain(match()) == not_enrolled(match())
    assert not_enrolled(match()).text == (
        "The contact was not enrolled in workflow w1: no enrollment of it there is known."
    )
    assert walk().explain(match(enrollment_id="n2")).got == {"enrollment_id": "n1"}


def test_of_copies_the_one_that_was_judged_is_shown() -> None:
    first, copy = match(), match(record_at=at(1))
    assert walk(first, copy).judged(copy) is first

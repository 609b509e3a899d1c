"""What is recorded follows what holds: new, moved, revoked, restored; and what is published about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from goalstream.domain.achievements import Achievement, Action, Change, changes
from goalstream.domain.facts import Match
from tests.unit.domain.builders import at, end, goal, match, settled, start, status


def difference(recorded: dict[str, Achievement], *matches: Match, **facts: Any) -> list[Change]:
    settlement = settled(*matches, **facts)
    return list(
        changes(
            recorded,
            settlement,
            enrollment_id="n1",
            recorded_at=at(20),
            end_is_known=bool(facts.get("ends")),
            exit_is_due=settlement.satisfied_by is not None,
        )
    )


def recorded(*matches: Match, **facts: Any) -> dict[str, Achievement]:
    return {change.achievement.goal_id: change.achievement for change in difference({}, *matches, **facts)}


def test_a_new_achievement_has_revision_1_and_says_that_the_contact_exits() -> None:
    (change,) = difference({}, match())
    assert (change.action, change.before) == (Action.ACHIEVED, None)
    achievement = change.achievement
    assert (achievement.revision, achievement.late, achievement.should_exit_workflow) == (1, False, True)
    assert achievement.achieved_at == at(0)


def test_nothing_changes_when_everything_is_recorded() -> None:
    assert difference(recorded(match()), match()) == []


def test_an_end_that_is_known_marks_it_late() -> None:
    (change,) = difference({}, match(), ends=[end(5)])
    assert change.achievement.late


def test_an_earlier_match_moves_the_achievement_with_its_revision() -> None:
    before = recorded(match())
    (change,) = difference(before, match(), match(-1, "e0"))
    assert change.action is Action.MOVED
    assert (change.achievement.revision, change.achievement.achieved_at) == (1, at(-1))
    assert change.achievement.achievement_id == before["g1"].achievement_id
    assert change.before is before["g1"]


def test_only_the_achievement_that_completes_the_logic_says_that_the_contact_exits() -> None:
    goals = [goal("g1"), goal("g2")]
    found = recorded(match(), match(1, "e2", "g2"), goal_versions=goals, statuses=[status(-20, "active", "all")])
    assert {goal_id: one.should_exit_workflow for goal_id, one in found.items()} == {"g1": False, "g2": True}
    assert {goal_id: (one.met, one.required) for goal_id, one in found.items()} == {"g1": (1, 2), "g2": (2, 2)}


def test_a_goal_that_completes_the_logic_by_coming_late_says_that_the_contact_exits() -> None:
    """In event time the other goal was the last, but that one was recorded before anybody knew of the exit."""
    facts: dict[str, Any] = {"goal_versions": [goal("g1"), goal("g2")], "statuses": [status(-20, "active", "all")]}
    before = recorded(match(1, "e2", "g2"), **facts)
    assert not before["g2"].should_exit_workflow
    (change,) = difference(before, match(), match(1, "e2", "g2"), **facts)
    assert (change.achievement.goal_id, change.achievement.should_exit_workflow) == ("g1", True)


def test_an_achievement_that_sends_no_exit_does_not_say_so() -> None:
    (change,) = changes(
        {}, settled(match()), enrollment_id="n1", recorded_at=at(20), end_is_known=True, exit_is_due=False
    )
    assert (change.achievement.late, change.achievement.should_exit_workflow) == (True, False)


def test_goals_matched_by_the_same_event_are_recorded() -> None:
    goals = [goal("g1"), goal("g2", created_at=at(-90))]
    assert recorded(match(), match(goal_id="g2"), goal_versions=goals)["g1"].also_matched == ("g2",)


def test_what_was_restored_moves_with_its_revision() -> None:
    (revoked,) = difference(recorded(match()), match(), ends=[end(-1)])
    (restored,) = difference({"g1": revoked.achievement}, match())
    (moved,) = difference({"g1": restored.achievement}, match(), match(-1, "e0"))
    assert (moved.action, moved.achievement.revision) == (Action.MOVED, 3)


def test_a_revocation_keeps_everything_but_its_revision_and_reason() -> None:
    before = recorded(match())["g1"]
    (change,) = difference({"g1": before}, match(), ends=[end(-1)])
    assert change.before is before
    assert change.achievement == replace(before, revision=2, revoked_at=at(20), revoked_reason="after_enrollment")


def test_the_reason_of_a_revocation_is_the_verdict_on_its_own_trigger() -> None:
    earlier = match(-5, "e0", record_at=at(100))
    (change,) = difference(recorded(match()), earlier, match(), statuses=[status(-1, "inactive")])
    assert change.achievement.revoked_reason == "workflow_inactive"


def test_what_moves_keeps_what_was_said_when_it_was_recorded() -> None:
    before = recorded(match())
    after_the_exit = changes(
        before,
        settled(match(), match(-1, "e0"), ends=[end(5)]),
        enrollment_id="n1",
        recorded_at=at(30),
        end_is_known=True,
        exit_is_due=False,
    )
    (change,) = after_the_exit
    assert change.action is Action.MOVED
    moved = change.achievement
    assert (moved.recorded_at, moved.late, moved.should_exit_workflow) == (at(20), False, True)


def test_what_moves_and_satisfies_now_says_that_the_contact_exits() -> None:
    goals = [goal("g1"), goal("g2")]
    logic = [status(-20, "active", "all"), status(-0.5, "active", "any")]
    before = recorded(match(-1), goal_versions=goals, statuses=logic)
    assert not before["g1"].should_exit_workflow
    (change,) = difference(before, match(0), goal_versions=goals, statuses=logic)
    assert (change.action, change.achievement.should_exit_workflow) == (Action.MOVED, True)


def test_a_newer_version_or_contact_moves_the_achievement_as_well() -> None:
    before = recorded(match())
    versions = [goal(), goal(version=2, effective_from=at(-1))]
    (change,) = difference(before, match(goal_version=2), goal_versions=versions)
    assert (change.action, change.achievement.match.goal_version) == (Action.MOVED, 2)
    (change,) = difference(before, match(contact_id="c2"), starts=[start(contact_id="c2")])
    assert (change.action, change.achievement.contact_id) == (Action.MOVED, "c2")


@pytest.mark.parametrize("copy", [{"data": '{"contact_id":"c0"}'}, {"record_at": at(-0.5)}])
def test_a_copy_that_holds_instead_is_followed_by_the_achievement(copy: dict[str, Any]) -> None:
    (change,) = difference(recorded(match()), match(**copy))
    assert change.action is Action.MOVED
    assert change.achievement.match == match(**copy)


@pytest.mark.parametrize(
    ("reason", "facts"),
    [
        ("no_enrollment", {"starts": []}),
        ("before_enrollment", {"starts": [start(1)]}),
        ("after_enrollment", {"ends": [end(-1)]}),
        ("outside_window", {"goal_versions": [goal(window=timedelta(hours=1))]}),
        ("own_trigger", {"starts": [start(trigger_event_id="e1")]}),
        ("workflow_inactive", {"statuses": [status(-1, "inactive")]}),
    ],
)
def test_what_no_longer_counts_is_revoked_with_the_verdict(reason: str, facts: dict[str, Any]) -> None:
    (change,) = difference(recorded(match()), match(), **facts)
    assert change.action is Action.REVOKED
    assert (change.achievement.revision, change.achievement.revoked_reason) == (2, reason)
    assert change.achievement.revoked_at == at(20)


def test_an_earlier_achievement_of_another_goal_supersedes() -> None:
    goals = [goal("g1"), goal("g2")]
    before = recorded(match(0), goal_versions=goals)
    found = difference(before, match(0), match(-1, "e0", "g2"), goal_versions=goals)
    assert [(change.action, change.achievement.goal_id) for change in found] == [
        (Action.ACHIEVED, "g2"),
        (Action.REVOKED, "g1"),
    ]
    assert found[1].achievement.revoked_reason == "superseded"


def test_what_lost_even_its_match_is_revoked_for_want_of_an_enrollment() -> None:
    (change,) = difference(recorded(match()))
    assert change.achievement.revoked_reason == "no_enrollment"


def test_what_counts_again_is_restored_with_the_next_revision() -> None:
    (revoked,) = difference(recorded(match()), match(), ends=[end(-1)])
    (change,) = difference({"g1": revoked.achievement}, match())
    assert change.action is Action.RESTORED
    assert (change.achievement.revision, change.achievement.revoked_at) == (3, None)


def test_what_is_revoked_stays_revoked_without_another_message() -> None:
    (revoked,) = difference(recorded(match()), match(), ends=[end(-1)])
    assert difference({"g1": revoked.achievement}, match(), ends=[end(-1)]) == []

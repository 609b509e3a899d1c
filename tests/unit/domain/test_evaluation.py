"""What an event would do, told of every goal and every enrollment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from goalstream.domain.evaluation import Candidate, Evaluation, evaluate
from goalstream.domain.facts import Match
from goalstream.domain.goals import GoalVersion
from tests.unit.domain.builders import LATENESS, at, end, enrollment, goal, match, start, status


def candidate(*matches: Match, exited_at: datetime | None = None, **changes: Any) -> Candidate:
    return Candidate(facts=enrollment(*matches, **changes), exited_at=exited_at)


def evaluated(
    matches: Sequence[Match], *candidates: Candidate, goals: Sequence[GoalVersion] | None = None
) -> Evaluation:
    versions = [goal()] if goals is None else goals
    return evaluate(versions, matches, candidates, occurred_at=at(0), allowed_lateness=LATENESS)


def test_the_first_match_achieves_and_lets_the_contact_out() -> None:
    evaluation = evaluated([match()], candidate(match()))
    assert (evaluation.goal_achieved, evaluation.should_exit_workflow) == (True, True)
    assert evaluation.exiting_enrollment_ids == ("n1",)
    assert [(found.matched, found.achieved, found.verdicts) for found in evaluation.goals] == [
        (True, True, {"n1": "achieved"})
    ]


def test_no_exit_follows_where_one_was_sent_or_the_end_is_known() -> None:
    for one in (candidate(match(), exited_at=at(-1)), candidate(match(), ends=[end()])):
        evaluation = evaluated([match()], one)
        assert (evaluation.goal_achieved, evaluation.should_exit_workflow) == (True, False)


def test_an_exit_that_another_event_owes_is_not_this_events() -> None:
    later = match(event_id="e2")
    evaluation = evaluated([later], candidate(match(-1), later))
    assert (evaluation.reasons, evaluation.should_exit_workflow) == (("already_achieved",), False)


def test_without_an_enrollment_a_match_says_that() -> None:
    evaluation = evaluated([match()])
    assert (evaluation.goals[0].matched, evaluation.reasons) == (True, ("no_enrollment",))


def test_a_match_that_the_walk_did_not_come_by_is_nobodys() -> None:
    assert evaluated([match()], candidate()).goals[0].verdicts == {"n1": "no_enrollment"}


def test_goals_are_told_of_in_the_order_of_creation_with_their_reasons() -> None:
    goals = [
        goal("g3", created_at=at(-1), effective_from=at(1)),
        goal("g2", created_at=at(-50)),
        goal("g1"),
        goal("g0", created_at=at(-90)),
        goal("g0", 2, created_at=at(-90), effective_from=at(-2), is_deleted=True, is_active=False),
    ]
    both = [match(), match(goal_id="g2")]
    evaluation = evaluated(both, candidate(*both, goal_versions=goals), goals=goals)
    assert [(found.goal_config_id, found.reasons) for found in evaluation.goals] == [
        ("g1", ("achieved",)),
        ("g2", ("already_satisfied",)),
        ("g3", ("goal_not_in_force",)),
    ]
    assert evaluation.reasons == ("achieved", "already_satisfied", "goal_not_in_force")


def test_a_goal_that_was_in_force_then_is_told_of_although_it_is_deleted_now() -> None:
    goals = [goal(), goal(version=2, effective_from=at(1), is_deleted=True, is_active=False)]
    assert evaluated([], goals=goals).reasons == ("wrong_criteria",)
    assert evaluated([], goals=[]).reasons == ("no_goal",)


def test_the_event_that_completes_all_goals_from_behind_lets_the_contact_out() -> None:
    goals = [goal(), goal("g2")]
    told = match(1, "e2", "g2")
    statuses = [status(-50, logic="all")]
    evaluation = evaluated([match()], candidate(match(), told, goal_versions=goals, statuses=statuses), goals=goals)
    assert evaluation.should_exit_workflow


def test_every_enrollment_has_its_verdict() -> None:
    other = candidate(match(), enrollment_id="n2", starts=[start(1, enrollment_id="n2")])
    evaluation = evaluated([match()], candidate(match()), other)
    assert evaluation.goals[0].verdicts == {"n1": "achieved", "n2": "before_enrollment"}
    assert evaluation.exiting_enrollment_ids == ("n1",)

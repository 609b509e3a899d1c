"""Evaluation: what an event would do, asked of the same walk that decides what holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from goalstream.domain.facts import EnrollmentFacts, Match
from goalstream.domain.goal_history import GoalHistory
from goalstream.domain.goals import GoalVersion
from goalstream.domain.settlement import Verdict, settle

NO_GOAL = "no_goal"
"""The workflow has no goal that could be asked for."""

WRONG_CRITERIA = "wrong_criteria"
"""The goal was in force, and the event is not what it asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalEvaluation:
    """What the event would do for one goal.

    `matched`: it fulfils the criteria then in force. `achieved`: at least one enrollment would have achieved the goal by it.
    `verdicts` are those on the match, by enrollment id; `reasons` the different ones among them, or why nobody was asked:
    `wrong_criteria`, `goal_not_in_force`, `no_enrollment`.
    """

    goal_config_id: str
    goal_type: str
    matched: bool
    achieved: bool
    verdicts: Mapping[str, str]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What would happen if an event were told now; nothing has been written.

    `goal_achieved`: at least one enrollment would have achieved a goal by this event. It is true as well for an event that
    has been told already and by which a goal is achieved. `should_exit_workflow`: an exit would be sent now, for
    `exiting_enrollment_ids`; never where the end is known or an exit was sent before. `goals` are those that the workflow has
    now or that were in force when the event occurred, in the order of creation. `reasons` are all the different ones, in
    the order of the goals: verdicts of the walk, `wrong_criteria`, or `no_goal`.
    """

    goal_achieved: bool
    should_exit_workflow: bool
    exiting_enrollment_ids: tuple[str, ...]
    goals: tuple[GoalEvaluation, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An enrollment that the event may count for: its facts, the event's matches among them, and when its exit was sent."""

    facts: EnrollmentFacts
    exited_at: datetime | None


def evaluate(
    versions: Sequence[GoalVersion],
    matches: Sequence[Match],
    candidates: Iterable[Candidate],
    *,
    occurred_at: datetime,
    allowed_lateness: timedelta,
) -> Evaluation:
    """What the event whose matches are given would do; `versions` are all that the workflow's goals have or had. Pure."""
    verdicts: dict[str, dict[str, Verdict]] = {match.goal_id: {} for match in matches}
    exiting = []
    for candidate in candidates:
        enrollment_id = candidate.facts.enrollment_id
        settlement = settle(candidate.facts, allowed_lateness=allowed_lateness)
        for match in matches:
            verdicts[match.goal_id][enrollment_id] = settlement.verdict_on(match)
        is_achieved = any(found[enrollment_id] is Verdict.ACHIEVED for found in verdicts.values())
        if is_achieved and settlement.is_exit_due(candidate.exited_at):
            exiting.append(enrollment_id)
    goals = tuple(
        _goal_evaluation(goal, verdicts.get(goal.goal_id), is_in_force=is_in_force)
        for goal, is_in_force in _goals(versions, occurred_at)
    )
    return Evaluation(
        goal_achieved=any(goal.achieved for goal in goals),
        should_exit_workflow=bool(exiting),
        exiting_enrollment_ids=tuple(exiting),
        goals=goals,
        reasons=_different(reason for goal in goals for reason in goal.reasons) or (NO_GOAL,),
    )


def _goals(versions: Sequence[GoalVersion], occurred_at: datetime) -> Iterator[tuple[GoalVersion, bool]]:
    """The newest version of each goal and whether the goal was in force; deleted ones only where they were."""
    history = GoalHistory(versions)
    newest = {version.goal_id: version for version in sorted(versions, key=lambda version: version.version)}
    for goal in sorted(newest.values(), key=lambda goal: (goal.created_at, goal.goal_id)):
        version = history.at(goal.goal_id, occurred_at)
        is_in_force = version is not None and version.can_be_achieved
        if is_in_force or not goal.is_deleted:
            yield goal, is_in_force


def _goal_evaluation(goal: GoalVersion, verdicts: Mapping[str, Verdict] | None, *, is_in_force: bool) -> GoalEvaluation:
    if verdicts is None:
        reasons: tuple[str, ...] = (WRONG_CRITERIA if is_in_force else Verdict.GOAL_NOT_IN_FORCE.value,)
    else:
        reasons = _different(verdict.value for verdict in verdicts.values()) or (Verdict.NO_ENROLLMENT.value,)
    found = verdicts or {}
    return GoalEvaluation(
        goal_config_id=goal.goal_id,
        goal_type=goal.goal_type.value,
        matched=verdicts is not None,
        achieved=Verdict.ACHIEVED in found.values(),
        verdicts={enrollment_id: verdict.value for enrollment_id, verdict in found.items()},
        reasons=reasons,
    )


def _different(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reasons))

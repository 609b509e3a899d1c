"""`settle`: facts about one enrollment → which goals it has achieved, and why every other match does not count.

The walk goes through the matches in event time; each is judged by the facts that are in time for it. Nothing here knows
when a fact arrived beyond its record's timestamp, so any order of arrival gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, GoalLogic, Match, WorkflowStatus
from goalstream.domain.goals import GoalVersion
from goalstream.domain.values import value

_Dated = TypeVar("_Dated", EnrollmentStart, EnrollmentEnd, WorkflowStatus)


class Verdict(StrEnum):
    """Why a match counts or does not: `achieved`, or the first rule that refuses it."""

    ACHIEVED = "achieved"
    TOO_LATE = "too_late"
    NO_ENROLLMENT = "no_enrollment"
    GOAL_NOT_IN_FORCE = "goal_not_in_force"
    WORKFLOW_INACTIVE = "workflow_inactive"
    BEFORE_ENROLLMENT = "before_enrollment"
    AFTER_ENROLLMENT = "after_enrollment"
    OUTSIDE_WINDOW = "outside_window"
    OWN_TRIGGER = "own_trigger"
    ALREADY_ACHIEVED = "already_achieved"
    ALREADY_SATISFIED = "already_satisfied"


@value
class EnrollmentFacts:
    """Everything stored that the answer for one enrollment depends on.

    Starts may name several contacts and workflows; matches, goals and statuses may be those of all of them. `kept` are the
    triggers of valid achievements: where the match itself was cleaned away, they stay inputs, as they are. (A match that is
    stored with a later record than its achievement has is a copy that came after the cleaning.)
    """

    account_id: str
    enrollment_id: str
    starts: Sequence[EnrollmentStart]
    ends: Sequence[EnrollmentEnd] = ()
    matches: Sequence[Match] = ()
    kept: Sequence[Match] = ()
    goal_versions: Sequence[GoalVersion] = ()
    statuses: Sequence[WorkflowStatus] = ()


@dataclass(slots=True, kw_only=True)
class Holding:
    """A goal that the enrollment has achieved: by which match, and how far the logic was then."""

    match: Match
    met: int
    required: int
    satisfies: bool
    also_matched: list[str] = field(default_factory=list)


@value
class Settlement:
    """What should hold: the achieved goals, the one that satisfied the logic, and the verdict on every match."""

    holdings: dict[str, Holding]
    satisfied_by: Holding | None
    verdicts: list[tuple[Match, Verdict]]


def settle(facts: EnrollmentFacts, *, allowed_lateness: timedelta) -> Settlement:
    """Walks through the matches in event time; pure, and independent of the order of every argument."""
    goals = _GoalHistory(facts.goal_versions)
    matches, kept = _inputs(facts)
    holdings: dict[str, Holding] = {}
    satisfied_by: Holding | None = None
    verdicts: list[tuple[Match, Verdict]] = []

    for match in sorted((matches | kept).values(), key=goals.position):
        workflow = _workflow_at(match, _in_time(facts.statuses, match, allowed_lateness))
        verdict = None if match.identity in kept else _refusal(match, facts, goals, workflow, allowed_lateness)
        if verdict is None and match.goal_id in holdings:
            verdict = Verdict.ALREADY_ACHIEVED
        elif verdict is None and satisfied_by is not None:
            verdict = Verdict.ALREADY_SATISFIED
            if _is_same_event(match, satisfied_by.match):
                satisfied_by.also_matched.append(match.goal_id)
        verdicts.append((match, verdict or Verdict.ACHIEVED))
        if verdict is None:
            others = goals.in_force(match) if workflow.logic == "all" else set()
            required = others | {match.goal_id}
            met = len(required & {match.goal_id, *holdings})
            holding = Holding(match=match, met=met, required=len(required), satisfies=met == len(required))
            holdings[match.goal_id] = holding
            satisfied_by = holding if holding.satisfies else None

    return Settlement(holdings=holdings, satisfied_by=satisfied_by, verdicts=verdicts)


_Matches = dict[tuple[object, ...], Match]


def _inputs(facts: EnrollmentFacts) -> tuple[_Matches, _Matches]:
    """The matches to judge and those that were kept, by identity: of copies the one with the smallest record timestamp."""
    matches, kept = _smallest(facts.matches), _smallest(facts.kept)
    return matches, {
        identity: match
        for identity, match in kept.items()
        if identity not in matches or match.record_at < matches[identity].record_at
    }


def _smallest(matches: Iterable[Match]) -> _Matches:
    smallest: _Matches = {}
    for match in matches:
        if match.record_at < smallest.setdefault(match.identity, match).record_at:
            smallest[match.identity] = match
    return smallest


def _refusal(
    match: Match, facts: EnrollmentFacts, goals: _GoalHistory, workflow: _Workflow, allowed_lateness: timedelta
) -> Verdict | None:
    """The first rule by which this match, looked at alone, does not count for the enrollment; None when it counts."""
    occurred_at = match.occurred_at
    if match.record_at - occurred_at > allowed_lateness:
        return Verdict.TOO_LATE
    start = holding_start(_in_time(facts.starts, match, allowed_lateness))
    if start is None or _owner(start) != _owner(match):
        return Verdict.NO_ENROLLMENT
    version = goals.version_of(match)
    if version is None:
        return Verdict.GOAL_NOT_IN_FORCE
    if not workflow.is_active:
        return Verdict.WORKFLOW_INACTIVE
    if occurred_at < start.entered_at:
        return Verdict.BEFORE_ENROLLMENT
    end = holding_end(_in_time(facts.ends, match, allowed_lateness))
    if end is not None and not _is_before_end(occurred_at, start, end, version.measure_after_exit):
        return Verdict.AFTER_ENROLLMENT
    if version.window is not None and occurred_at - start.entered_at >= version.window:
        return Verdict.OUTSIDE_WINDOW
    if start.trigger_event_id == match.event_id:
        return Verdict.OWN_TRIGGER
    return None


def _owner(fact: EnrollmentStart | Match) -> tuple[str, str, str]:
    return fact.account_id, fact.contact_id, fact.workflow_id


def _in_time(facts: Iterable[_Dated], match: Match, allowed_lateness: timedelta) -> Iterator[_Dated]:
    """The facts by which a match is judged: those whose record is at most the allowed lateness later than its own."""
    return (fact for fact in facts if fact.record_at - match.record_at <= allowed_lateness)


def holding_start(starts: Iterable[EnrollmentStart]) -> EnrollmentStart | None:
    """Which of several starts holds: the smallest (`entered_at`, event id); remaining ties by text."""
    return min(starts, key=_start_order, default=None)


def holding_end(ends: Iterable[EnrollmentEnd]) -> EnrollmentEnd | None:
    """Which of several ends holds: the smallest `ended_at`; at equal times the echo of our own exit."""
    return min(ends, key=_end_order, default=None)


def _start_order(start: EnrollmentStart) -> tuple[object, ...]:
    said = start.contact_id, _by_text(start.trigger_event_id), start.workflow_id
    return start.entered_at, start.event_id, start.source, *said


def _end_order(end: EnrollmentEnd) -> tuple[object, ...]:
    return end.ended_at, end.reason != GOAL_ACHIEVED, end.event_id, end.source, _by_text(end.reason)


def _by_text(text: str | None) -> tuple[bool, str]:
    """Nothing comes after every text, as it does in a canonical payload, where the next key or `null` stands instead."""
    return text is None, text or ""


def _is_before_end(
    occurred_at: datetime, start: EnrollmentStart, end: EnrollmentEnd, measure_after_exit: timedelta
) -> bool:
    """Half-open, but closed for the echo of our own exit; an end before the start admits nothing."""
    if end.ended_at < start.entered_at:
        return False
    after_end = occurred_at - end.ended_at
    return after_end < measure_after_exit or (end.reason == GOAL_ACHIEVED and after_end == measure_after_exit)


GOAL_ACHIEVED = "goal_achieved"
"""The reason with which the workflow engine ends an enrollment after our exit."""


@dataclass(frozen=True, slots=True)
class _Workflow:
    """A workflow's state at one moment."""

    is_active: bool = True
    logic: GoalLogic = "any"


def _workflow_at(match: Match, statuses: Iterable[WorkflowStatus]) -> _Workflow:
    """The state of the match's workflow after every status up to its time; active with logic `any` before the first."""
    told = (s for s in statuses if s.workflow_id == match.workflow_id and s.occurred_at <= match.occurred_at)
    workflow = _Workflow()
    for status in sorted(told, key=_status_order):
        workflow = _Workflow(status.status == "active", status.goal_logic or workflow.logic)
    return workflow


def _status_order(status: WorkflowStatus) -> tuple[object, ...]:
    said = _by_text(status.goal_logic), _by_text(status.name), status.status
    return status.occurred_at, status.event_id, status.source, *said


class _GoalHistory:
    """The versions of goals, each with the interval in which it was in force."""

    def __init__(self, versions: Iterable[GoalVersion]) -> None:
        self._versions: dict[str, list[GoalVersion]] = {}
        for version in sorted(versions, key=lambda version: version.version):
            self._versions.setdefault(version.goal_id, []).append(version)

    def position(self, match: Match) -> tuple[object, ...]:
        """Where a match stands in the walk."""
        created_at = self._versions[match.goal_id][0].created_at
        return match.occurred_at, created_at, match.goal_id, match.event_id, match.source, match.contact_id

    def version_of(self, match: Match) -> GoalVersion | None:
        """The version that the match fulfils, if it was in force when the event occurred.

        A record from a clock far ahead was judged by the configuration then known, which stands.
        """
        if match.clock_ahead:
            return next((v for v in self._versions[match.goal_id] if v.version == match.goal_version), None)
        version = self._at(match.goal_id, match.occurred_at)
        if version is None or version.version != match.goal_version or not version.can_be_achieved:
            return None
        return version

    def in_force(self, match: Match) -> set[str]:
        """The goals of the match's workflow that could be achieved at its time."""
        versions = (self._at(goal_id, match.occurred_at) for goal_id in self._versions)
        return {v.goal_id for v in versions if v and v.can_be_achieved and v.workflow_id == match.workflow_id}

    def _at(self, goal_id: str, moment: datetime) -> GoalVersion | None:
        versions = self._versions[goal_id]
        return next((version for version in reversed(versions) if version.effective_from <= moment), None)


def _is_same_event(one: Match, other: Match) -> bool:
    return (one.source, one.event_id, one.occurred_at) == (other.source, other.event_id, other.occurred_at)

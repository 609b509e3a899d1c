"""`settle`: facts about one enrollment → which goals it has achieved, and why every other match does not count.

The walk goes through the matches in event time; each is judged by the facts that are in time for it. Nothing here knows
when a fact arrived beyond its record's timestamp, so any order of arrival gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from goalstream.domain.circumstances import GOAL_ACHIEVED, Circumstances, CircumstancesOf, Workflow
from goalstream.domain.facts import EnrollmentEnd, EnrollmentFacts, EnrollmentStart, Match
from goalstream.domain.goal_history import GoalHistory
from goalstream.domain.values import value


class Verdict(StrEnum):
    """Why a match counts or does not: `achieved`, or the first rule that refuses it."""

    ACHIEVED = "achieved"
    TOO_LATE = "too_late"
    NO_ENROLLMENT = "no_enrollment"
    CONTACT_MERGED = "contact_merged"
    GOAL_NOT_IN_FORCE = "goal_not_in_force"
    WORKFLOW_INACTIVE = "workflow_inactive"
    BEFORE_ENROLLMENT = "before_enrollment"
    AFTER_ENROLLMENT = "after_enrollment"
    CONTACT_DELETED = "contact_deleted"
    OUTSIDE_WINDOW = "outside_window"
    OWN_TRIGGER = "own_trigger"
    ALREADY_ACHIEVED = "already_achieved"
    ALREADY_SATISFIED = "already_satisfied"


@dataclass(slots=True, kw_only=True)
class Holding:
    """A goal that the enrollment has achieved: by which match, and how far the logic was then.

    `contact_id` is who the match's contact is by now.
    """

    match: Match
    contact_id: str
    met: int
    required: int
    satisfies: bool
    also_matched: list[str] = field(default_factory=list)


@value
class Settlement:
    """What should hold: the achieved goals, the one that satisfied the logic, and the verdict on every match.

    `known` is what holds of all the facts together, in time for a match or not.
    """

    known: Circumstances
    holdings: dict[str, Holding]
    satisfied_by: Holding | None
    verdicts: list[tuple[Match, Verdict]]

    def verdict_on(self, match: Match) -> Verdict:
        """What was found of a match or a copy of it; of a match that the walk did not come by, that nobody is enrolled."""
        found = (verdict for judged, verdict in self.verdicts if judged.identity == match.identity)
        return next(found, Verdict.NO_ENROLLMENT)

    def is_exit_due(self, exited_at: datetime | None) -> bool:
        """Whether the contact is to be let out now: the logic is satisfied, no end is known, and no exit was sent before."""
        return self.satisfied_by is not None and exited_at is None and self.known.ended_at is None


def settle(facts: EnrollmentFacts, *, allowed_lateness: timedelta) -> Settlement:
    """Walks through the matches in event time; pure, and independent of the order of every argument."""
    goals = GoalHistory(facts.goal_versions)
    circumstances_of = CircumstancesOf(facts, allowed_lateness=allowed_lateness)
    matches, kept = _inputs(facts)
    holdings: dict[str, Holding] = {}
    satisfied_by: Holding | None = None
    verdicts: list[tuple[Match, Verdict]] = []

    for match in sorted((matches | kept).values(), key=goals.position):
        known = circumstances_of(match)
        workflow = known.workflow(match.workflow_id, match.occurred_at)
        is_kept = bool(kept) and match.identity in kept
        verdict = None if is_kept else _refusal(match, facts, known, workflow, goals, allowed_lateness)
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
            holding = Holding(
                match=match,
                contact_id=known.contacts.survivor(match.contact_id),
                met=met,
                required=len(required),
                satisfies=met == len(required),
            )
            holdings[match.goal_id] = holding
            satisfied_by = holding if holding.satisfies else None

    return Settlement(known=circumstances_of.all, holdings=holdings, satisfied_by=satisfied_by, verdicts=verdicts)


_Matches = dict[tuple[object, ...], Match]


def _inputs(facts: EnrollmentFacts) -> tuple[_Matches, _Matches]:
    """The matches to judge and those that were kept, by identity: of copies the one with the smallest record timestamp."""
    matches = _smallest(facts.matches)
    if not facts.kept:
        return matches, {}
    return matches, {
        identity: match
        for identity, match in _smallest(facts.kept).items()
        if identity not in matches or match.record_at < matches[identity].record_at
    }


def _smallest(matches: Iterable[Match]) -> _Matches:
    smallest: _Matches = {}
    for match in matches:
        identity = match.identity
        known = smallest.setdefault(identity, match)
        if known is not match and match.record_at < known.record_at:
            smallest[identity] = match
    return smallest


def _refusal(
    match: Match,
    facts: EnrollmentFacts,
    known: Circumstances,
    workflow: Workflow,
    goals: GoalHistory,
    allowed_lateness: timedelta,
) -> Verdict | None:
    """The first rule by which this match, looked at alone, does not count for the enrollment; None when it counts."""
    occurred_at, start, end = match.occurred_at, known.start, known.end
    if match.record_at - occurred_at > allowed_lateness:
        return Verdict.TOO_LATE
    if start is None or not _is_meant_for(match, facts, start):
        return Verdict.NO_ENROLLMENT
    if not _is_same_contact(match, start, known):
        is_merged = known.contacts.is_merged(match.contact_id) or known.contacts.is_merged(start.contact_id)
        return Verdict.CONTACT_MERGED if is_merged else Verdict.NO_ENROLLMENT
    version = goals.version_of(match)
    if version is None:
        return Verdict.GOAL_NOT_IN_FORCE
    if not workflow.is_active:
        return Verdict.WORKFLOW_INACTIVE
    if occurred_at < start.entered_at:
        return Verdict.BEFORE_ENROLLMENT
    if end is not None and not _is_before_end(occurred_at, start, end, version.measure_after_exit):
        return Verdict.AFTER_ENROLLMENT
    if _is_deleted(match.contact_id, known, occurred_at) or _is_deleted(start.contact_id, known, occurred_at):
        return Verdict.CONTACT_DELETED
    if version.window is not None and occurred_at - start.entered_at >= version.window:
        return Verdict.OUTSIDE_WINDOW
    if start.trigger_event_id == match.event_id:
        return Verdict.OWN_TRIGGER
    return None


def _is_meant_for(match: Match, facts: EnrollmentFacts, start: EnrollmentStart) -> bool:
    """Same account and workflow; and where a match was recorded for one enrollment, that one."""
    is_own = match.enrollment_id is None or match.enrollment_id == facts.enrollment_id
    return is_own and (match.account_id, match.workflow_id) == (start.account_id, start.workflow_id)


def _is_deleted(contact_id: str, known: Circumstances, moment: datetime) -> bool:
    deleted_at = known.contacts.deleted_at(contact_id)
    return deleted_at is not None and moment >= deleted_at


def _is_same_contact(match: Match, start: EnrollmentStart, known: Circumstances) -> bool:
    contacts = known.contacts
    return match.contact_id == start.contact_id or (
        contacts.survivor(match.contact_id) == contacts.survivor(start.contact_id)
    )


def _is_before_end(
    occurred_at: datetime, start: EnrollmentStart, end: EnrollmentEnd, measure_after_exit: timedelta
) -> bool:
    """Half-open, but closed for the echo of our own exit; an end before the start admits nothing."""
    if end.ended_at < start.entered_at:
        return False
    after_end = occurred_at - end.ended_at
    return after_end < measure_after_exit or (end.reason == GOAL_ACHIEVED and after_end == measure_after_exit)


def _is_same_event(one: Match, other: Match) -> bool:
    return (one.source, one.event_id, one.occurred_at) == (other.source, other.event_id, other.occurred_at)

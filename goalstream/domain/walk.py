"""The walk of an enrollment, asked afterwards: what it said of each match, and which values its rule had.

All of it is worked out from the facts that the walk was given: `settle` is in the way of every event, and says a verdict and no
more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeVar, assert_never

from goalstream.domain import explanation
from goalstream.domain.achievements import SUPERSEDED, Achievement
from goalstream.domain.circumstances import Circumstances, CircumstancesOf, last_status
from goalstream.domain.explanation import Explanation
from goalstream.domain.facts import EnrollmentEnd, EnrollmentFacts, EnrollmentStart, Match, WorkflowStatus
from goalstream.domain.goal_history import GoalHistory
from goalstream.domain.settlement import Settlement, Verdict, settle

_Known = TypeVar("_Known")

_Refusal = Literal[
    Verdict.TOO_LATE,
    Verdict.NO_ENROLLMENT,
    Verdict.CONTACT_MERGED,
    Verdict.GOAL_NOT_IN_FORCE,
    Verdict.WORKFLOW_INACTIVE,
    Verdict.BEFORE_ENROLLMENT,
    Verdict.AFTER_ENROLLMENT,
    Verdict.CONTACT_DELETED,
    Verdict.OUTSIDE_WINDOW,
    Verdict.OWN_TRIGGER,
]
"""Verdicts on a match looked at alone."""


class Walk:
    """The walk of one enrollment, to be asked about one match after the other."""

    def __init__(
        self, facts: EnrollmentFacts, recorded: Mapping[str, Achievement], *, allowed_lateness: timedelta
    ) -> None:
        """`recorded` is what is recorded about the enrollment, by goal id."""
        self._facts = facts
        self._recorded = recorded
        self._allowed_lateness = allowed_lateness
        self._circumstances_of = CircumstancesOf(facts, allowed_lateness=allowed_lateness)
        self._goals = GoalHistory(facts.goal_versions)
        self.settlement: Settlement = settle(facts, allowed_lateness=allowed_lateness)
        self._verdicts = {judged.identity: (judged, verdict) for judged, verdict in self.settlement.verdicts}

    def judged(self, match: Match) -> Match:
        """The copy of a match that the walk has judged."""
        return self._verdicts[match.identity][0] if match.identity in self._verdicts else match

    def achievement_by(self, match: Match) -> Achievement | None:
        """What is recorded of the goal, valid or not, where it is by this very match."""
        achievement = self._recorded.get(match.goal_id)
        return achievement if achievement is not None and achievement.match.identity == match.identity else None

    def explain(self, match: Match) -> Explanation:
        """The verdict on a match of the enrollment's contact, with its reasons."""
        achievement = self.achievement_by(match)
        if match.identity not in self._verdicts:
            return _taken_back(achievement) if achievement and achievement.revoked_reason else self._not_meant(match)
        judged, verdict = self._verdicts[match.identity]
        match verdict:
            case Verdict.ACHIEVED:
                return explanation.achieved(judged)
            case Verdict.ALREADY_ACHIEVED:
                return explanation.already_achieved(self.settlement.holdings[judged.goal_id].match)
            case Verdict.ALREADY_SATISFIED:
                first = _there(self.settlement.satisfied_by).match
                is_superseded = achievement is not None and achievement.revoked_reason == SUPERSEDED
                return explanation.superseded(first) if is_superseded else explanation.already_satisfied(first)
            case _:
                return self._refused(judged, verdict, self._circumstances_of(judged))

    def _refused(self, match: Match, verdict: _Refusal, known: Circumstances) -> Explanation:
        """Of a match that does not count by itself, whatever was achieved before."""
        match verdict:
            case Verdict.TOO_LATE:
                return explanation.too_late(match, self._allowed_lateness)
            case Verdict.NO_ENROLLMENT:
                return self._no_enrollment(match, known.start)
            case Verdict.CONTACT_MERGED:
                enrolled, contacts = _there(known.start).contact_id, known.contacts
                return explanation.contact_merged(contacts.survivor(enrolled), contacts.survivor(match.contact_id))
            case Verdict.GOAL_NOT_IN_FORCE:
                version = None if match.clock_ahead else self._goals.at(match.goal_id, match.occurred_at)
                return explanation.goal_not_in_force(match, version)
            case Verdict.WORKFLOW_INACTIVE:
                return explanation.workflow_inactive(match, self._status(match))
            case Verdict.BEFORE_ENROLLMENT:
                return explanation.before_enrollment(match, _there(known.start))
            case Verdict.AFTER_ENROLLMENT:
                return self._after_enrollment(match, _there(known.start), _there(known.end))
            case Verdict.CONTACT_DELETED:
                return explanation.contact_deleted(match, _deleted_at(match, _there(known.start), known))
            case Verdict.OUTSIDE_WINDOW:
                window = _there(_there(self._goals.version_of(match)).window)
                return explanation.outside_window(match, _there(known.start), window)
            case Verdict.OWN_TRIGGER:
                return explanation.own_trigger(match, _there(known.start))
            case _:
                assert_never(verdict)

    def _no_enrollment(self, match: Match, start: EnrollmentStart | None) -> Explanation:
        """Of several reasons the first, in the order of the walk."""
        if start is None:
            return explanation.told_too_late(min(start.record_at for start in self._facts.starts), self._until(match))
        if match.enrollment_id not in (None, self._facts.enrollment_id):
            return self._not_meant(match)
        if match.workflow_id != start.workflow_id:
            return explanation.in_another_workflow(match, start)
        return explanation.of_another_contact(match, start)

    def _not_meant(self, match: Match) -> Explanation:
        """The match was recorded for one enrollment, and this is another; or it is none that the walk comes by."""
        if match.enrollment_id in (None, self._facts.enrollment_id):
            return explanation.not_enrolled(match)
        return explanation.meant_for_another(match, self._facts.enrollment_id)

    def _after_enrollment(self, match: Match, start: EnrollmentStart, end: EnrollmentEnd) -> Explanation:
        if end.ended_at < start.entered_at:
            return explanation.ended_before_it_began(match, start, end)
        return explanation.after_enrollment(match, end, _there(self._goals.version_of(match)).measure_after_exit)

    def _status(self, match: Match) -> WorkflowStatus:
        """The workflow's when the match happened."""
        told = [
            status
            for status in self._facts.statuses
            if status.workflow_id == match.workflow_id
            and status.occurred_at <= match.occurred_at
            and status.record_at <= self._until(match)
        ]
        return _there(last_status(told))

    def _until(self, match: Match) -> datetime:
        """What was told later does not count for a match."""
        return match.record_at + self._allowed_lateness


def _taken_back(achievement: Achievement) -> Explanation:
    return explanation.taken_back(
        achievement.achieved_at, _there(achievement.revoked_at), _there(achievement.revoked_reason)
    )


def _deleted_at(match: Match, start: EnrollmentStart, known: Circumstances) -> datetime:
    """When the contact of the match was deleted, or the enrolled one: the earlier of both."""
    told = (known.contacts.deleted_at(contact_id) for contact_id in (match.contact_id, start.contact_id))
    return min(moment for moment in told if moment is not None)


def _there(known: _Known | None) -> _Known:
    """What must be known where the walk has come to its verdict."""
    assert known is not None  # noqa: S101 - the walk could not have come to the verdict
    return known

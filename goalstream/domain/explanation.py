"""Explanations: why a match counts for an enrollment or does not, with both values of the rule and a sentence for people.

All of it is worked out afterwards, from the facts that the walk was given: `settle` is in the way of every event, and says a
verdict and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, TypeVar, assert_never

from goalstream.domain.achievements import SUPERSEDED, Achievement
from goalstream.domain.circumstances import GOAL_ACHIEVED, Circumstances, CircumstancesOf, last_status
from goalstream.domain.facts import EnrollmentEnd, EnrollmentFacts, EnrollmentStart, Match
from goalstream.domain.goal_history import GoalHistory
from goalstream.domain.settlement import Settlement, Verdict, settle
from goalstream.domain.values import value
from goalstream.domain.wording import exact_duration, length_in_words, moment_in_words

Values = Mapping[str, Any]

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


@value
class Explanation:
    """A verdict of the walk, or `superseded`; what the rule asks for, what was found, and both in one sentence."""

    verdict: str
    wanted: Values | None
    got: Values | None
    text: str


def not_enrolled(match: Match) -> Explanation:
    """Why a match counts for nobody: no enrollment of its contact in its workflow is known."""
    return _explained(
        Verdict.NO_ENROLLMENT,
        {"workflow_id": match.workflow_id},
        {"enrollment_id": None},
        f"The contact was not enrolled in workflow {match.workflow_id}: no enrollment of it there is known.",
    )


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
            return _of_record(achievement) if achievement and achievement.revoked_reason else self._not_meant(match)
        judged, verdict = self._verdicts[match.identity]
        match verdict:
            case Verdict.ACHIEVED:
                text = f"The goal was achieved by this event of {moment_in_words(judged.occurred_at)}."
                return Explanation(verdict=verdict.value, wanted=None, got=None, text=text)
            case Verdict.ALREADY_ACHIEVED:
                return _already_achieved(self.settlement.holdings[judged.goal_id].match)
            case Verdict.ALREADY_SATISFIED:
                first = _there(self.settlement.satisfied_by).match
                is_superseded = achievement is not None and achievement.revoked_reason == SUPERSEDED
                return _superseded(first) if is_superseded else _already_satisfied(first)
            case _:
                return self._refused(judged, verdict, self._circumstances_of(judged))

    def _refused(self, match: Match, verdict: _Refusal, known: Circumstances) -> Explanation:
        """Of a match that does not count by itself, whatever was achieved before."""
        match verdict:
            case Verdict.TOO_LATE:
                return self._too_late(match)
            case Verdict.NO_ENROLLMENT:
                return self._no_enrollment(match, known.start)
            case Verdict.CONTACT_MERGED:
                return _contact_merged(match, known)
            case Verdict.GOAL_NOT_IN_FORCE:
                return self._goal_not_in_force(match)
            case Verdict.WORKFLOW_INACTIVE:
                return self._workflow_inactive(match)
            case Verdict.BEFORE_ENROLLMENT:
                return _before_enrollment(match, _there(known.start))
            case Verdict.AFTER_ENROLLMENT:
                return self._after_enrollment(match, _there(known.start), _there(known.end))
            case Verdict.CONTACT_DELETED:
                return _contact_deleted(match, _there(known.start), known)
            case Verdict.OUTSIDE_WINDOW:
                return self._outside_window(match, _there(known.start))
            case Verdict.OWN_TRIGGER:
                return _own_trigger(match, _there(known.start))
            case _:
                assert_never(verdict)

    def _too_late(self, match: Match) -> Explanation:
        lateness = match.record_at - match.occurred_at
        return _explained(
            Verdict.TOO_LATE,
            {"allowed_lateness": exact_duration(self._allowed_lateness)},
            {"lateness": exact_duration(lateness)},
            f"The event came {length_in_words(lateness)} after it had happened, and events count only when they come within"
            f" {length_in_words(self._allowed_lateness)}.",
        )

    def _no_enrollment(self, match: Match, start: EnrollmentStart | None) -> Explanation:
        """Of several reasons the first, in the order of the walk."""
        if start is None:
            told_at = min(start.record_at for start in self._facts.starts)
            until = match.record_at + self._allowed_lateness
            return _explained(
                Verdict.NO_ENROLLMENT,
                {"told_until": until},
                {"told_at": told_at},
                f"The enrollment was told of at {moment_in_words(told_at)}, and for this event counts only what was told until"
                f" {moment_in_words(until)}.",
            )
        if match.enrollment_id not in (None, self._facts.enrollment_id):
            return self._not_meant(match)
        if match.workflow_id != start.workflow_id:
            return _explained(
                Verdict.NO_ENROLLMENT,
                {"workflow_id": match.workflow_id},
                {"workflow_id": start.workflow_id},
                f"This enrollment is in workflow {start.workflow_id}, and the goal belongs to workflow {match.workflow_id}.",
            )
        return _explained(
            Verdict.NO_ENROLLMENT,
            {"contact_id": start.contact_id},
            {"contact_id": match.contact_id},
            f"The event is one of contact {match.contact_id}, and this enrollment is that of contact {start.contact_id}; that"
            " they are the same person was not told, or too late for this event.",
        )

    def _not_meant(self, match: Match) -> Explanation:
        """The match was recorded for one enrollment, and this is another; or it is none that the walk comes by."""
        if match.enrollment_id in (None, self._facts.enrollment_id):
            return not_enrolled(match)
        return _explained(
            Verdict.NO_ENROLLMENT,
            {"enrollment_id": match.enrollment_id},
            {"enrollment_id": self._facts.enrollment_id},
            f"The event was recorded for enrollment {match.enrollment_id} alone, and this is enrollment"
            f" {self._facts.enrollment_id}.",
        )

    def _goal_not_in_force(self, match: Match) -> Explanation:
        happened = f"The event happened at {moment_in_words(match.occurred_at)}"
        version = None if match.clock_ahead else self._goals.at(match.goal_id, match.occurred_at)
        wanted = {"goal_version": match.goal_version, "is_active": True}
        if version is None:
            return _explained(
                Verdict.GOAL_NOT_IN_FORCE,
                wanted,
                {"goal_version": None},
                f"{happened}, and version {match.goal_version} of the goal was not in force then.",
            )
        state = "deleted" if version.is_deleted else "active" if version.is_active else "paused"
        return _explained(
            Verdict.GOAL_NOT_IN_FORCE,
            wanted,
            {"goal_version": version.version, "is_active": version.is_active},
            f"{happened}, when version {version.version} of the goal was in force and {state}; it fulfils version"
            f" {match.goal_version}.",
        )

    def _workflow_inactive(self, match: Match) -> Explanation:
        until = match.record_at + self._allowed_lateness
        status = _there(
            last_status(
                [
                    status
                    for status in self._facts.statuses
                    if status.workflow_id == match.workflow_id
                    and status.occurred_at <= match.occurred_at
                    and status.record_at <= until
                ]
            )
        )
        return _explained(
            Verdict.WORKFLOW_INACTIVE,
            {"status": "active"},
            {"status": status.status, "since": status.occurred_at},
            f'The workflow was "{status.status}" since {moment_in_words(status.occurred_at)} and not "active" when the event'
            f" happened at {moment_in_words(match.occurred_at)}.",
        )

    def _after_enrollment(self, match: Match, start: EnrollmentStart, end: EnrollmentEnd) -> Explanation:
        if end.ended_at < start.entered_at:
            return _explained(
                Verdict.AFTER_ENROLLMENT,
                {"before": end.ended_at, "entered_at": start.entered_at},
                {"occurred_at": match.occurred_at},
                f"The enrollment ended at {moment_in_words(end.ended_at)}, before it began at"
                f" {moment_in_words(start.entered_at)}, so that nothing counts for it; the event happened at"
                f" {moment_in_words(match.occurred_at)}.",
            )
        version = _there(self._goals.version_of(match))
        longer = version.measure_after_exit
        until = end.ended_at + longer
        wanted = {"until" if end.reason == GOAL_ACHIEVED else "before": until}
        measured = f" (the goal is measured for {length_in_words(longer)} longer)" if longer else ""
        return _explained(
            Verdict.AFTER_ENROLLMENT,
            wanted | ({"ended_at": end.ended_at, "measure_after_exit": exact_duration(longer)} if longer else {}),
            {"occurred_at": match.occurred_at},
            f"The event happened at {moment_in_words(match.occurred_at)}, and the enrollment had ended at"
            f" {moment_in_words(end.ended_at)}{measured}.",
        )

    def _outside_window(self, match: Match, start: EnrollmentStart) -> Explanation:
        window = _there(_there(self._goals.version_of(match)).window)
        after = match.occurred_at - start.entered_at
        return _explained(
            Verdict.OUTSIDE_WINDOW,
            {"before": start.entered_at + window, "window": exact_duration(window)},
            {"occurred_at": match.occurred_at, "after": exact_duration(after)},
            f"The event happened {length_in_words(after)} after the contact entered the workflow, and the goal must be achieved"
            f" in less than {length_in_words(window)}: before {moment_in_words(start.entered_at + window)}.",
        )


def _there(known: _Known | None) -> _Known:
    """What must be known where the walk has come to its verdict."""
    assert known is not None  # noqa: S101 - the walk could not have come to the verdict
    return known


def _explained(verdict: Verdict, wanted: Values, got: Values, text: str) -> Explanation:
    return Explanation(verdict=verdict.value, wanted=wanted, got=got, text=text)


def _of_record(achievement: Achievement) -> Explanation:
    """Of a match that is not kept any more, by which a goal had been achieved."""
    reason, revoked_at = _there(achievement.revoked_reason), _there(achievement.revoked_at)
    return Explanation(
        verdict=reason,
        wanted=None,
        got=None,
        text=f"The goal had been achieved by this event of {moment_in_words(achievement.achieved_at)}, until it was taken back"
        f" at {moment_in_words(revoked_at)}: {reason.replace('_', ' ')}.",
    )


def _contact_merged(match: Match, known: Circumstances) -> Explanation:
    enrolled = known.contacts.survivor(_there(known.start).contact_id)
    survivor = known.contacts.survivor(match.contact_id)
    return _explained(
        Verdict.CONTACT_MERGED,
        {"contact_id": enrolled},
        {"contact_id": survivor},
        f"After merges the event is one of contact {survivor}, and this enrollment is that of contact {enrolled}.",
    )


def _before_enrollment(match: Match, start: EnrollmentStart) -> Explanation:
    return _explained(
        Verdict.BEFORE_ENROLLMENT,
        {"entered_at": start.entered_at},
        {"occurred_at": match.occurred_at},
        f"The event happened at {moment_in_words(match.occurred_at)}, before the contact entered the workflow at"
        f" {moment_in_words(start.entered_at)}.",
    )


def _contact_deleted(match: Match, start: EnrollmentStart, known: Circumstances) -> Explanation:
    told = (known.contacts.deleted_at(contact_id) for contact_id in (match.contact_id, start.contact_id))
    deleted_at = min(moment for moment in told if moment is not None)
    return _explained(
        Verdict.CONTACT_DELETED,
        {"before": deleted_at},
        {"occurred_at": match.occurred_at},
        f"The event happened at {moment_in_words(match.occurred_at)}, and the contact was deleted at"
        f" {moment_in_words(deleted_at)}: from then on nothing counts.",
    )


def _own_trigger(match: Match, start: EnrollmentStart) -> Explanation:
    return _explained(
        Verdict.OWN_TRIGGER,
        {"trigger_event_id": start.trigger_event_id},
        {"event_id": match.event_id},
        f"Event {match.event_id} is what the contact was enrolled by (trigger {start.trigger_event_id}), and what begins an"
        " enrollment cannot achieve its goal.",
    )


def _already_achieved(first: Match) -> Explanation:
    text = f"The goal had been achieved before, by event {first.event_id} of {moment_in_words(first.occurred_at)}."
    return Explanation(verdict=Verdict.ALREADY_ACHIEVED.value, wanted=None, got=_event(first), text=text)


def _already_satisfied(first: Match) -> Explanation:
    text = (
        f"The contact had done before what the workflow was for: goal {first.goal_id} was achieved by event {first.event_id}"
        f" of {moment_in_words(first.occurred_at)}."
    )
    return Explanation(verdict=Verdict.ALREADY_SATISFIED.value, wanted=None, got=_event(first), text=text)


def _superseded(first: Match) -> Explanation:
    text = (
        "The goal had been achieved by this event, until an earlier one was told that did what the workflow was for: event"
        f" {first.event_id} of {moment_in_words(first.occurred_at)}, for goal {first.goal_id}."
    )
    return Explanation(verdict=SUPERSEDED, wanted=None, got=_event(first), text=text)


def _event(match: Match) -> Values:
    return {"goal_id": match.goal_id, "event_id": match.event_id, "occurred_at": match.occurred_at}

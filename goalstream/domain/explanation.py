"""Explanations: why a match counts for an enrollment or does not, with both values of the rule and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from goalstream.domain.achievements import SUPERSEDED
from goalstream.domain.circumstances import GOAL_ACHIEVED
from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, Match, WorkflowStatus
from goalstream.domain.goals import GoalVersion
from goalstream.domain.settlement import Verdict
from goalstream.domain.values import value
from goalstream.domain.wording import exact_duration, length_in_words, moment_in_words

Values = Mapping[str, Any]


@value
class Explanation:
    """A verdict of the walk, or `superseded`; what the rule asks for, what was found, and both in one sentence."""

    verdict: str
    wanted: Values | None
    got: Values | None
    text: str


def achieved(match: Match) -> Explanation:
    text = f"The goal was achieved by this event of {moment_in_words(match.occurred_at)}."
    return Explanation(verdict=Verdict.ACHIEVED.value, wanted=None, got=None, text=text)


def already_achieved(first: Match) -> Explanation:
    text = f"The goal had been achieved before, by event {first.event_id} of {moment_in_words(first.occurred_at)}."
    return Explanation(verdict=Verdict.ALREADY_ACHIEVED.value, wanted=None, got=_event(first), text=text)


def already_satisfied(first: Match) -> Explanation:
    text = (
        f"The contact had done before what the workflow was for: goal {first.goal_id} was achieved by event {first.event_id}"
        f" of {moment_in_words(first.occurred_at)}."
    )
    return Explanation(verdict=Verdict.ALREADY_SATISFIED.value, wanted=None, got=_event(first), text=text)


def superseded(first: Match) -> Explanation:
    text = (
        "The goal had been achieved by this event, until an earlier one was told that did what the workflow was for: event"
        f" {first.event_id} of {moment_in_words(first.occurred_at)}, for goal {first.goal_id}."
    )
    return Explanation(verdict=SUPERSEDED, wanted=None, got=_event(first), text=text)


def taken_back(achieved_at: datetime, revoked_at: datetime, reason: str) -> Explanation:
    """Of a match that is not kept any more, by which a goal had been achieved."""
    return Explanation(
        verdict=reason,
        wanted=None,
        got=None,
        text=f"The goal had been achieved by this event of {moment_in_words(achieved_at)}, until it was taken back"
        f" at {moment_in_words(revoked_at)}: {reason.replace('_', ' ')}.",
    )


def too_late(match: Match, allowed_lateness: timedelta) -> Explanation:
    lateness = match.record_at - match.occurred_at
    return _explained(
        Verdict.TOO_LATE,
        {"allowed_lateness": exact_duration(allowed_lateness)},
        {"lateness": exact_duration(lateness)},
        f"The event came {length_in_words(lateness)} after it had happened, and events count only when they come within"
        f" {length_in_words(allowed_lateness)}.",
    )


def not_enrolled(match: Match) -> Explanation:
    """Why a match counts for nobody: no enrollment of its contact in its workflow is known."""
    return _explained(
        Verdict.NO_ENROLLMENT,
        {"workflow_id": match.workflow_id},
        {"enrollment_id": None},
        f"The contact was not enrolled in workflow {match.workflow_id}: no enrollment of it there is known.",
    )


def told_too_late(told_at: datetime, until: datetime) -> Explanation:
    """Of an enrollment that was told of after everything that counts for the match."""
    return _explained(
        Verdict.NO_ENROLLMENT,
        {"told_until": until},
        {"told_at": told_at},
        f"The enrollment was told of at {moment_in_words(told_at)}, and for this event counts only what was told until"
        f" {moment_in_words(until)}.",
    )


def meant_for_another(match: Match, enrollment_id: str) -> Explanation:
    return _explained(
        Verdict.NO_ENROLLMENT,
        {"enrollment_id": match.enrollment_id},
        {"enrollment_id": enrollment_id},
        f"The event was recorded for enrollment {match.enrollment_id} alone, and this is enrollment {enrollment_id}.",
    )


def in_another_workflow(match: Match, start: EnrollmentStart) -> Explanation:
    return _explained(
        Verdict.NO_ENROLLMENT,
        {"workflow_id": match.workflow_id},
        {"workflow_id": start.workflow_id},
        f"This enrollment is in workflow {start.workflow_id}, and the goal belongs to workflow {match.workflow_id}.",
    )


def of_another_contact(match: Match, start: EnrollmentStart) -> Explanation:
    return _explained(
        Verdict.NO_ENROLLMENT,
        {"contact_id": start.contact_id},
        {"contact_id": match.contact_id},
        f"The event is one of contact {match.contact_id}, and this enrollment is that of contact {start.contact_id}; that"
        " they are the same person was not told, or too late for this event.",
    )


def contact_merged(enrolled: str, survivor: str) -> Explanation:
    """Of the contacts that the enrolled one, and that of the match, have become."""
    return _explained(
        Verdict.CONTACT_MERGED,
        {"contact_id": enrolled},
        {"contact_id": survivor},
        f"After merges the event is one of contact {survivor}, and this enrollment is that of contact {enrolled}.",
    )


def goal_not_in_force(match: Match, version: GoalVersion | None) -> Explanation:
    """`version` is what was in force instead."""
    happened = f"The event happened at {moment_in_words(match.occurred_at)}"
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


def workflow_inactive(match: Match, status: WorkflowStatus) -> Explanation:
    return _explained(
        Verdict.WORKFLOW_INACTIVE,
        {"status": "active"},
        {"status": status.status, "since": status.occurred_at},
        f'The workflow was "{status.status}" since {moment_in_words(status.occurred_at)} and not "active" when the event'
        f" happened at {moment_in_words(match.occurred_at)}.",
    )


def before_enrollment(match: Match, start: EnrollmentStart) -> Explanation:
    return _explained(
        Verdict.BEFORE_ENROLLMENT,
        {"entered_at": start.entered_at},
        {"occurred_at": match.occurred_at},
        f"The event happened at {moment_in_words(match.occurred_at)}, before the contact entered the workflow at"
        f" {moment_in_words(start.entered_at)}.",
    )


def ended_before_it_began(match: Match, start: EnrollmentStart, end: EnrollmentEnd) -> Explanation:
    return _explained(
        Verdict.AFTER_ENROLLMENT,
        {"before": end.ended_at, "entered_at": start.entered_at},
        {"occurred_at": match.occurred_at},
        f"The enrollment ended at {moment_in_words(end.ended_at)}, before it began at"
        f" {moment_in_words(start.entered_at)}, so that nothing counts for it; the event happened at"
        f" {moment_in_words(match.occurred_at)}.",
    )


def after_enrollment(match: Match, end: EnrollmentEnd, longer: timedelta) -> Explanation:
    """`longer` is how long the goal is measured after an exit."""
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


def contact_deleted(match: Match, deleted_at: datetime) -> Explanation:
    return _explained(
        Verdict.CONTACT_DELETED,
        {"before": deleted_at},
        {"occurred_at": match.occurred_at},
        f"The event happened at {moment_in_words(match.occurred_at)}, and the contact was deleted at"
        f" {moment_in_words(deleted_at)}: from then on nothing counts.",
    )


def outside_window(match: Match, start: EnrollmentStart, window: timedelta) -> Explanation:
    after = match.occurred_at - start.entered_at
    return _explained(
        Verdict.OUTSIDE_WINDOW,
        {"before": start.entered_at + window, "window": exact_duration(window)},
        {"occurred_at": match.occurred_at, "after": exact_duration(after)},
        f"The event happened {length_in_words(after)} after the contact entered the workflow, and the goal must be achieved"
        f" in less than {length_in_words(window)}: before {moment_in_words(start.entered_at + window)}.",
    )


def own_trigger(match: Match, start: EnrollmentStart) -> Explanation:
    return _explained(
        Verdict.OWN_TRIGGER,
        {"trigger_event_id": start.trigger_event_id},
        {"event_id": match.event_id},
        f"Event {match.event_id} is what the contact was enrolled by (trigger {start.trigger_event_id}), and what begins an"
        " enrollment cannot achieve its goal.",
    )


def _explained(verdict: Verdict, wanted: Values, got: Values, text: str) -> Explanation:
    return Explanation(verdict=verdict.value, wanted=wanted, got=got, text=text)


def _event(match: Match) -> Values:
    return {"goal_id": match.goal_id, "event_id": match.event_id, "occurred_at": match.occurred_at}

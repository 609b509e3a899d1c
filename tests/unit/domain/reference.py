"""What the contract says, written down a second time: slowly, rule by rule, with nothing from the code under test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from goalstream.domain.events import Appointment, Event, FormSubmission, Occurrence, Payment, StageChange, TagAdded
from goalstream.domain.facts import EnrollmentEnd, EnrollmentFacts, EnrollmentStart, Match, WorkflowStatus
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalVersion,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)


def fulfils(criteria: Criteria, occurrence: Occurrence) -> bool:
    """Whether every key of the criteria that is present holds."""
    match criteria, occurrence:
        case TagCriteria(), TagAdded():
            if criteria.tag_id is not None and occurrence.tag_id is not None:
                return criteria.tag_id == occurrence.tag_id
            name = None if criteria.tag_name is None else criteria.tag_name.strip().casefold()
            return name is not None and name == occurrence.folded_name
        case PurchaseCriteria(), Payment():
            if criteria.product_id is not None and criteria.product_id not in occurrence.product_ids:
                return False
            if criteria.currency is not None and criteria.currency != occurrence.currency:
                return False
            if criteria.min_amount is None:
                return True
            return occurrence.amount is not None and occurrence.amount >= criteria.min_amount
        case AppointmentCriteria(), Appointment():
            if criteria.calendar_id is not None and criteria.calendar_id != occurrence.calendar_id:
                return False
            return criteria.service_id is None or criteria.service_id == occurrence.service_id
        case FormCriteria(), FormSubmission():
            return criteria.form_id == occurrence.form_id
        case StageCriteria(), StageChange():
            return criteria.pipeline_id == occurrence.pipeline_id and criteria.stage_id == occurrence.stage_id
        case _:
            return False


def in_force(versions: Iterable[GoalVersion], account_id: str, moment: datetime) -> dict[str, GoalVersion]:
    """The versions of an account that can be achieved at a moment, by goal id."""
    newest: dict[str, GoalVersion] = {}
    for version in versions:
        if version.account_id == account_id and version.effective_from <= moment:
            known = newest.get(version.goal_id)
            if known is None or known.version < version.version:
                newest[version.goal_id] = version
    return {goal_id: found for goal_id, found in newest.items() if found.is_active and not found.is_deleted}


def matching(versions: Sequence[GoalVersion], event: Event) -> set[tuple[str, int]]:
    """Goal id and version of what an event fulfils: every version's criteria looked at, one by one."""
    found = in_force(versions, event.account_id, event.occurred_at)
    return {(goal_id, one.version) for goal_id, one in found.items() if fulfils(one.criteria, event.occurrence)}


class Walk(NamedTuple):
    """Goal id → event id and time; the goal that satisfied the logic; the verdicts, in the order of the walk."""

    achieved: dict[str, tuple[str, datetime]]
    satisfied_by: str | None
    verdicts: list[str]
    also_matched: list[str]


def walk(facts: EnrollmentFacts, lateness: timedelta) -> Walk:
    """Section 4 of the contract, points 1 to 3, 6, 11, 13, 16 and 17."""
    created = {version.goal_id: version.created_at for version in facts.goal_versions}
    copies: dict[tuple[object, ...], Match] = {}
    for one in facts.matches:
        key = (one.account_id, one.source, one.event_id, one.contact_id, one.goal_id, one.occurred_at)
        if key not in copies or one.record_at < copies[key].record_at:
            copies[key] = one
    matches = list(copies.values())
    matches.sort(key=lambda m: (m.occurred_at, created[m.goal_id], m.goal_id, m.event_id, m.source, m.contact_id))

    achieved: dict[str, Match] = {}
    satisfier: Match | None = None
    verdicts: list[str] = []
    also_matched: list[str] = []
    for one in matches:
        statuses = [s for s in facts.statuses if s.record_at <= one.record_at + lateness]
        active, logic = _workflow(statuses, one.workflow_id, one.occurred_at)
        found = _refusal(one, facts, active, lateness)
        if found is None and one.goal_id in achieved:
            found = "already_achieved"
        if found is None and satisfier is not None:
            found = "already_satisfied"
            if (one.source, one.event_id, one.occurred_at) == (
                satisfier.source,
                satisfier.event_id,
                satisfier.occurred_at,
            ):
                also_matched.append(one.goal_id)
        if found is None:
            achieved[one.goal_id] = one
            needed = in_force(facts.goal_versions, one.account_id, one.occurred_at)
            ours = [goal_id for goal_id, version in needed.items() if version.workflow_id == one.workflow_id]
            if logic == "any" or all(goal_id in achieved for goal_id in ours):
                satisfier = one
        verdicts.append(found or "achieved")
    return Walk(
        {goal_id: (one.event_id, one.occurred_at) for goal_id, one in achieved.items()},
        None if satisfier is None else satisfier.goal_id,
        verdicts,
        also_matched,
    )


def _workflow(statuses: list[WorkflowStatus], workflow_id: str, moment: datetime) -> tuple[bool, str]:
    active, logic = True, "any"
    for told in sorted(statuses, key=lambda told: (told.occurred_at, told.event_id)):
        if told.workflow_id == workflow_id and told.occurred_at <= moment:
            active = told.status == "active"
            logic = told.goal_logic if told.goal_logic is not None else logic
    return active, logic


def _refusal(one: Match, facts: EnrollmentFacts, active: bool, lateness: timedelta) -> str | None:
    if one.record_at > one.occurred_at + lateness:
        return "too_late"
    starts = [s for s in facts.starts if s.record_at <= one.record_at + lateness]
    ends = [e for e in facts.ends if e.record_at <= one.record_at + lateness]
    begun = sorted(starts, key=lambda s: (s.entered_at, s.event_id))
    if not begun:
        return "no_enrollment"
    first = begun[0]
    if first.account_id != one.account_id or first.contact_id != one.contact_id:
        return "no_enrollment"
    if first.workflow_id != one.workflow_id:
        return "no_enrollment"
    version = in_force(facts.goal_versions, one.account_id, one.occurred_at).get(one.goal_id)
    if version is None or version.version != one.goal_version:
        return "goal_not_in_force"
    if not active:
        return "workflow_inactive"
    return _outside(one, first, ends, version) or ("own_trigger" if first.trigger_event_id == one.event_id else None)


def _outside(one: Match, first: EnrollmentStart, ends: list[EnrollmentEnd], version: GoalVersion) -> str | None:
    if one.occurred_at < first.entered_at:
        return "before_enrollment"
    if ends:
        ended_at = min(e.ended_at for e in ends)
        is_echo = any(e.reason == "goal_achieved" for e in ends if e.ended_at == ended_at)
        limit = ended_at + version.measure_after_exit
        if ended_at < first.entered_at or one.occurred_at > limit or (one.occurred_at == limit and not is_echo):
            return "after_enrollment"
    if version.window is not None and one.occurred_at >= first.entered_at + version.window:
        return "outside_window"
    return None

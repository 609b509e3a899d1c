"""Whether what an event tells fulfils the criteria of a goal: every key that is present must hold."""

from __future__ import annotations

from goalstream.domain.events import Appointment, FormSubmission, Occurrence, Payment, StageChange, TagAdded
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.texts import fold_name


def fulfils(occurrence: Occurrence, criteria: Criteria) -> bool:
    """Whether the criteria hold; never, where they ask for another type of event."""
    match occurrence, criteria:
        case TagAdded(), TagCriteria():
            return _is_tag(occurrence, criteria)
        case Payment(), PurchaseCriteria():
            return _is_purchase(occurrence, criteria)
        case Appointment(), AppointmentCriteria():
            return _is(occurrence.calendar_id, criteria.calendar_id) and _is(occurrence.service_id, criteria.service_id)
        case FormSubmission(), FormCriteria():
            return occurrence.form_id == criteria.form_id
        case StageChange(), StageCriteria():
            return (occurrence.pipeline_id, occurrence.stage_id) == (criteria.pipeline_id, criteria.stage_id)
        case _:
            return False


def _is_tag(tag: TagAdded, criteria: TagCriteria) -> bool:
    """Where both sides have an id, it decides alone."""
    if tag.tag_id is not None and criteria.tag_id is not None:
        return tag.tag_id == criteria.tag_id
    return criteria.tag_name is not None and fold_name(criteria.tag_name) == tag.folded_name


def _is_purchase(payment: Payment, criteria: PurchaseCriteria) -> bool:
    if criteria.product_id is not None and criteria.product_id not in payment.product_ids:
        return False
    if criteria.min_amount is not None and (payment.amount is None or payment.amount < criteria.min_amount):
        return False
    return _is(payment.currency, criteria.currency)


def _is(told: str | None, wanted: str | None) -> bool:
    return wanted is None or told == wanted

"""What a goal asks for and why an event is not it, as a person would say it. Pure."""

from __future__ import annotations

from typing import assert_never

from goalstream.domain.amounts import canonical_amount
from goalstream.domain.events import Appointment, Event, FormSubmission, Payment, StageChange, TagAdded
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.texts import fold_name

LONGEST_TEXT = 60


def printable(text: object) -> str:
    """A foreign text for a terminal: short, and without characters that would steer it."""
    safe = "".join(character if character.isprintable() else "�" for character in str(text))
    return safe if len(safe) <= LONGEST_TEXT else safe[: LONGEST_TEXT - 1] + "…"


def goal_title(criteria: Criteria) -> str:
    """A goal in a few words, as `purchase from 100 EUR`."""
    match criteria:
        case TagCriteria():
            return f"tag {_quoted(criteria.tag_name or criteria.tag_id)}"
        case PurchaseCriteria():
            return "purchase" + _purchase_details(criteria)
        case AppointmentCriteria():
            named = [_quoted(value) for value in (criteria.calendar_id, criteria.service_id) if value]
            return f"appointment in {' for '.join(named)}" if named else "any appointment"
        case FormCriteria():
            return f"form {_quoted(criteria.form_id)}"
        case StageCriteria():
            return f"stage {_quoted(criteria.stage_id)} of {_quoted(criteria.pipeline_id)}"
        case _:
            assert_never(criteria)


def difference(event: Event, criteria: Criteria) -> str | None:
    """Why an event does not fulfil the criteria, as `tag "Newsletter" is not "Purchased"`; None when it does."""
    occurrence = event.occurrence
    match occurrence, criteria:
        case TagAdded(), TagCriteria():
            return _tag_difference(occurrence, event.data.get("tag_name"), criteria)
        case Payment(), PurchaseCriteria():
            return _payment_difference(occurrence, criteria)
        case Appointment(), AppointmentCriteria():
            return _unlike("calendar", occurrence.calendar_id, criteria.calendar_id) or _unlike(
                "service", occurrence.service_id, criteria.service_id
            )
        case FormSubmission(), FormCriteria():
            return _unlike("form", occurrence.form_id, criteria.form_id)
        case StageChange(), StageCriteria():
            return _unlike("pipeline", occurrence.pipeline_id, criteria.pipeline_id) or _unlike(
                "stage", occurrence.stage_id, criteria.stage_id
            )
    return "it is another kind of event"


def _tag_difference(tag: TagAdded, name: object, wanted: TagCriteria) -> str | None:
    if wanted.tag_id is not None and tag.tag_id is not None:
        return _unlike("tag", tag.tag_id, wanted.tag_id)
    if wanted.tag_name is None:
        return f"the tag has no id, {_quoted(wanted.tag_id)} is asked for"
    if tag.folded_name == fold_name(wanted.tag_name):
        return None
    return f"tag {_quoted(name)} is not {_quoted(wanted.tag_name)}" if name else "the tag has no name"


def _payment_difference(payment: Payment, wanted: PurchaseCriteria) -> str | None:
    if wanted.product_id is not None and wanted.product_id not in payment.product_ids:
        bought = " and ".join(map(_quoted, payment.product_ids)) or "no product"
        return f"{bought} is not {_quoted(wanted.product_id)}"
    if wanted.currency is not None and payment.currency != wanted.currency:
        return f"{printable(payment.currency or 'no currency')} is not {wanted.currency}"
    if wanted.min_amount is not None and payment.amount is None:
        return "no amount is named"
    if wanted.min_amount is not None and payment.amount is not None and payment.amount < wanted.min_amount:
        unit = f" {wanted.currency}" if wanted.currency else ""
        return f"{canonical_amount(payment.amount)}{unit} is less than {canonical_amount(wanted.min_amount)}{unit}"
    return None


def _unlike(what: str, got: str | None, wanted: str | None) -> str | None:
    if wanted is None or got == wanted:
        return None
    return f"{what} {_quoted(got)} is not {_quoted(wanted)}" if got is not None else f"no {what} is named"


def _purchase_details(criteria: PurchaseCriteria) -> str:
    product = f" of {_quoted(criteria.product_id)}" if criteria.product_id else ""
    amount = f" from {canonical_amount(criteria.min_amount)}" if criteria.min_amount is not None else ""
    currency = f"{'' if amount else ' in'} {criteria.currency}" if criteria.currency else ""
    return product + amount + currency


def _quoted(text: object) -> str:
    return f'"{printable(text)}"'

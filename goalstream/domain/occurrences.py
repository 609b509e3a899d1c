"""Occurrences: what an event's data tells for the criteria of goals, read and checked type by type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from goalstream.domain.amounts import parse_amount
from goalstream.domain.events import Appointment, FormSubmission, Occurrence, Payment, StageChange, TagAdded
from goalstream.domain.fields import required_text_field, text_field
from goalstream.domain.goals import GoalType
from goalstream.domain.texts import fold_name
from goalstream.errors import InvalidRecord

Fields = Mapping[str, Any]


def read_occurrence(event_type: str, data: Fields) -> Occurrence:
    """What the data of an event of this type tells; every field that the type has is checked. Raises InvalidRecord."""
    return _READERS[event_type](data)


def _tag(fields: Fields) -> TagAdded:
    name = text_field(fields.get("tag_name"), "tag_name")
    return TagAdded(text_field(fields.get("tag_id"), "tag_id"), None if name is None else fold_name(name))


def _payment(fields: Fields) -> Payment:
    text_field(fields.get("payment_id"), "payment_id")
    amount = None
    if (told := fields.get("amount")) is not None:
        amount = parse_amount(told)
        if amount is None:
            raise InvalidRecord("wrong_type", f"amount is no amount: {told!r:.80}")
    currency = text_field(fields.get("currency"), "currency")
    product_id = text_field(fields.get("product_id"), "product_id")
    product_ids: tuple[str, ...] = () if product_id is None else (product_id,)
    if (products := fields.get("product_ids")) is not None:
        if not isinstance(products, list):
            raise InvalidRecord("wrong_type", "product_ids is no list")
        product_ids += tuple(required_text_field(product, "a product id") for product in products)
    return Payment(amount, None if currency is None else currency.upper(), product_ids)


def _appointment(fields: Fields) -> Appointment:
    text_field(fields.get("appointment_id"), "appointment_id")
    return Appointment(
        text_field(fields.get("calendar_id"), "calendar_id"), text_field(fields.get("service_id"), "service_id")
    )


def _form(fields: Fields) -> FormSubmission:
    text_field(fields.get("submission_id"), "submission_id")
    return FormSubmission(text_field(fields.get("form_id"), "form_id"))


def _stage(fields: Fields) -> StageChange:
    text_field(fields.get("opportunity_id"), "opportunity_id")
    text_field(fields.get("previous_stage_id"), "previous_stage_id")
    return StageChange(
        text_field(fields.get("pipeline_id"), "pipeline_id"), text_field(fields.get("stage_id"), "stage_id")
    )


_READERS: Mapping[str, Callable[[Fields], Occurrence]] = {
    GoalType.TAG_ADDED.event_type: _tag,
    GoalType.PURCHASE_MADE.event_type: _payment,
    GoalType.APPOINTMENT_BOOKED.event_type: _appointment,
    GoalType.FORM_SUBMITTED.event_type: _form,
    GoalType.PIPELINE_STAGE_REACHED.event_type: _stage,
}

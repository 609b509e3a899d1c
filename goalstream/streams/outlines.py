"""Outlines as msgspec reads them from plain envelopes: fields as they were sent, and their meaning when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from goalstream.domain.amounts import is_amount, parse_amount
from goalstream.domain.events import Appointment, FormSubmission, Outline, Payment, StageChange, TagAdded
from goalstream.domain.goals import GoalType
from goalstream.domain.texts import MAX_TEXT_LENGTH, fold_name
from goalstream.domain.times import from_milliseconds, parse_time
from goalstream.streams.ports import Record

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
OptionalText = Text | None


class _Data(msgspec.Struct, gc=False):
    """An event's data as sent, with the attributes of its type's occurrence in `domain.events`."""

    contact_id: str

    @property
    def has_valid_amount(self) -> bool:
        return True


class _Tag(_Data, gc=False):
    tag_id: OptionalText = None
    tag_name: OptionalText = None

    @property
    def folded_name(self) -> str | None:
        return None if self.tag_name is None else fold_name(self.tag_name)

    def told(self) -> TagAdded:
        return TagAdded(self.tag_id, self.folded_name)


class _Payment(_Data, gc=False):
    payment_id: OptionalText = None
    told_amount: Any = msgspec.field(name="amount", default=None)
    told_currency: OptionalText = msgspec.field(name="currency", default=None)
    product_id: OptionalText = None
    more_product_ids: list[Text] | None = msgspec.field(name="product_ids", default=None)

    @property
    def has_valid_amount(self) -> bool:
        return self.told_amount is None or is_amount(self.told_amount)

    @property
    def amount(self) -> Decimal | None:
        return parse_amount(self.told_amount)

    @property
    def currency(self) -> str | None:
        return None if self.told_currency is None else self.told_currency.upper()

    @property
    def product_ids(self) -> tuple[str, ...]:
        products = () if self.product_id is None else (self.product_id,)
        return (*products, *self.more_product_ids) if self.more_product_ids else products

    def told(self) -> Payment:
        return Payment(self.amount, self.currency, self.product_ids)


class _Appointment(_Data, gc=False):
    appointment_id: OptionalText = None
    calendar_id: OptionalText = None
    service_id: OptionalText = None

    def told(self) -> Appointment:
        return Appointment(self.calendar_id, self.service_id)


class _Form(_Data, gc=False):
    submission_id: OptionalText = None
    form_id: OptionalText = None

    def told(self) -> FormSubmission:
        return FormSubmission(self.form_id)


class _Stage(_Data, gc=False):
    opportunity_id: OptionalText = None
    pipeline_id: OptionalText = None
    stage_id: OptionalText = None
    previous_stage_id: OptionalText = None

    def told(self) -> StageChange:
        return StageChange(self.pipeline_id, self.stage_id)


_Type = TypeVar("_Type")
_AnyData = TypeVar("_AnyData", _Tag, _Payment, _Appointment, _Form, _Stage)


class RawOutline(msgspec.Struct, Generic[_Type, _AnyData], gc=False):
    """As much of an event as decides which goals it matches."""

    account_id: str
    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_LENGTH)]
    told_at: str = msgspec.field(name="timestamp")
    occurrence: _AnyData = msgspec.field(name="data")
    event_type: _Type | None = None
    specversion: msgspec.UnsetType = msgspec.UNSET


AnyRawOutline = RawOutline[Any, Any]

_DATA: Mapping[str, type[_Data]] = {
    GoalType.TAG_ADDED.event_type: _Tag,
    GoalType.PURCHASE_MADE.event_type: _Payment,
    GoalType.APPOINTMENT_BOOKED.event_type: _Appointment,
    GoalType.FORM_SUBMITTED.event_type: _Form,
    GoalType.PIPELINE_STAGE_REACHED.event_type: _Stage,
}


def outline_decoder(topic: str) -> Callable[[bytes], AnyRawOutline]:
    """Reads the values of an event topic. Raises msgspec.DecodeError or ArithmeticError for what it does not understand."""
    outline: Any = RawOutline[Literal[topic], _DATA[topic]]  # type: ignore[valid-type]
    return msgspec.json.Decoder(outline, float_hook=Decimal).decode


def outline_of(raw: AnyRawOutline, topic: str, record: Record) -> Outline:
    """What a usual record of a topic tells about its event, which never occurred after it."""
    told_at, record_at = parse_time(raw.told_at), from_milliseconds(record.timestamp)
    assert told_at is not None  # noqa: S101 - narrows: both were checked when the record was read
    assert record_at is not None  # noqa: S101
    return Outline(topic, raw.account_id, min(told_at, record_at), raw.occurrence.told())

"""The usual record, read in one go: a plain envelope without headers and without anything suspicious in it.

Nearly every record is one. Every field is checked, but only the event's outline is kept, by which goals are matched: an event
that matches is then read whole by `codec`. Whatever is unusual is left to `codec` too, which gives every verdict; a test holds
that both read the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from goalstream.domain.amounts import parse_amount
from goalstream.domain.events import (
    Appointment,
    FormSubmission,
    Occurrence,
    Outline,
    Payment,
    StageChange,
    TagAdded,
)
from goalstream.domain.goals import GoalType
from goalstream.domain.texts import MAX_TEXT_LENGTH, fold_name, is_uuid
from goalstream.domain.times import from_milliseconds, parse_time
from goalstream.streams.envelope import MAX_DEPTH
from goalstream.streams.frame import known_account
from goalstream.streams.ports import Record

MIN_BYTES_TO_NEST_TOO_DEEP = 350
"""A usual record has 162 bytes of fields that it must have; 99 more levels take two bytes each."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
OptionalText = Text | None


class _Data(msgspec.Struct, gc=False):
    contact_id: str


class _Tag(_Data, gc=False):
    tag_id: OptionalText = None
    tag_name: OptionalText = None

    def occurrence(self) -> Occurrence:
        return TagAdded(self.tag_id, None if self.tag_name is None else fold_name(self.tag_name))


class _Payment(_Data, gc=False):
    payment_id: OptionalText = None
    amount: Any = None
    currency: OptionalText = None
    product_id: OptionalText = None
    product_ids: list[Text] | None = None

    def occurrence(self) -> Occurrence | None:
        amount = None if self.amount is None else parse_amount(self.amount)
        if amount is None and self.amount is not None:
            return None
        products = () if self.product_id is None else (self.product_id,)
        if self.product_ids:
            products = (*products, *self.product_ids)
        return Payment(amount, None if self.currency is None else self.currency.upper(), products)


class _Appointment(_Data, gc=False):
    appointment_id: OptionalText = None
    calendar_id: OptionalText = None
    service_id: OptionalText = None

    def occurrence(self) -> Occurrence:
        return Appointment(self.calendar_id, self.service_id)


class _Form(_Data, gc=False):
    submission_id: OptionalText = None
    form_id: OptionalText = None

    def occurrence(self) -> Occurrence:
        return FormSubmission(self.form_id)


class _Stage(_Data, gc=False):
    opportunity_id: OptionalText = None
    pipeline_id: OptionalText = None
    stage_id: OptionalText = None
    previous_stage_id: OptionalText = None

    def occurrence(self) -> Occurrence:
        return StageChange(self.pipeline_id, self.stage_id)


_AnyData = TypeVar("_AnyData", _Tag, _Payment, _Appointment, _Form, _Stage)


class _Envelope(msgspec.Struct, Generic[_AnyData], gc=False):
    account_id: str
    timestamp: str
    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_LENGTH)]
    data: _AnyData
    event_type: str | None = None
    specversion: Any = msgspec.UNSET


_DATA: Mapping[str, type[_Data]] = {
    GoalType.TAG_ADDED.event_type: _Tag,
    GoalType.PURCHASE_MADE.event_type: _Payment,
    GoalType.APPOINTMENT_BOOKED.event_type: _Appointment,
    GoalType.FORM_SUBMITTED.event_type: _Form,
    GoalType.PIPELINE_STAGE_REACHED.event_type: _Stage,
}


def outline_reader(topic: str) -> Callable[[Record], Outline | None]:
    """Reads the outline of a usual record of an event topic; None says nothing about a record, `codec.decode` does."""
    read = msgspec.json.Decoder(_Envelope[_DATA[topic]], float_hook=Decimal).decode  # type: ignore[valid-type]

    def read_outline(record: Record) -> Outline | None:
        value, record_at = record.value, from_milliseconds(record.timestamp)
        if value is None or record_at is None or record.headers or not value.isascii() or b"\\" in value:
            return None
        if len(value) >= MIN_BYTES_TO_NEST_TOO_DEEP and value.count(b"{") + value.count(b"[") > MAX_DEPTH:
            return None
        try:
            envelope = read(value)
        except (msgspec.DecodeError, ArithmeticError):
            return None
        data = envelope.data
        account_id, occurred_at = known_account(envelope.account_id), parse_time(envelope.timestamp)
        occurrence: Occurrence | None = data.occurrence()
        if (
            account_id is None
            or occurred_at is None
            or occurrence is None
            or not is_uuid(data.contact_id)
            or (envelope.event_type is not None and envelope.event_type != topic)
            or envelope.specversion is not msgspec.UNSET
        ):
            return None
        return Outline(account_id, occurred_at if occurred_at <= record_at else record_at, occurrence)

    return read_outline

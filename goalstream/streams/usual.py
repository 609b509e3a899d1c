"""The usual record, read in one go: a plain envelope without headers and without anything suspicious in it.

Nearly every record is one. Whatever is unusual is left to `codec`, which gives every verdict; a test holds that both read the
same. The event's data is not kept: it is needed only where the event matches, and then read by `codec`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from goalstream.domain.amounts import parse_amount
from goalstream.domain.events import Appointment, Event, FormSubmission, Occurrence, Payment, StageChange, TagAdded
from goalstream.domain.goals import GoalType
from goalstream.domain.texts import MAX_TEXT_LENGTH, fold_name, is_uuid
from goalstream.domain.times import from_milliseconds, parse_time
from goalstream.streams.codec import known_account
from goalstream.streams.envelope import MAX_DEPTH
from goalstream.streams.ports import Record

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
        currency = None if self.currency is None else self.currency.upper()
        return Payment(amount, currency, (*products, *(self.product_ids or ())))


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


_READERS: Mapping[str, Callable[[bytes], Any]] = {
    goal_type.event_type: msgspec.json.Decoder(_Envelope[data], float_hook=Decimal).decode  # type: ignore[valid-type]
    for goal_type, data in {
        GoalType.TAG_ADDED: _Tag,
        GoalType.PURCHASE_MADE: _Payment,
        GoalType.APPOINTMENT_BOOKED: _Appointment,
        GoalType.FORM_SUBMITTED: _Form,
        GoalType.PIPELINE_STAGE_REACHED: _Stage,
    }.items()
}


def read_usual_event(topic: str, record: Record) -> Event | None:
    """The event in a usual record, without its data; None says nothing about the record, `codec.decode` does."""
    value, record_at = record.value, from_milliseconds(record.timestamp)
    read = _READERS.get(topic)
    if read is None or value is None or record_at is None or record.headers or b"\\" in value or not value.isascii():
        return None
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH:
        return None
    try:
        envelope = read(value)
    except (msgspec.DecodeError, ArithmeticError):
        return None
    account_id, occurred_at = known_account(envelope.account_id), parse_time(envelope.timestamp)
    data = envelope.data
    occurrence = data.occurrence()
    if (
        account_id is None
        or occurred_at is None
        or occurrence is None
        or not is_uuid(data.contact_id)
        or (envelope.event_type is not None and envelope.event_type != topic)
        or envelope.specversion is not msgspec.UNSET
    ):
        return None
    contact_id, event_id = data.contact_id.lower(), envelope.event_id
    if occurred_at > record_at:
        return Event(
            account_id, topic, event_id, topic, contact_id, record_at, "record", record_at, occurrence, None, None
        )
    return Event(
        account_id, topic, event_id, topic, contact_id, occurred_at, "event", record_at, occurrence, None, None
    )

"""The usual record, read in one go: a plain envelope without headers and without anything suspicious in it.

Nearly every record is one. Every field is checked, but only the event's outline is kept, which tells whether any goal could
match: such an event is then read whole by `codec`. Whatever is unusual is left to `codec` too, which gives every verdict; a
test holds that both read the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import msgspec

from goalstream.domain.amounts import parse_amount
from goalstream.domain.goals import GoalType
from goalstream.domain.texts import MAX_TEXT_LENGTH, fold_name, is_uuid
from goalstream.domain.times import from_milliseconds
from goalstream.streams.envelope import MAX_DEPTH
from goalstream.streams.frame import known_account
from goalstream.streams.ports import Record

MIN_BYTES_TO_NEST_TOO_DEEP = 350
"""A usual record has 162 bytes of fields that it must have; 99 more levels take two bytes each."""

OFFSET_WITHOUT_COLON = b'0000"'
"""The end of a time like 10:00:00+0000, which msgspec reads although RFC 3339 does not allow it."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
OptionalText = Text | None


class RoughOutline(Protocol):
    """As much of an event as tells whether a goal could match; `occurred_at` is rounded, so less than 1 µs late."""

    @property
    def account_id(self) -> str: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def occurrence(self) -> Any: ...


class _Data(msgspec.Struct, gc=False):
    """An event's data as sent, which gives what its type tells for criteria when somebody asks."""

    contact_id: str

    @property
    def is_usual(self) -> bool:
        return is_uuid(self.contact_id)


class _Tag(_Data, gc=False):
    tag_id: OptionalText = None
    tag_name: OptionalText = None

    @property
    def folded_name(self) -> str | None:
        return None if self.tag_name is None else fold_name(self.tag_name)


class _Payment(_Data, gc=False):
    payment_id: OptionalText = None
    told_amount: Any = msgspec.field(name="amount", default=None)
    told_currency: OptionalText = msgspec.field(name="currency", default=None)
    product_id: OptionalText = None
    more_product_ids: list[Text] | None = msgspec.field(name="product_ids", default=None)

    @property
    def is_usual(self) -> bool:
        return is_uuid(self.contact_id) and (self.told_amount is None or self.amount is not None)

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


class _Appointment(_Data, gc=False):
    appointment_id: OptionalText = None
    calendar_id: OptionalText = None
    service_id: OptionalText = None


class _Form(_Data, gc=False):
    submission_id: OptionalText = None
    form_id: OptionalText = None


class _Stage(_Data, gc=False):
    opportunity_id: OptionalText = None
    pipeline_id: OptionalText = None
    stage_id: OptionalText = None
    previous_stage_id: OptionalText = None


_Type = TypeVar("_Type")
_AnyData = TypeVar("_AnyData", _Tag, _Payment, _Appointment, _Form, _Stage)


class _Envelope(msgspec.Struct, Generic[_Type, _AnyData], gc=False):
    account_id: str
    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_LENGTH)]
    occurred_at: datetime = msgspec.field(name="timestamp")
    occurrence: _AnyData = msgspec.field(name="data")
    event_type: _Type | None = None
    specversion: msgspec.UnsetType = msgspec.UNSET


_DATA: Mapping[str, type[_Data]] = {
    GoalType.TAG_ADDED.event_type: _Tag,
    GoalType.PURCHASE_MADE.event_type: _Payment,
    GoalType.APPOINTMENT_BOOKED.event_type: _Appointment,
    GoalType.FORM_SUBMITTED.event_type: _Form,
    GoalType.PIPELINE_STAGE_REACHED.event_type: _Stage,
}


def outline_reader(topic: str) -> Callable[[Record], RoughOutline | None]:
    """Reads the outline of a usual record of an event topic; None says nothing about a record, `codec.decode` does."""
    document: Any = _Envelope[Literal[topic], _DATA[topic]]  # type: ignore[valid-type]
    read = msgspec.json.Decoder(document, float_hook=Decimal).decode

    def read_outline(record: Record) -> RoughOutline | None:
        value, record_at = record.value, from_milliseconds(record.timestamp)
        if value is None or record_at is None or record.headers or not value.isascii() or b"\\" in value:
            return None
        if OFFSET_WITHOUT_COLON in value:
            return None
        if len(value) >= MIN_BYTES_TO_NEST_TOO_DEEP and value.count(b"{") + value.count(b"[") > MAX_DEPTH:
            return None
        try:
            outline = read(value)
        except (msgspec.DecodeError, ArithmeticError):
            return None
        if outline.occurred_at.tzinfo is not UTC:
            if outline.occurred_at.tzinfo is not None:
                return None
            outline.occurred_at = outline.occurred_at.replace(tzinfo=UTC)
        if outline.occurred_at > record_at:
            outline.occurred_at = record_at
        account_id = outline.account_id
        return outline if outline.occurrence.is_usual and known_account(account_id) == account_id else None

    return read_outline

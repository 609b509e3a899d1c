"""Events: facts from the CRM about one contact, with what each type tells for a goal's criteria.

Named tuples rather than dataclasses: one of each is made for every record, and a frozen dataclass costs four times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

OccurredAtSource = Literal["event", "record"]


class TagAdded(NamedTuple):
    """`contact.tag.added`; the name is folded as `texts.fold_name` does."""

    tag_id: str | None
    folded_name: str | None


class Payment(NamedTuple):
    """`payment.completed`; the currency is in upper case, the products are those of both fields."""

    amount: Decimal | None
    currency: str | None
    product_ids: tuple[str, ...]


class Appointment(NamedTuple):
    """`appointment.booked`."""

    calendar_id: str | None
    service_id: str | None


class FormSubmission(NamedTuple):
    """`form.submitted`."""

    form_id: str | None


class StageChange(NamedTuple):
    """`pipeline.stage.changed`."""

    pipeline_id: str | None
    stage_id: str | None


Occurrence = TagAdded | Payment | Appointment | FormSubmission | StageChange


class Outline(NamedTuple):
    """As much of an event as decides which goals it matches."""

    event_type: str
    account_id: str
    occurred_at: datetime
    occurrence: Occurrence


class Event(NamedTuple):
    """One decoded event.

    Identified by (account_id, source, event_id). `record_at` is the Kafka record's timestamp; `occurred_at` never lies
    after it. `data` is the event's data as sent, its numbers int or Decimal.
    """

    account_id: str
    source: str
    event_id: str
    event_type: str
    contact_id: str
    occurred_at: datetime
    occurred_at_source: OccurredAtSource
    record_at: datetime
    occurrence: Occurrence
    data: Mapping[str, Any]
    traceparent: str | None = None

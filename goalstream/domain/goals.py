"""Goals: their types, their criteria, and the immutable versions in which they are in force."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

from goalstream.domain.amounts import canonical_amount, parse_amount
from goalstream.domain.texts import MAX_TEXT_LENGTH, fold_name, has_forbidden_character
from goalstream.domain.values import value
from goalstream.errors import CriteriaEmpty, InvalidGoal, Problem


class GoalType(StrEnum):
    """What kind of success a goal describes; each is fed by one event type, which is also its topic's name."""

    TAG_ADDED = "tag_added"
    PURCHASE_MADE = "purchase_made"
    APPOINTMENT_BOOKED = "appointment_booked"
    FORM_SUBMITTED = "form_submitted"
    PIPELINE_STAGE_REACHED = "pipeline_stage_reached"

    @property
    def event_type(self) -> str:
        return _EVENT_TYPES[self]


_EVENT_TYPES = {
    GoalType.TAG_ADDED: "contact.tag.added",
    GoalType.PURCHASE_MADE: "payment.completed",
    GoalType.APPOINTMENT_BOOKED: "appointment.booked",
    GoalType.FORM_SUBMITTED: "form.submitted",
    GoalType.PIPELINE_STAGE_REACHED: "pipeline.stage.changed",
}


@value
class TagCriteria:
    """A tag by id, by name, or both: where both sides have an id, the id decides alone."""

    tag_id: str | None = None
    tag_name: str | None = None


@value
class PurchaseCriteria:
    """A purchase: of a product, from an amount (inclusive), in a currency (upper case), or any."""

    product_id: str | None = None
    min_amount: Decimal | None = None
    currency: str | None = None
    any_purchase: bool = False


@value
class AppointmentCriteria:
    """An appointment: in a calendar, for a service, or any."""

    calendar_id: str | None = None
    service_id: str | None = None
    any_appointment: bool = False


@value
class FormCriteria:
    """A form, by its id."""

    form_id: str


@value
class StageCriteria:
    """A stage of a pipeline; both ids are needed."""

    pipeline_id: str
    stage_id: str


Criteria = TagCriteria | PurchaseCriteria | AppointmentCriteria | FormCriteria | StageCriteria

CRITERIA_OF: Mapping[GoalType, type[Criteria]] = {
    GoalType.TAG_ADDED: TagCriteria,
    GoalType.PURCHASE_MADE: PurchaseCriteria,
    GoalType.APPOINTMENT_BOOKED: AppointmentCriteria,
    GoalType.FORM_SUBMITTED: FormCriteria,
    GoalType.PIPELINE_STAGE_REACHED: StageCriteria,
}


@value
class GoalVersion:
    """One immutable version of a goal, in force from `effective_from` until the next version's `effective_from`.

    Ids are UUIDs in lower case. `created_at` is the goal's, not the version's: it orders goals in the walk.
    """

    account_id: str
    workflow_id: str
    goal_id: str
    version: int
    goal_type: GoalType
    criteria: Criteria
    is_active: bool
    is_deleted: bool
    window: timedelta | None
    measure_after_exit: timedelta
    effective_from: datetime
    created_at: datetime

    @property
    def can_be_achieved(self) -> bool:
        return self.is_active and not self.is_deleted


def parse_criteria(goal_type: GoalType, document: Mapping[str, object]) -> Criteria:
    """The criteria in `document`: JSON values whose numbers are int or Decimal, never float; `null` means absent.

    Raises CriteriaEmpty when no key has an effect, and InvalidGoal with every problem and its pointer otherwise.
    """
    kind = CRITERIA_OF[goal_type]
    known = [field.name for field in fields(kind)]
    given = {key: value for key, value in document.items() if value is not None}
    problems = [
        Problem(f"/criteria/{_pointer(key)}", f"Unknown criteria key for {goal_type}; known: {', '.join(known)}")
        for key in document
        if key not in known
    ]
    values: dict[str, Any] = {}
    for key in known:
        if key in given:
            try:
                values[key] = _PARSERS.get(key, _parse_text)(given[key])
            except ValueError as error:
                problems.append(Problem(f"/criteria/{key}", str(error)))
    any_key = next((key for key in known if key.startswith("any_")), None)
    if any_key and values.get(any_key) and len(given) > 1:
        problems.append(Problem(f"/criteria/{any_key}", f"{any_key} cannot be combined with another key"))
    if problems:
        raise InvalidGoal(*problems)
    if not any(value is not False for value in values.values()):
        raise CriteriaEmpty
    if kind is StageCriteria:
        missing = [Problem(f"/criteria/{key}", f"{key} is required") for key in known if key not in values]
        if missing:
            raise InvalidGoal(*missing)
    return kind(**values)


def criteria_document(criteria: Criteria) -> dict[str, str | bool]:
    """The canonical criteria: no nulls, no `any_*: false`, amounts as decimal strings, currency in upper case."""
    document: dict[str, str | bool] = {}
    for field in fields(criteria):
        value = getattr(criteria, field.name)
        if isinstance(value, Decimal):
            document[field.name] = canonical_amount(value)
        elif value is not None and value is not False:
            document[field.name] = value
    return document


def criteria_key(criteria: Criteria) -> str:
    """A digest (SHA-256, hexadecimal) that is equal for the same criteria: of the canonical form, tag names folded."""
    document = criteria_document(criteria)
    name = document.get("tag_name")
    if isinstance(name, str):
        document["tag_name"] = fold_name(name)
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _parse_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if not value.strip():
        raise ValueError("must not be empty or blank")
    if len(value) > MAX_TEXT_LENGTH:
        raise ValueError(f"must have at most {MAX_TEXT_LENGTH} characters")
    if has_forbidden_character(value):
        raise ValueError("must not contain U+0000 or lone surrogates")
    return value


def _parse_min_amount(value: object) -> Decimal:
    amount = parse_amount(value)
    if amount is None:
        raise ValueError("must be a decimal number of at least 0, with at most 30 digits and an exponent within ±30")
    return amount


def _parse_currency(value: object) -> str:
    code = _parse_text(value)
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise ValueError("must be a currency code of three letters (ISO 4217)")
    return code.upper()


def _parse_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


_PARSERS: Mapping[str, Callable[[object], object]] = {
    "min_amount": _parse_min_amount,
    "currency": _parse_currency,
    "any_purchase": _parse_flag,
    "any_appointment": _parse_flag,
}


def _pointer(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")

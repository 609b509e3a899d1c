"""The goal table: every goal version of every account, indexed by the value that its criteria ask for.

The cost of an event does not grow with the number of goals: a look-up by account, type and value, then a bisection over
minimum amounts. A version is added in O(1) and never taken out: an event of any age is judged by the version then in force.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_never

from goalstream.domain.events import Appointment, Event, FormSubmission, Outline, Payment, StageChange, TagAdded
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalType,
    GoalVersion,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.texts import fold_name

LookUp = tuple[str, str | None, str | None]
"""What is asked for, and up to two values: ("purchase", product id, currency)."""

NO_MINIMUM = Decimal(-1)
"""Below every amount: goals without a minimum come first, and an event without amount meets only these."""


class Entry:
    """A version and the end of its interval, which is known only when the next version comes."""

    __slots__ = ("effective_to", "version")

    def __init__(self, version: GoalVersion) -> None:
        self.version = version
        self.effective_to: datetime | None = None

    def is_in_force(self, moment: datetime) -> bool:
        return self.version.effective_from <= moment and (self.effective_to is None or moment < self.effective_to)


class _Shelf:
    """Entries that share a look-up value, sorted by their minimum amount."""

    __slots__ = ("entries", "minimums")

    def __init__(self) -> None:
        self.minimums: list[Decimal] = []
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        criteria = entry.version.criteria
        minimum = criteria.min_amount if isinstance(criteria, PurchaseCriteria) else None
        minimum = NO_MINIMUM if minimum is None else minimum
        position = bisect_right(self.minimums, minimum)
        self.minimums.insert(position, minimum)
        self.entries.insert(position, entry)

    def up_to(self, amount: Decimal) -> list[Entry]:
        return self.entries[: bisect_right(self.minimums, amount)]


class GoalTable:
    """All goal versions known so far. Not safe to change while another thread reads."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[LookUp, _Shelf]] = {}
        self._newest: dict[tuple[str, str], Entry] = {}

    def __len__(self) -> int:
        """How many goals can be achieved in their newest version."""
        return sum(entry.version.can_be_achieved for entry in self._newest.values())

    def add(self, versions: Iterable[GoalVersion]) -> None:
        """Adds versions, each goal's in ascending order; one that is already known changes nothing."""
        for version in versions:
            key = (version.account_id, version.goal_id)
            previous = self._newest.get(key)
            if previous is not None:
                if previous.version.version >= version.version:
                    continue
                previous.effective_to = version.effective_from
            entry = self._newest[key] = Entry(version)
            if version.can_be_achieved:
                shelves = self._accounts.setdefault(version.account_id, {})
                for look_up in _shelves_of(version.criteria):
                    shelves.setdefault(look_up, _Shelf()).add(entry)

    def match(self, event: Event | Outline) -> list[GoalVersion]:
        """The goal versions in force at the event's `occurred_at` whose criteria it fulfils."""
        fitting = self.finder(event.event_type)(event.account_id, event.occurrence)
        return in_force(fitting, event.occurred_at)

    def finder(self, event_type: str) -> Callable[[str, Any], list[Entry]]:
        """Finds the versions of all times whose criteria an event of this type fulfils, by its account and occurrence.

        The occurrence may be anything that has the attributes of that of the type in `events`.
        """
        look_ups_of, accounts = _LOOK_UPS[event_type], self._accounts

        def find(account_id: str, occurrence: Any) -> list[Entry]:
            found: list[Entry] = []
            shelves = accounts.get(account_id)
            if shelves is None:
                return found
            for look_up in look_ups_of(occurrence):
                shelf = shelves.get(look_up)
                if shelf is not None:
                    amount = occurrence.amount if look_up[0] == "purchase" else None
                    found += shelf.up_to(NO_MINIMUM if amount is None else amount)
            return found

        return find


def in_force(entries: Iterable[Entry], moment: datetime) -> list[GoalVersion]:
    """The versions that are in force at a moment."""
    return [entry.version for entry in entries if entry.is_in_force(moment)]


def _shelves_of(criteria: Criteria) -> tuple[LookUp, ...]:
    """Under which values a goal is found; an event asks for any goal under at most one of them."""
    match criteria:
        case TagCriteria(tag_id=str(tag_id), tag_name=str(name)):
            return ("tag", tag_id, None), ("tag without id", fold_name(name), None)
        case TagCriteria(tag_id=str(tag_id)):
            return (("tag", tag_id, None),)
        case TagCriteria(tag_name=name):
            return (("tag name", fold_name(name or ""), None),)
        case PurchaseCriteria():
            return (("purchase", criteria.product_id, criteria.currency),)
        case AppointmentCriteria():
            return (("appointment", criteria.calendar_id, criteria.service_id),)
        case FormCriteria():
            return (("form", criteria.form_id, None),)
        case StageCriteria():
            return (("stage", criteria.pipeline_id, criteria.stage_id),)
        case _:
            assert_never(criteria)


def _look_up_tag(tag: TagAdded) -> tuple[LookUp, ...]:
    if tag.tag_id is None:
        return ("tag name", tag.folded_name, None), ("tag without id", tag.folded_name, None)
    return ("tag", tag.tag_id, None), ("tag name", tag.folded_name, None)


def _look_up_payment(payment: Payment) -> tuple[LookUp, ...]:
    look_ups: list[LookUp] = [("purchase", None, None)]
    look_ups += [("purchase", product_id, None) for product_id in set(payment.product_ids)]
    if (currency := payment.currency) is not None:
        look_ups += [("purchase", product_id, currency) for _, product_id, _ in look_ups]
    return tuple(look_ups)


def _look_up_appointment(appointment: Appointment) -> tuple[LookUp, ...]:
    calendar, service = appointment.calendar_id, appointment.service_id
    look_ups: list[LookUp] = [("appointment", None, None)]
    if calendar is not None:
        look_ups.append(("appointment", calendar, None))
    if service is not None:
        look_ups += [("appointment", wanted, service) for _, wanted, _ in look_ups]
    return tuple(look_ups)


def _look_up_form(form: FormSubmission) -> tuple[LookUp, ...]:
    return (("form", form.form_id, None),)


def _look_up_stage(stage: StageChange) -> tuple[LookUp, ...]:
    return (("stage", stage.pipeline_id, stage.stage_id),)


# Under which values to look for goals that an event's occurrence fulfils, by its type.
_LOOK_UPS: Mapping[str, Callable[[Any], tuple[LookUp, ...]]] = {
    GoalType.TAG_ADDED.event_type: _look_up_tag,
    GoalType.PURCHASE_MADE.event_type: _look_up_payment,
    GoalType.APPOINTMENT_BOOKED.event_type: _look_up_appointment,
    GoalType.FORM_SUBMITTED.event_type: _look_up_form,
    GoalType.PIPELINE_STAGE_REACHED.event_type: _look_up_stage,
}

"""The goal table: every goal version of every account, indexed by the value that its criteria ask for.

The cost of an event does not grow with the number of goals: a look-up by account, type and value, then a bisection over
minimum amounts. A version is added in O(1) and never taken out: an event of any age is judged by the version then in force.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from goalstream.domain.events import Appointment, Event, FormSubmission, Occurrence, Payment, StageChange, TagAdded
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
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


class _Entry:
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
        self.entries: list[_Entry] = []

    def add(self, entry: _Entry) -> None:
        criteria = entry.version.criteria
        minimum = criteria.min_amount if isinstance(criteria, PurchaseCriteria) else None
        minimum = NO_MINIMUM if minimum is None else minimum
        position = bisect_right(self.minimums, minimum)
        self.minimums.insert(position, minimum)
        self.entries.insert(position, entry)

    def up_to(self, amount: Decimal) -> list[_Entry]:
        return self.entries[: bisect_right(self.minimums, amount)]


class GoalTable:
    """All goal versions known so far. Not safe to change while another thread reads."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[LookUp, _Shelf]] = {}
        self._newest: dict[tuple[str, str], _Entry] = {}

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
            entry = self._newest[key] = _Entry(version)
            if version.can_be_achieved:
                shelves = self._accounts.setdefault(version.account_id, {})
                for look_up in _shelves_of(version.criteria):
                    shelves.setdefault(look_up, _Shelf()).add(entry)

    def match(self, event: Event) -> list[GoalVersion]:
        """The goal versions in force at the event's `occurred_at` whose criteria it fulfils."""
        shelves = self._accounts.get(event.account_id)
        if shelves is None:
            return []
        occurrence = event.occurrence
        amount = occurrence.amount if isinstance(occurrence, Payment) else None
        return [
            entry.version
            for look_up in _look_ups(occurrence)
            if (shelf := shelves.get(look_up)) is not None
            for entry in shelf.up_to(NO_MINIMUM if amount is None else amount)
            if entry.is_in_force(event.occurred_at)
        ]


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


def _look_ups(occurrence: Occurrence) -> tuple[LookUp, ...]:
    """Under which values to look for goals that this occurrence fulfils."""
    match occurrence:
        case TagAdded(tag_id=None, folded_name=name):
            return ("tag name", name, None), ("tag without id", name, None)
        case TagAdded(tag_id=tag_id, folded_name=name):
            return ("tag", tag_id, None), ("tag name", name, None)
        case Payment():
            currencies = {occurrence.currency, None}
            return tuple(
                ("purchase", product_id, currency)
                for product_id in {*occurrence.product_ids, None}
                for currency in currencies
            )
        case Appointment():
            calendars, services = {occurrence.calendar_id, None}, {occurrence.service_id, None}
            return tuple(("appointment", calendar, service) for calendar in calendars for service in services)
        case FormSubmission():
            return (("form", occurrence.form_id, None),)
        case StageChange():
            return (("stage", occurrence.pipeline_id, occurrence.stage_id),)
        case _:
            assert_never(occurrence)

"""The goal table: every goal version of every account, indexed by the value that its criteria ask for.

The cost of an event does not grow with the number of goals or of their changes: a look-up by account and value, then a
bisection over minimum amounts. What it finds are proposals: the version in force when the event occurred decides. A version
is added in O(1) and never taken out: an event of any age is judged by the version then in force.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_never

from goalstream.domain.events import (
    Appointment,
    Event,
    FormSubmission,
    Outline,
    Payment,
    StageChange,
    TagAdded,
)
from goalstream.domain.fulfilment import fulfils
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
from goalstream.domain.packing import pack, unpack, unpack_hot
from goalstream.domain.texts import fold_name

LookUp = tuple[str | None, ...]
"""Account, what is asked for, and its value, if any: (account id, "purchase", product id)."""

NO_MINIMUM = Decimal(-1)
"""Below every amount: goals without a minimum come first, and an event without amount meets only these."""

PARTS = 127
"""Dictionaries of an index. One of a million entries would stop everything for 30 ms whenever it grows."""


class _Goal:
    """The versions of a goal, packed: the newest, and those before it in ascending order."""

    __slots__ = ("earlier", "newest")

    def __init__(self, version: GoalVersion) -> None:
        self.newest = pack(version)
        self.earlier: list[bytes] | None = None

    def add(self, version: GoalVersion) -> None:
        if self.earlier is None:
            self.earlier = []
        self.earlier.append(self.newest)
        self.newest = pack(version)

    def is_called(self, account_id: str, goal_id: str) -> bool:
        newest = unpack(self.newest)
        return (newest.account_id, newest.goal_id) == (account_id, goal_id)

    def at(self, moment: datetime) -> GoalVersion | None:
        """The version that was the newest at a moment, whether or not it could be achieved then."""
        newest = unpack_hot(self.newest)
        if newest.effective_from <= moment:
            return newest
        earlier = self.earlier or ()
        position = bisect_right(earlier, moment, key=_effective_from)
        return unpack(earlier[position - 1]) if position else None

    def up_to(self, amount: Decimal) -> Sequence[_Goal]:
        """Itself: alone it needs no shelf."""
        return (self,)


def _effective_from(packed: bytes) -> datetime:
    return unpack(packed).effective_from


class _Shelf:
    """Goals that share a look-up, each once, by the least amount that any of its versions asks for."""

    __slots__ = ("goals", "minimums")

    def __init__(self, first: _Goal) -> None:
        # While it was alone, nobody noted what it asks for: it is proposed for every amount.
        self.minimums = [NO_MINIMUM]
        self.goals = [first]

    def add(self, goal: _Goal, minimum: Decimal, *, is_new: bool) -> None:
        if not is_new and goal in self.goals:
            position = self.goals.index(goal)
            minimum = min(minimum, self.minimums.pop(position))
            del self.goals[position]
        position = bisect_right(self.minimums, minimum)
        self.minimums.insert(position, minimum)
        self.goals.insert(position, goal)

    def up_to(self, amount: Decimal) -> Sequence[_Goal]:
        return self.goals[: bisect_right(self.minimums, amount)]


class _Index:
    """Shelves by the hash of their look-up, which is all that is kept of it: so two look-ups may share a shelf.

    A goal that is alone needs no shelf and stands for one.
    """

    def __init__(self) -> None:
        self.parts: list[dict[int, _Goal | _Shelf]] = [{} for _ in range(PARTS)]

    def find(self, look_up: LookUp) -> _Goal | _Shelf | None:
        key = hash(look_up)
        return self.parts[key % PARTS].get(key)

    def add(self, look_up: LookUp, goal: _Goal, minimum: Decimal, *, is_new: bool) -> None:
        """Puts a goal where a look-up finds it; only a new one cannot be there already."""
        key = hash(look_up)
        part = self.parts[key % PARTS]
        shelf = part.setdefault(key, goal)
        if shelf is not goal:
            if isinstance(shelf, _Goal):
                shelf = part[key] = _Shelf(shelf)
            shelf.add(goal, minimum, is_new=is_new)


class GoalTable:
    """All goal versions known so far. Not safe to change while another thread reads."""

    def __init__(self) -> None:
        self._by_value = _Index()
        self._by_id = _Index()
        self._can_be_achieved = 0

    def __len__(self) -> int:
        """How many goals can be achieved in their newest version."""
        return self._can_be_achieved

    def add(self, versions: Iterable[GoalVersion]) -> None:
        """Adds versions, each goal's in ascending order; one that is already known changes nothing."""
        for version in versions:
            goal = self._find(version.account_id, version.goal_id)
            is_new = goal is None
            if goal is None:
                goal = _Goal(version)
                self._by_id.add((version.account_id, version.goal_id), goal, NO_MINIMUM, is_new=True)
            else:
                newest = unpack(goal.newest)
                if newest.version >= version.version:
                    continue
                self._can_be_achieved -= newest.can_be_achieved
                goal.add(version)
            if version.can_be_achieved:
                self._can_be_achieved += 1
                minimum = _minimum(version.criteria)
                for look_up in _look_ups_of(version.account_id, version.criteria):
                    self._by_value.add(look_up, goal, minimum, is_new=is_new)

    def screen(self, event_type: str) -> Callable[[str, Any], bool]:
        """Tells of an event of this type, by its account and occurrence, whether any goal could match; hardly ever wrongly yes.

        The occurrence may be anything that has the attributes of that of the type in `events`.
        """
        look_ups_of, parts = _LOOK_UPS[event_type], self._by_value.parts

        def could_match(account_id: str, occurrence: Any) -> bool:
            for look_up in look_ups_of(account_id, occurrence):
                key = hash(look_up)
                if key in parts[key % PARTS]:
                    return True
            return False

        return could_match

    def match(self, event: Event | Outline) -> list[GoalVersion]:
        """The goal versions in force at the event's `occurred_at` whose criteria it fulfils."""
        account_id, occurrence = event.account_id, event.occurrence
        look_ups = _LOOK_UPS[event.event_type](account_id, occurrence)
        amount = occurrence.amount if isinstance(occurrence, Payment) else None
        limit = NO_MINIMUM if amount is None else amount
        shelves = [shelf for look_up in look_ups if (shelf := self._by_value.find(look_up)) is not None]
        goals = dict.fromkeys(goal for shelf in shelves for goal in shelf.up_to(limit))
        versions = (goal.at(event.occurred_at) for goal in goals)
        return [
            version
            for version in versions
            if version is not None
            and version.can_be_achieved
            and version.account_id == account_id
            and fulfils(occurrence, version.criteria)
        ]

    def _find(self, account_id: str, goal_id: str) -> _Goal | None:
        shelf = self._by_id.find((account_id, goal_id))
        proposed = () if shelf is None else shelf.up_to(NO_MINIMUM)
        return next((goal for goal in proposed if goal.is_called(account_id, goal_id)), None)


def _minimum(criteria: Criteria) -> Decimal:
    minimum = criteria.min_amount if isinstance(criteria, PurchaseCriteria) else None
    return NO_MINIMUM if minimum is None else minimum


def _look_ups_of(account_id: str, criteria: Criteria) -> list[LookUp]:
    """Where a goal is found: every event that fulfils the criteria looks in one of these places."""
    match criteria:
        case TagCriteria():
            by_id, by_name = criteria.tag_id, criteria.tag_name
            look_ups: list[LookUp] = [] if by_id is None else [(account_id, "tag", by_id)]
            return look_ups if by_name is None else [*look_ups, (account_id, "tag name", fold_name(by_name))]
        case PurchaseCriteria():
            return [(account_id, "purchase", criteria.product_id)]
        case AppointmentCriteria():
            return [(account_id, "appointment", criteria.calendar_id, criteria.service_id)]
        case FormCriteria():
            return [(account_id, "form", criteria.form_id)]
        case StageCriteria():
            return [(account_id, "stage", criteria.pipeline_id, criteria.stage_id)]
        case _:
            assert_never(criteria)


def _look_up_tag(account_id: str, tag: TagAdded) -> Sequence[LookUp]:
    return (account_id, "tag", tag.tag_id), (account_id, "tag name", tag.folded_name)


def _look_up_payment(account_id: str, payment: Payment) -> Sequence[LookUp]:
    any_product = (account_id, "purchase", None)
    products = payment.product_ids
    if len(products) == 1:  # as nearly always
        return any_product, (account_id, "purchase", products[0])
    return any_product, *[(account_id, "purchase", product) for product in products]


def _look_up_appointment(account_id: str, appointment: Appointment) -> Sequence[LookUp]:
    calendar, service = appointment.calendar_id, appointment.service_id
    wanted = (account_id, "appointment", None, None), (account_id, "appointment", calendar, None)
    if service is None:
        return wanted
    return *wanted, (account_id, "appointment", None, service), (account_id, "appointment", calendar, service)


def _look_up_form(account_id: str, form: FormSubmission) -> Sequence[LookUp]:
    return ((account_id, "form", form.form_id),)


def _look_up_stage(account_id: str, stage: StageChange) -> Sequence[LookUp]:
    return ((account_id, "stage", stage.pipeline_id, stage.stage_id),)


# Under which values to look for goals that an event's occurrence fulfils, by its type.
_LOOK_UPS: Mapping[str, Callable[[str, Any], Sequence[LookUp]]] = {
    GoalType.TAG_ADDED.event_type: _look_up_tag,
    GoalType.PURCHASE_MADE.event_type: _look_up_payment,
    GoalType.APPOINTMENT_BOOKED.event_type: _look_up_appointment,
    GoalType.FORM_SUBMITTED.event_type: _look_up_form,
    GoalType.PIPELINE_STAGE_REACHED.event_type: _look_up_stage,
}

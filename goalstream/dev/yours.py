"""Events of the person at the terminal: somebody called You walks through the promo, a step with every press of a key. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from goalstream.dev.records import Outgoing, envelope, wire_time
from goalstream.dev.simulation import appointment, form, payment
from goalstream.dev.world import CONSULTATION, CURRENCY, PROMO_FORM, World
from goalstream.domain.goals import GoalType
from goalstream.streams.topics import ENROLLMENT_STARTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What somebody does now, in words and as records."""

    contact_id: str
    name: str
    text: str
    records: tuple[Outgoing, ...]


class YourWalk:
    """Enters and sends the form in, books, pays too little, pays enough; then somebody new begins."""

    def __init__(self, world: World, new_id: Callable[[], str]) -> None:
        self._world = world
        self._new_id = new_id
        self._taken = 0
        self._contact_id = ""

    def next(self, now: datetime) -> Step:
        """The next step, taken at `now`."""
        person, step = divmod(self._taken, 4)
        self._taken += 1
        name = "You" if person == 0 else f"You ({person + 1})"
        records: tuple[Outgoing, ...]
        if step == 0:
            self._contact_id = self._new_id()
            entered = {"enrollment_id": self._new_id(), "workflow_id": self._world.promo.workflow_id}
            records = (
                self._record(ENROLLMENT_STARTED, entered, now),
                self._record(GoalType.FORM_SUBMITTED.event_type, form(PROMO_FORM, self._new_id()), now),
            )
            text = f"{name} entered {self._world.promo.name} and sent the form in"
        elif step == 1:
            booked = appointment(CONSULTATION, self._new_id())
            records = (self._record(GoalType.APPOINTMENT_BOOKED.event_type, booked, now),)
            text = f"{name} booked a {CONSULTATION}"
        else:
            amount = "49.00" if step == 2 else "149.00"
            paid = payment(amount, CURRENCY, self._new_id())
            records = (self._record(GoalType.PURCHASE_MADE.event_type, paid, now),)
            text = f"{name} paid {amount} {CURRENCY}"
        return Step(contact_id=self._contact_id, name=name, text=text, records=records)

    def _record(self, topic: str, data: Mapping[str, Any], now: datetime) -> Outgoing:
        document = {"contact_id": self._contact_id, **data}
        value = envelope(topic, f"evt_{self._new_id()}", self._world.account_id, wire_time(now), document)
        is_event = topic != ENROLLMENT_STARTED
        return Outgoing(at_seconds=0, topic=topic, key=self._contact_id.encode(), value=value, is_event=is_event)

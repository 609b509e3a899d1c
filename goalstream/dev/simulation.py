"""The simulated CRM's story, as pure data: which record goes where, and when. No clock, no network; the same for a seed.

People enter two workflows and walk form → appointment → stage → payment → tag, some of them not to the end, with the
delays of real life 600 times faster. Among it, on purpose: everyday events that match no goal, the same events in another
account, redeliveries, events that come late, and malformed ones.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from goalstream.dev.records import Headers, Outgoing, cloudevent, envelope, spoiled, wire_time
from goalstream.dev.world import (
    CONSULTATION,
    CURRENCY,
    PIPELINE,
    PROMO_FORM,
    PURCHASED_TAG,
    WON_STAGE,
    Contact,
    Workflow,
    World,
    random_id,
)
from goalstream.domain.goals import GoalType
from goalstream.streams.topics import ENROLLMENT_ENDED, ENROLLMENT_STARTED, EVENT_TOPICS, WORKFLOW_STATUS_CHANGED

COMPRESSION = 600
"""A day of a customer's life takes 144 s."""

REDELIVERED_SHARE = 0.02
LATE_SHARE = 0.01
MALFORMED_SHARE = 0.005
OTHER_ACCOUNT_SHARE = 0.03
WON_SHARE = 0.6
"""How many opportunities are won."""

GOES_ON_SHARE = 0.85
"""How many go on to the next step of the walk."""

RECORDS_PER_CONTACT = 12
"""Somebody enters once in so many records, which leaves room for the walks and for everyday events."""

WALK_MINUTES = {
    GoalType.FORM_SUBMITTED: (5, 60),
    GoalType.APPOINTMENT_BOOKED: (30, 180),
    GoalType.PIPELINE_STAGE_REACHED: (60, 360),
    GoalType.PURCHASE_MADE: (30, 480),
    GoalType.TAG_ADDED: (5, 60),
}
"""How long people take from one step to the next, in minutes of real life."""

LATE_MINUTES = (120, 600)
REST_MINUTES = (60, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """Something that happened, before it is given the time at which it did."""

    topic: str
    contact_id: str
    data: Mapping[str, Any]


class Story:
    """Records at an even pace, each as due or as chance has it. `rate`, in records per second, may be changed at any time."""

    def __init__(self, world: World, *, seed: int, start: datetime, rate: float) -> None:
        """`start` is the time at which the first record happens."""
        self._world = world
        self._start = start
        self.rate = rate
        self._now = 0.0
        # Events and enrollments of another run are others, also where the database has been kept.
        self._rng = random.Random(f"story {seed} {start.isoformat()}")  # noqa: S311 - a story, not a secret
        self._due: list[tuple[float, int, Callable[[float], Outgoing]]] = []
        self._scheduled = 0
        self._resting = deque(world.contacts)
        self._recent: deque[Outgoing] = deque(maxlen=50)
        self._malformed = 0

    def __iter__(self) -> Iterator[Outgoing]:
        """Without an end."""
        number = 0
        for record in self.beginning():
            yield record
            number += 1
        self._now = number / self.rate
        while True:
            yield self._next(number, self._now)
            self._now += 1 / self.rate
            number += 1

    def skip_to(self, seconds: float) -> None:
        """Nothing happens until so many seconds after the start; what would have is due then."""
        self._now = max(self._now, seconds)

    def beginning(self) -> Iterator[Outgoing]:
        """The workflows become active, each with its goal logic; nobody has entered yet."""
        for number, workflow in enumerate(self._world.workflows):
            yield self._status(workflow, number / self.rate)

    def _next(self, number: int, now: float) -> Outgoing:
        chance = self._rng.random()
        if chance < REDELIVERED_SHARE and self._recent:
            again = self._rng.choice(self._recent)
            return replace(again, at_seconds=now)
        if chance > 1 - MALFORMED_SHARE:
            return self._malformed_record(now)
        if number % RECORDS_PER_CONTACT == 2 and self._resting:
            return self._enter(self._resting.popleft(), now)
        if chance > 1 - MALFORMED_SHARE - OTHER_ACCOUNT_SHARE:
            return self._elsewhere(now)
        if self._due and self._due[0][0] <= now:
            return heapq.heappop(self._due)[2](now)
        return self._happened(self._everyday_fact(), now)

    def _enter(self, contact: Contact, now: float) -> Outgoing:
        """Enters the promo now, and at once the other workflow too; the walk begins."""
        enrollments = {workflow.workflow_id: random_id(self._rng) for workflow in self._world.workflows}
        started = [
            _Fact(
                topic=ENROLLMENT_STARTED,
                contact_id=contact.contact_id,
                data={"enrollment_id": enrollment_id, "workflow_id": workflow_id},
            )
            for workflow_id, enrollment_id in enrollments.items()
        ]
        self._later(now, partial(self._happened, started[1]))
        self._walk_on(contact, tuple(WALK_MINUTES), enrollments, now)
        return self._happened(started[0], now)

    def _walk_on(
        self, contact: Contact, steps: tuple[GoalType, ...], enrollments: Mapping[str, str], now: float
    ) -> None:
        if steps:
            low, high = WALK_MINUTES[steps[0]]
            self._later(now + self._minutes(low, high), partial(self._step, contact, steps, enrollments))
            return
        rested = now + self._minutes(*REST_MINUTES)
        for enrollment_id in enrollments.values():
            fact = _Fact(
                topic=ENROLLMENT_ENDED,
                contact_id=contact.contact_id,
                data={"enrollment_id": enrollment_id, "reason": "completed"},
            )
            self._later(rested, partial(self._happened, fact))
        self._later(rested, partial(self._rest, contact))

    def _step(
        self, contact: Contact, steps: tuple[GoalType, ...], enrollments: Mapping[str, str], now: float
    ) -> Outgoing:
        goes_on = self._rng.random() < GOES_ON_SHARE
        self._walk_on(contact, steps[1:] if goes_on else (), enrollments, now)
        return self._happened(self._story_fact(steps[0], contact.contact_id), now)

    def _rest(self, contact: Contact, now: float) -> Outgoing:
        """Is out of both workflows and may enter again; goes on with everyday life."""
        self._resting.append(contact)
        return self._happened(self._everyday_fact(), now)

    def _story_fact(self, goal_type: GoalType, contact_id: str) -> _Fact:
        """What the walk consists of; nearly all of it matches a goal."""
        rng = self._rng
        match goal_type:
            case GoalType.FORM_SUBMITTED:
                data = form(PROMO_FORM, random_id(rng))
            case GoalType.APPOINTMENT_BOOKED:
                data = appointment(CONSULTATION, random_id(rng))
            case GoalType.PIPELINE_STAGE_REACHED:
                data = _stage(WON_STAGE if rng.random() < WON_SHARE else "negotiation", random_id(rng))
            case GoalType.PURCHASE_MADE:
                data = payment(rng.choice(("49.00", "100.00", "149.00", "149.00", "320.50")), CURRENCY, random_id(rng))
            case GoalType.TAG_ADDED:
                data = _tag(PURCHASED_TAG)
        return _Fact(topic=goal_type.event_type, contact_id=contact_id, data=data)

    def _everyday_fact(self) -> _Fact:
        """Something that matches no goal."""
        rng = self._rng
        goal_type = rng.choices(tuple(GoalType), (5, 3, 1, 4, 3))[0]
        match goal_type:
            case GoalType.FORM_SUBMITTED:
                data = form(rng.choice(("newsletter", "contact-us")), random_id(rng))
            case GoalType.APPOINTMENT_BOOKED:
                data = appointment("support", random_id(rng))
            case GoalType.PIPELINE_STAGE_REACHED:
                data = _stage(rng.choice(("qualified", "negotiation", "lost")), random_id(rng))
            case GoalType.PURCHASE_MADE:
                amount, currency = rng.choice((("9.90", CURRENCY), ("49.00", CURRENCY), ("250.00", "USD")))
                data = payment(amount, currency, random_id(rng))
            case GoalType.TAG_ADDED:
                data = _tag(rng.choice(("Newsletter", "Lead", "Webinar")))
        contact_id = rng.choice(self._world.contacts).contact_id
        return _Fact(topic=goal_type.event_type, contact_id=contact_id, data=data)

    def _elsewhere(self, now: float) -> Outgoing:
        """In the other account somebody with the same id does what would match here."""
        goal_type = self._rng.choice(tuple(GoalType))
        fact = self._story_fact(goal_type, self._rng.choice(self._world.contacts).contact_id)
        return self._record(fact, now, self._world.other_account_id)

    def _happened(self, fact: _Fact, now: float) -> Outgoing:
        """The record of a fact that happens now. Some come late: then another goes first."""
        record = self._record(fact, now, self._world.account_id)
        if fact.topic in EVENT_TOPICS and self._rng.random() < LATE_SHARE:
            self._later(now + self._minutes(*LATE_MINUTES), lambda at: replace(record, at_seconds=at))
            return self._happened(self._everyday_fact(), now)
        self._recent.append(record)
        return record

    def _record(self, fact: _Fact, now: float, account_id: str) -> Outgoing:
        data = {"contact_id": fact.contact_id, **fact.data}
        event_id = f"evt_{self._rng.getrandbits(64):016x}"
        headers: Headers = ()
        if fact.topic == GoalType.PURCHASE_MADE.event_type:
            trace = f"00-{self._rng.getrandbits(128):032x}-{self._rng.getrandbits(64):016x}-01"
            value, headers = cloudevent(fact.topic, event_id, account_id, self._time(now), data, traceparent=trace)
        else:
            value = envelope(fact.topic, event_id, account_id, self._time(now), data)
        return Outgoing(
            at_seconds=now,
            topic=fact.topic,
            key=fact.contact_id.encode(),
            value=value,
            headers=headers,
            is_event=fact.topic in EVENT_TOPICS and account_id == self._world.account_id,
        )

    def _status(self, workflow: Workflow, now: float) -> Outgoing:
        data = {
            "workflow_id": workflow.workflow_id,
            "name": workflow.name,
            "status": "active",
            "goal_logic": workflow.goal_logic,
        }
        event_id = f"evt_{self._rng.getrandbits(64):016x}"
        value = envelope(WORKFLOW_STATUS_CHANGED, event_id, self._world.account_id, self._time(0), data)
        return Outgoing(at_seconds=now, topic=WORKFLOW_STATUS_CHANGED, key=workflow.workflow_id.encode(), value=value)

    def _malformed_record(self, now: float) -> Outgoing:
        """A record that breaks the contract, each time in another way."""
        fact = self._everyday_fact()
        document = json.loads(
            envelope(fact.topic, f"bad_{self._malformed}", self._world.account_id, self._time(now), {})
        )
        document["data"] = {"contact_id": fact.contact_id, **fact.data}
        value = spoiled(document, self._malformed)
        self._malformed += 1
        return Outgoing(at_seconds=now, topic=fact.topic, key=fact.contact_id.encode(), value=value)

    def _later(self, at_seconds: float, what: Callable[[float], Outgoing]) -> None:
        self._scheduled += 1
        heapq.heappush(self._due, (at_seconds, self._scheduled, what))

    def _minutes(self, low: float, high: float) -> float:
        """Seconds of the story for a number of minutes of real life, rather shorter than longer."""
        return self._rng.triangular(low, high, low) * 60 / COMPRESSION

    def _time(self, now: float) -> str:
        return wire_time(self._start + timedelta(seconds=now))


def form(form_id: str, submission_id: str) -> dict[str, str]:
    return {"form_id": form_id, "submission_id": submission_id}


def appointment(calendar_id: str, appointment_id: str) -> dict[str, str]:
    return {"calendar_id": calendar_id, "service_id": "talk", "appointment_id": appointment_id}


def _stage(stage_id: str, opportunity_id: str) -> dict[str, str]:
    return {
        "opportunity_id": opportunity_id,
        "pipeline_id": PIPELINE,
        "stage_id": stage_id,
        "previous_stage_id": "new",
    }


def payment(amount: str, currency: str, payment_id: str) -> dict[str, str]:
    return {"payment_id": payment_id, "amount": amount, "currency": currency, "product_id": "course-1"}


def _tag(name: str) -> dict[str, str]:
    return {"tag_id": f"tag-{name.lower()}", "tag_name": name}

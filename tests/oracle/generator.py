"""Seeded histories in which everything happens at once: few ids, a compact time, and every rule of the contract in the way
of every other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from tests.oracle import notations
from tests.oracle.bad_records import ways_to_break
from tests.oracle.goal_stories import MAX_GOALS, data_for, goal_versions
from tests.oracle.history import (
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    REFERENCE_CHANGED,
    STATUS_CHANGED,
    TOPIC_OF_GOAL_TYPE,
    Fact,
    GoalVersion,
    History,
    Record,
    Wrapping,
    milliseconds,
    on_the_wire,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATENESS = timedelta(hours=72)

TICKS_OF_LATENESS = 24
"""Times stand on a grid of so many ticks, so that equal times and exact ends of intervals are common."""

TICKS = 18
"""Events occur within so many ticks. With delays a little above the lateness no record is older than twice the lateness,
so that neither a cleaning job nor the retention of a topic ever comes into play."""

TRIGGERS = 3
"""So many event ids are used much more than others, and by enrollments as their triggers."""

_ODDITIES = ["é", "€", "A", "~", "-9", "-10"]


def history(
    seed: int,
    size: int = 40,
    *,
    now: datetime = NOW,
    lateness: timedelta = LATENESS,
    merges: bool = True,
    references: bool = True,
    bad_records: bool = True,
) -> History:
    """A history of `size` records; the same arguments give the same bytes.

    All records lie between `now` minus twice the lateness and `now`; goals may be older. Accounts belong to the seed, all other
    ids are the same in every history, so that histories of several seeds can be joined. Without `merges` no contact is merged
    or deleted; without `references` there are no names of tags, forms and the like.
    """
    return _Storyteller(Random(seed), seed, size, now, lateness).tell(merges, references, bad_records)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """Who and what the story is about."""

    accounts: list[str]
    contacts: list[str]
    workflows: list[str]
    enrollments: list[str]
    events: list[str]


def _ids(kind: str, count: int) -> list[str]:
    return [f"{kind}000000-0000-4000-8000-{number:012d}" for number in range(count)]


def _cast(chance: Random, seed: int, size: int) -> _Cast:
    workflows = 1 + size // 300 + (size >= 10)
    return _Cast(
        accounts=[f"0a{number:06d}-0000-4000-8000-{seed:012x}" for number in range(1 + (size >= 15))],
        contacts=_ids("0c", 2 + size // 25),
        workflows=_ids("0d", workflows),
        enrollments=_ids("0e", 2 + size // 12),
        events=[f"evt{chance.choice([*_ODDITIES, ''])}{number}" for number in range(3 + size)],
    )


class _Storyteller:
    """Makes up one history."""

    def __init__(self, chance: Random, seed: int, size: int, now: datetime, lateness: timedelta) -> None:
        self._chance = chance
        self._size = size
        self._now = now
        self._lateness = lateness
        self._tick = timedelta(seconds=max(1, lateness // timedelta(seconds=TICKS_OF_LATENESS)))
        self._base = (now - 2 * lateness).replace(microsecond=0) + timedelta(seconds=1)
        self._cast = _cast(chance, seed, size)
        goal_ids = _ids("0f", MAX_GOALS * len(self._cast.workflows))
        self._goals: dict[str, list[GoalVersion]] = {
            account_id: goal_versions(chance, account_id, self._cast.workflows, goal_ids, self._base, self._tick)
            for account_id in self._cast.accounts
        }
        self._facts: list[Fact] = []
        self._ends: list[datetime] = [self._base + self._tick]

    def tell(self, merges: bool, references: bool, bad_records: bool) -> History:
        weights = {self._event: 46, self._start: 18, self._end: 8, self._status: 5, self._again: 13}
        if merges:
            weights |= {self._merge: 4, self._deletion: 2}
        if references:
            weights[self._reference] = 1
        tellers = [*weights]
        self._facts += [self._start(), self._event()]
        while len(self._facts) < self._size:
            (teller,) = self._chance.choices(tellers, list(weights.values()))
            self._facts.append(teller())
        self._chance.shuffle(self._facts)
        bad = self._chance.randrange(self._size // 8 + 2) if bad_records else 0
        records = [self._broken(fact) for fact in self._facts[:bad]] + [on_the_wire(fact) for fact in self._facts[bad:]]
        self._chance.shuffle(records)
        versions = tuple(version for several in self._goals.values() for version in several)
        return History(goal_versions=versions, records=tuple(records), now=self._now)

    def _moment(self, first: int = 1, last: int = TICKS) -> datetime:
        """Mostly on the grid; sometimes a little beside it."""
        beside = self._chance.choice([0] * 12 + [1, -1, 250_000, 999])
        return self._base + self._tick * self._chance.randint(first, last) + timedelta(microseconds=beside)

    def _delivered(self, moment: datetime) -> int:
        """When a record of that moment comes: at once, a little late, around the allowed lateness, or beyond it."""
        tick, late, least = self._tick, self._lateness, timedelta(milliseconds=1)
        delays = [timedelta(), tick, 3 * tick, 8 * tick, 16 * tick]
        delays += [late - tick, late - least, late, late + least, late + tick, late + 3 * tick]
        (delay,) = self._chance.choices(delays, [40, 20, 10, 6, 4, 3, 2, 3, 3, 2, 2])
        early = self._chance.random() < 0.05
        return min(milliseconds(moment - tick if early else moment + delay), milliseconds(self._now))

    def _account(self) -> str:
        return self._chance.choice([*self._cast.accounts[:1] * 2, *self._cast.accounts])

    def _fact(self, topic: str, moment: datetime, account_id: str, data: Mapping[str, object]) -> Fact:
        """An envelope in one of its many forms."""
        chance = self._chance
        events = self._cast.events if chance.random() < 0.8 else self._cast.events[:TRIGGERS]
        envelope: dict[str, object] = {"event_id": chance.choice(events), "event_type": topic}
        envelope |= {"account_id": notations.uuid(chance, account_id), "timestamp": notations.time(chance, moment)}
        envelope["data"] = {name: told for name, told in data.items() if told is not None or chance.random() < 0.5}
        wrapping = chance.choice([Wrapping.PLAIN, Wrapping.PLAIN, Wrapping.BINARY, Wrapping.STRUCTURED])
        if chance.random() < 0.05:
            del envelope["event_type"]
        if chance.random() < 0.05:
            envelope["timestamp"] = None
        if chance.random() < 0.05 and wrapping is Wrapping.PLAIN:
            del envelope["event_id"]
        if chance.random() < 0.05:
            envelope["data"] = {"unknown": [{"deep": None}, "\U0001f600", 1], **data}
        return Fact(
            topic=topic,
            timestamp=self._delivered(moment),
            envelope=envelope,
            wrapping=wrapping,
            source=None if wrapping is Wrapping.PLAIN else chance.choice(["/crm", "/shop", topic, None]),
        )

    def _contact(self) -> str:
        return notations.uuid(self._chance, self._chance.choice(self._cast.contacts))

    def _usual(self, number: int) -> tuple[str, str]:
        """The contact and the workflow that an enrollment usually has."""
        contacts, workflows = self._cast.contacts, self._cast.workflows
        return contacts[number % len(contacts)], workflows[number % len(workflows)]

    def _event(self) -> Fact:
        """Mostly by somebody who is enrolled, and for a goal of that workflow; sometimes in the moment of an end."""
        chance, account_id = self._chance, self._account()
        goals = self._goals[account_id]
        contact, workflow = self._usual(chance.randrange(len(self._cast.enrollments)))
        if chance.random() < 0.8:
            goals = [goal for goal in goals if goal.workflow_id == workflow]
        goal = chance.choice(goals)
        contact = contact if chance.random() < 0.8 else chance.choice(self._cast.contacts)
        data = {"contact_id": notations.uuid(chance, contact), **data_for(chance, goal)}
        moment = self._moment() if chance.random() < 0.8 else chance.choice(self._ends)
        return self._fact(TOPIC_OF_GOAL_TYPE[goal.goal_type], moment, account_id, data)

    def _start(self) -> Fact:
        """An enrollment has a usual contact and a usual workflow, which some starts contradict."""
        chance, cast, moment = self._chance, self._cast, self._moment(1, 10)
        number = chance.randrange(len(cast.enrollments))
        contact, workflow = self._usual(number)
        is_contradicting = chance.random() < 0.12
        data = {
            "enrollment_id": notations.uuid(chance, cast.enrollments[number]),
            "workflow_id": chance.choice(cast.workflows) if is_contradicting else workflow,
            "contact_id": self._contact() if is_contradicting else contact,
            "entered_at": chance.choice([None, notations.time(chance, moment), notations.time(chance, moment)]),
            "trigger_event_id": chance.choice([None, None, *self._cast.events[:TRIGGERS], "evt-elsewhere"]),
        }
        return self._fact(ENROLLMENT_STARTED, moment, self._account(), data)

    def _end(self) -> Fact:
        """Now and then before the start, or told ahead of its time."""
        chance, moment = self._chance, self._moment(self._chance.choice([1, 5, 5]))
        ended_at = chance.choice([moment, moment, moment + 3 * self._tick])
        self._ends.append(ended_at)
        data = {
            "enrollment_id": chance.choice(self._cast.enrollments),
            "ended_at": chance.choice([None, notations.time(chance, ended_at), notations.time(chance, ended_at)]),
            "reason": chance.choice([None, "completed", "goal_achieved", "goal_achieved"]),
            "contact_id": chance.choice([None, "not used"]),
        }
        return self._fact(ENROLLMENT_ENDED, moment, self._account(), data)

    def _status(self) -> Fact:
        chance = self._chance
        data = {
            "workflow_id": chance.choice(self._cast.workflows),
            "name": chance.choice([None, "Spring promo"]),
            "status": chance.choice(["active"] * 7 + ["inactive", "archived", "draft"]),
            "goal_logic": chance.choice([None, "any", "all", "all"]),
        }
        return self._fact(STATUS_CHANGED, self._moment(), self._account(), data)

    def _merge(self) -> Fact:
        data = {"contact_id": self._contact(), "into_contact_id": self._contact()}
        return self._fact(CONTACT_MERGED, self._moment(), self._account(), data)

    def _deletion(self) -> Fact:
        return self._fact(CONTACT_DELETED, self._moment(3), self._account(), {"contact_id": self._contact()})

    def _reference(self) -> Fact:
        kind, name = self._chance.choice([("tag", "Purchased"), ("form", "Contact us"), ("stage", "Won")])
        parent = "pipe-1" if kind == "stage" else None
        data = {"kind": kind, "id": f"{kind}-1", "name": name, "parent_id": parent}
        return self._fact(REFERENCE_CHANGED, self._moment(), self._account(), data)

    def _again(self) -> Fact:
        """An earlier fact once more: as it was, or different in one of the things that could be told otherwise."""
        chance = self._chance
        fact = chance.choice(self._facts)
        moment, envelope, data = self._moment(), fact.envelope, fact.envelope["data"]
        assert isinstance(data, dict)
        match chance.choice(["copy", "late copy", "time", "event", "account", "source", "wrapping", *["field"] * 4]):
            case "late copy":
                return replace(fact, timestamp=max(fact.timestamp, self._delivered(moment)))
            case "time":
                envelope = {**envelope, "timestamp": notations.time(chance, moment)}
                return replace(fact, envelope=envelope, timestamp=self._delivered(moment))
            case "event":
                contradiction = {**data, **self._contradiction(fact.topic, data)}
                return replace(
                    fact, envelope={**envelope, "event_id": chance.choice(self._cast.events), "data": contradiction}
                )
            case "account":
                return replace(fact, envelope={**envelope, "account_id": self._account()})
            case "source" if fact.wrapping is not Wrapping.PLAIN:
                return replace(fact, source=chance.choice(["/crm", "/shop"]))
            case "wrapping":
                envelope = {"event_id": chance.choice(self._cast.events), **envelope}
                return replace(fact, envelope=envelope, wrapping=chance.choice([*Wrapping]))
            case "field":
                return replace(fact, envelope={**envelope, "data": {**data, **self._contradiction(fact.topic, data)}})
        return fact

    def _contradiction(self, topic: str, data: Mapping[str, object]) -> dict[str, object]:
        """Another value for one of the fields."""
        chance, cast = self._chance, self._cast
        others: dict[str, list[object]] = {
            "contact_id": [self._contact()],
            "into_contact_id": [self._contact()],
            "workflow_id": [*cast.workflows],
            "trigger_event_id": [*cast.events[:TRIGGERS]],
            "reason": ["completed", "goal_achieved", None],
            "status": ["active", "inactive"],
            "goal_logic": ["any", "all", None],
            "amount": [1, "100", "150.0"],
            "tag_id": ["tag-1", "tag-2", None],
        }
        if topic == ENROLLMENT_ENDED:
            return {"reason": chance.choice(others["reason"])}
        name = chance.choice([name for name in others if name in data] or ["name"])
        return {name: chance.choice(others.get(name, [None]))}

    def _broken(self, fact: Fact) -> Record:
        _, broken = self._chance.choice(ways_to_break(fact))
        return broken(fact)

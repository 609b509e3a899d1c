"""Turns records into sentences and counts: what was decided and, where nothing was, why not. Pure; remembers what it was shown."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from goalstream.dev.records import YOURS
from goalstream.dev.sentences import difference, goal_title, printable
from goalstream.dev.world import World
from goalstream.domain.events import Event
from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, WorkflowStatus
from goalstream.domain.goals import Criteria, GoalType, parse_criteria
from goalstream.domain.messages import (
    GOAL_ACHIEVED_TOPIC,
    GOAL_CONFIGURED_TOPIC,
    GOAL_EXIT_TOPIC,
    GOAL_REVOKED_TOPIC,
)
from goalstream.errors import InvalidRecord
from goalstream.streams.codec import decode
from goalstream.streams.ports import PlacedRecord
from goalstream.streams.topics import DEAD_LETTER, READ_TOPICS

MEMORY = 20_000
"""How many events, enrollments and achievements are remembered, each."""

HOLD_MS = 1_000
"""For so long an enrollment may still be read after an event that it was recorded before: topics have no order among them."""

LATENCIES = 1_000
"""Percentiles are told of so many achievements, the last ones."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Kind(StrEnum):
    """What a line is about."""

    ACHIEVED = "achieved"
    EXIT = "exit"
    REVOKED = "revoked"
    DUPLICATE = "duplicate"
    DEAD_LETTER = "dead letter"
    NO_MATCH = "no match"
    NOT_COUNTED = "not counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One sentence. `is_yours`: about what the person at the terminal sent, or somebody else outside the story."""

    kind: Kind
    text: str
    is_yours: bool = False


@dataclass(slots=True, kw_only=True)
class GoalCount:
    """What was seen of a goal: events of its type, those that fulfil it, achievements, and events that came again."""

    workflow: str = ""
    title: str = ""
    enrolled: int = 0
    seen: int = 0
    matched: int = 0
    achieved: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something that `goalstream explain` can be asked about."""

    contact_id: str
    goal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goal:
    account_id: str
    workflow_id: str
    goal_id: str
    goal_type: GoalType
    criteria: Criteria


class Narrator:
    """Tells what it sees on the topics.

    `counts` holds every line's kind, and `events` read; `latencies_ms` how long after its event's record an achievement was
    published; `question` is the last thing worth asking about.
    """

    def __init__(self, world: World) -> None:
        self.counts: Counter[str] = Counter()
        self.latencies_ms: deque[int] = deque(maxlen=LATENCIES)
        self.question: Question | None = None
        self._people = {contact.contact_id: contact.name for contact in world.contacts}
        self._workflows = {workflow.workflow_id: workflow.name for workflow in world.workflows}
        self._goals: dict[str, _Goal] = {}
        self._goal_counts: dict[str, GoalCount] = {}
        self._enrolled_in: Counter[str] = Counter()
        self._yours: set[str] = set()
        self._seen: dict[tuple[str, str, str], int] = {}
        self._enrolled: dict[tuple[str, str, str], str] = {}
        self._places: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._achieved: dict[tuple[str, str], tuple[str, str]] = {}
        self._triggers: dict[tuple[str, str, str], None] = {}
        self._held: deque[tuple[int, Event, _Goal]] = deque()

    def introduce(self, contact_id: str, name: str) -> None:
        """Tells the name of somebody outside the story."""
        self._people[contact_id] = name
        self._yours.add(contact_id)

    def goal_counts(self) -> list[GoalCount]:
        """Of every goal that can be achieved now; goals of a workflow stand together."""
        rows = [
            replace(
                self._goal_counts[goal.goal_id],
                workflow=self._workflow(goal.workflow_id),
                title=goal_title(goal.criteria),
                enrolled=self._enrolled_in[goal.workflow_id],
            )
            for goal in self._goals.values()
        ]
        order = {workflow: number for number, workflow in reversed([*enumerate(row.workflow for row in rows)])}
        return sorted(rows, key=lambda row: order[row.workflow])

    def configure(self, goal: Mapping[str, Any]) -> None:
        """Learns of a goal, in the form in which `workflow.goal.configured` tells of it."""
        if goal.get("deleted") or not goal["is_active"]:
            self._goals.pop(goal["id"], None)
            return
        goal_type = GoalType(goal["goal_type"])
        self._goals[goal["id"]] = _Goal(
            account_id=goal["account_id"],
            workflow_id=goal["workflow_id"],
            goal_id=goal["id"],
            goal_type=goal_type,
            criteria=parse_criteria(goal_type, goal["criteria"]),
        )
        self._goal_counts.setdefault(goal["id"], GoalCount())

    def tell(self, record: PlacedRecord) -> Line | None:
        """A sentence about a record, where there is one to say now; see `overdue`."""
        line = self._read(record) if record.topic in READ_TOPICS else self._written(record)
        if line is not None:
            self.counts[line.kind] += 1
        return line

    def overdue(self, timestamp: int) -> list[Line]:
        """What had to wait for facts that could still come; `timestamp` is a later record's."""
        lines = []
        while self._held and self._held[0][0] + HOLD_MS <= timestamp:
            _, event, goal = self._held.popleft()
            is_enrolled = (event.account_id, event.contact_id, goal.workflow_id) in self._enrolled
            if not is_enrolled and (event.account_id, event.source, event.event_id) not in self._triggers:
                self.question = Question(contact_id=event.contact_id, goal_id=goal.goal_id)
                text = f"{goal_title(goal.criteria)} does not count: not in {self._workflow(goal.workflow_id)}"
                lines.append(self._line(Kind.NOT_COUNTED, {"contact_id": event.contact_id}, text))
                self.counts[Kind.NOT_COUNTED] += 1
        return lines

    def _written(self, record: PlacedRecord) -> Line | None:
        if record.topic == DEAD_LETTER:
            return self._dead_letter(record)
        document = json.loads(record.value or b"{}")
        if record.topic == GOAL_CONFIGURED_TOPIC:
            self.configure(document)
        elif record.topic == GOAL_ACHIEVED_TOPIC:
            return self._achievement(document, record.timestamp)
        elif record.topic == GOAL_REVOKED_TOPIC:
            self._achieved.pop((document["workflow_enrollment_id"], document["goal_config_id"]), None)
            self._count(document["goal_config_id"]).achieved -= 1
            text = f"did not achieve {self._goal_of(document)} after all: {document['revoked_reason']}"
            return self._line(Kind.REVOKED, document, text)
        elif record.topic == GOAL_EXIT_TOPIC:
            return self._line(Kind.EXIT, document, f"leaves {self._workflow(document['workflow_id'])}: exit sent")
        return None

    def _achievement(self, document: Mapping[str, Any], timestamp: int) -> Line:
        trigger, goal_id = document["trigger_event"], document["goal_config_id"]
        achievement = (document["workflow_enrollment_id"], goal_id)
        _remember(self._achieved, achievement, (trigger["source"], trigger["event_id"]))
        identity = (document["account_id"], trigger["source"], trigger["event_id"])
        _remember(self._triggers, identity, None)
        came = self._seen.get(identity)
        if came is not None:
            self.latencies_ms.append(max(timestamp - came, 0))
        self._count(goal_id).achieved += 1
        if self.question is None:
            self.question = Question(contact_id=document["contact_id"], goal_id=goal_id)
        progress, late = document["progress"], ", late" if document["metadata"]["late"] else ""
        done = f"({progress['met']} of {progress['required']}{late})"
        return self._line(Kind.ACHIEVED, document, f"achieved {self._goal_of(document)} {done}")

    def _read(self, record: PlacedRecord) -> Line | None:
        self.counts["events"] += 1
        try:
            fact = decode(record.topic, record)
        except InvalidRecord:
            return None  # the dead-letter topic tells of it
        match fact:
            case Event():
                return self._event(fact, record.timestamp, is_yours=YOURS in record.headers)
            case EnrollmentStart():
                place = (fact.account_id, fact.contact_id, fact.workflow_id)
                if (fact.account_id, fact.enrollment_id) not in self._places:
                    self._enrolled_in[fact.workflow_id] += 1
                _remember(self._enrolled, place, fact.enrollment_id)
                _remember(self._places, (fact.account_id, fact.enrollment_id), place)
            case EnrollmentEnd():
                ended = self._places.pop((fact.account_id, fact.enrollment_id), None)
                if ended is not None and self._enrolled.get(ended) == fact.enrollment_id:
                    del self._enrolled[ended]
            case WorkflowStatus(name=str(name)):
                self._workflows[fact.workflow_id] = name
        return None

    def _event(self, event: Event, timestamp: int, *, is_yours: bool) -> Line | None:
        who = {"contact_id": event.contact_id}
        goals = [g for g in self._goals.values() if g.account_id == event.account_id]
        of_type = [goal for goal in goals if goal.goal_type.event_type == event.event_type]
        identity = (event.account_id, event.source, event.event_id)
        if identity in self._seen:
            for goal in of_type:
                self._count(goal.goal_id).duplicates += 1
            text = f"{event.event_type} came again: ignored ({printable(event.event_id)})"
            return self._line(Kind.DUPLICATE, who, text, is_yours=is_yours)
        _remember(self._seen, identity, timestamp)
        if not goals:
            text = f"{event.event_type} in account {event.account_id[:8]}, which has no goals: does not count"
            return self._line(Kind.NO_MATCH, who, text)
        if not of_type:
            return self._line(Kind.NO_MATCH, who, f"{event.event_type}: no goal asks for it")
        for goal in of_type:
            self._count(goal.goal_id).seen += 1
        matched = [goal for goal in of_type if difference(event, goal.criteria) is None]
        if not matched:
            return self._line(Kind.NO_MATCH, who, str(difference(event, of_type[0].criteria)))
        for goal in matched:
            self._count(goal.goal_id).matched += 1
        return self._matched(event, matched[0], timestamp)

    def _matched(self, event: Event, goal: _Goal, timestamp: int) -> Line | None:
        """Nothing where the achievement is still to come, or the enrollment; else why it will not."""
        enrollment_id = self._enrolled.get((event.account_id, event.contact_id, goal.workflow_id))
        if enrollment_id is None:
            self._held.append((timestamp, event, goal))
            return None
        trigger = self._achieved.get((enrollment_id, goal.goal_id))
        if trigger is None or trigger == (event.source, event.event_id):
            return None
        self.question = Question(contact_id=event.contact_id, goal_id=goal.goal_id)
        text = f"{goal_title(goal.criteria)} again: achieved before in {self._workflow(goal.workflow_id)}"
        return self._line(Kind.NOT_COUNTED, {"contact_id": event.contact_id}, text)

    def _dead_letter(self, record: PlacedRecord) -> Line:
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        where = f"{headers.get('goalstream_topic')} [{headers.get('goalstream_partition')}]"
        why = f"{headers.get('goalstream_reason')}, {printable(headers.get('goalstream_error'))}"
        return Line(kind=Kind.DEAD_LETTER, text=f"{where} offset {headers.get('goalstream_offset')} set aside: {why}")

    def _line(self, kind: Kind, who: Mapping[str, Any], text: str, *, is_yours: bool = False) -> Line:
        contact_id = who["contact_id"]
        name = self._people.get(contact_id)
        is_yours = is_yours or name is None or contact_id in self._yours
        return Line(kind=kind, text=f"{name or f'contact {contact_id[:8]}'}: {text}", is_yours=is_yours)

    def _count(self, goal_id: str) -> GoalCount:
        return self._goal_counts.setdefault(goal_id, GoalCount())

    def _goal_of(self, document: Mapping[str, Any]) -> str:
        goal = self._goals.get(document["goal_config_id"])
        title = goal_title(goal.criteria) if goal else f"goal {document['goal_config_id'][:8]}"
        return f"{title} in {self._workflow(document['workflow_id'])}"

    def _workflow(self, workflow_id: str) -> str:
        return printable(self._workflows.get(workflow_id, f"workflow {workflow_id[:8]}"))


def _remember(memory: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Puts something into a memory that forgets its oldest."""
    memory[key] = value
    if len(memory) > MEMORY:
        del memory[next(iter(memory))]

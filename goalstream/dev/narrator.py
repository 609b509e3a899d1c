"""Turns records into sentences: what was decided and, where nothing was, why not. Pure; remembers what it was shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

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
    """One sentence. `is_foreign`: about somebody who is not of the demo's people, so of interest to whoever sent it."""

    kind: Kind
    text: str
    is_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goal:
    account_id: str
    workflow_id: str
    goal_id: str
    goal_type: GoalType
    criteria: Criteria


class Narrator:
    """Tells what it sees on the topics. `counts` holds every line's kind, and `events` read."""

    def __init__(self, world: World) -> None:
        self.counts: Counter[str] = Counter()
        self._people = {contact.contact_id: contact.name for contact in world.contacts}
        self._workflows = {workflow.workflow_id: workflow.name for workflow in world.workflows}
        self._goals: dict[str, _Goal] = {}
        self._seen: dict[tuple[str, str, str], None] = {}
        self._enrolled: dict[tuple[str, str, str], str] = {}
        self._places: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._achieved: dict[tuple[str, str], tuple[str, str]] = {}

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

    def tell(self, record: PlacedRecord) -> Line | None:
        """A sentence about a record, where there is one to say."""
        line = self._read(record) if record.topic in READ_TOPICS else self._written(record)
        if line is not None:
            self.counts[line.kind] += 1
        return line

    def _written(self, record: PlacedRecord) -> Line | None:
        if record.topic == DEAD_LETTER:
            return self._dead_letter(record)
        document = json.loads(record.value or b"{}")
        if record.topic == GOAL_CONFIGURED_TOPIC:
            self.configure(document)
        elif record.topic == GOAL_ACHIEVED_TOPIC:
            return self._achievement(document)
        elif record.topic == GOAL_REVOKED_TOPIC:
            self._achieved.pop((document["workflow_enrollment_id"], document["goal_config_id"]), None)
            text = f"did not achieve {self._goal_of(document)} after all: {document['revoked_reason']}"
            return self._line(Kind.REVOKED, document, text)
        elif record.topic == GOAL_EXIT_TOPIC:
            return self._line(Kind.EXIT, document, f"leaves {self._workflow(document['workflow_id'])}: exit sent")
        return None

    def _achievement(self, document: Mapping[str, Any]) -> Line:
        trigger = document["trigger_event"]
        achievement = (document["workflow_enrollment_id"], document["goal_config_id"])
        _remember(self._achieved, achievement, (trigger["source"], trigger["event_id"]))
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
                return self._event(fact)
            case EnrollmentStart():
                place = (fact.account_id, fact.contact_id, fact.workflow_id)
                _remember(self._enrolled, place, fact.enrollment_id)
                _remember(self._places, (fact.account_id, fact.enrollment_id), place)
            case EnrollmentEnd():
                ended = self._places.pop((fact.account_id, fact.enrollment_id), None)
                if ended is not None and self._enrolled.get(ended) == fact.enrollment_id:
                    del self._enrolled[ended]
            case WorkflowStatus(name=str(name)):
                self._workflows[fact.workflow_id] = name
        return None

    def _event(self, event: Event) -> Line | None:
        who = {"contact_id": event.contact_id}
        identity = (event.account_id, event.source, event.event_id)
        if identity in self._seen:
            return self._line(
                Kind.DUPLICATE, who, f"{event.event_type} {printable(event.event_id)} came again: ignored"
            )
        _remember(self._seen, identity, None)
        goals = [g for g in self._goals.values() if g.account_id == event.account_id]
        if not goals:
            text = f"{event.event_type} in account {event.account_id[:8]}, which has no goals: does not count"
            return self._line(Kind.NO_MATCH, who, text)
        of_type = [goal for goal in goals if goal.goal_type.event_type == event.event_type]
        if not of_type:
            return self._line(Kind.NO_MATCH, who, f"{event.event_type}: no goal asks for it")
        matched = [goal for goal in of_type if difference(event, goal.criteria) is None]
        if not matched:
            return self._line(Kind.NO_MATCH, who, str(difference(event, of_type[0].criteria)))
        return self._matched(event, matched[0], who)

    def _matched(self, event: Event, goal: _Goal, who: Mapping[str, str]) -> Line | None:
        """Nothing where the achievement is still to come; else why it will not."""
        title, workflow = goal_title(goal.criteria), self._workflow(goal.workflow_id)
        enrollment_id = self._enrolled.get((event.account_id, event.contact_id, goal.workflow_id))
        if enrollment_id is None:
            return self._line(Kind.NOT_COUNTED, who, f"{title} does not count: not in {workflow}")
        trigger = self._achieved.get((enrollment_id, goal.goal_id))
        if trigger is not None and trigger != (event.source, event.event_id):
            return self._line(Kind.NOT_COUNTED, who, f"{title} again: achieved before in {workflow}")
        return None

    def _dead_letter(self, record: PlacedRecord) -> Line:
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        where = f"{headers.get('goalstream_topic')} [{headers.get('goalstream_partition')}]"
        why = f"{headers.get('goalstream_reason')}, {printable(headers.get('goalstream_error'))}"
        return Line(kind=Kind.DEAD_LETTER, text=f"{where} offset {headers.get('goalstream_offset')} set aside: {why}")

    def _line(self, kind: Kind, who: Mapping[str, Any], text: str) -> Line:
        contact_id = who["contact_id"]
        name = self._people.get(contact_id)
        return Line(kind=kind, text=f"{name or f'contact {contact_id[:8]}'}: {text}", is_foreign=name is None)

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

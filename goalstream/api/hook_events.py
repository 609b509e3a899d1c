"""From a body to the events that a hook makes of it, each with what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goalstream.api.events import Intake, Outcome
from goalstream.domain.ids import hook_event_id
from goalstream.domain.mappings import POINTER, Mapped, MappedEvent
from goalstream.errors import Problem
from goalstream.storage.codecs import encode_json


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvents:
    """Events as they would be sent, what is wrong with each, and what is wrong with the mapping for this body."""

    shown: Sequence[dict[str, Any]]
    documents: Sequence[bytes]
    outcomes: Sequence[Outcome]
    problems: Sequence[Problem]

    @property
    def all_problems(self) -> list[Problem]:
        """With pointers into the mapping, and into the events."""
        return [*self.problems, *problems_of_events(self.outcomes)]


def make_events(intake: Intake, mapped: Mapped, *, account_id: str, hook_id: str, call_id: str) -> HookEvents:
    """The events of a call, held against their contracts."""
    shown = [_document(event, hook_id, call_id) for event in mapped.events]
    problems = list(mapped.problems)
    documents = []
    for event, document in zip(mapped.events, shown, strict=True):
        try:
            documents.append(encode_json(document).encode())
        except ValueError:  # a number of thousands of digits
            problems.append(Problem(f"{POINTER}/events/{event.rule}", "makes what JSON cannot hold"))
            documents.append(b"{}")
    return HookEvents(shown=shown, documents=documents, outcomes=intake.check(account_id, documents), problems=problems)


def problems_of_events(outcomes: Sequence[Outcome]) -> list[Problem]:
    """What is wrong with events, with pointers into the array of them."""
    return [
        Problem(f"/events/{place}{problem.pointer}", problem.message, problem.unquoted)
        for place, outcome in enumerate(outcomes)
        for problem in outcome.problems
    ]


def _document(event: MappedEvent, hook_id: str, call_id: str) -> dict[str, Any]:
    """The event in its plain envelope; its id is the same whenever the call is repeated."""
    document: dict[str, Any] = {
        "event_type": event.event_type,
        "event_id": event.event_id or hook_event_id(hook_id, call_id, event.rule),
    }
    if event.timestamp is not None:
        document["timestamp"] = event.timestamp
    return document | {"data": event.data}

"""Mappings: how a body that another system sends becomes events, declared as data. Every leaf is a JMESPath expression."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as Members
from typing import Any

from goalstream.domain.expressions import Expression, Work, ask, compile_expression, is_true
from goalstream.domain.texts import MAX_TEXT_LENGTH
from goalstream.domain.values import value
from goalstream.errors import InvalidMapping, Problem

MOST_RULES = 20
MOST_FIELDS = 50
"""Of one event."""

POINTER = "/mapping"
"""Where a mapping stands in what a problem points into."""

_KNOWN = ("call_id", "events")
_KNOWN_OF_RULE = ("when", "event_type", "event_id", "timestamp", "data")


@value
class Rule:
    """What makes one event of a body, where `when` is true; without it, always."""

    event_type: str
    when: Expression | None
    event_id: Expression | None
    timestamp: Expression | None
    data: tuple[tuple[str, Expression], ...]


@value
class Mapping:
    """What makes the events of a body; `call_id` finds the sender's own id of what it tells."""

    call_id: Expression | None
    rules: tuple[Rule, ...]


@value
class MappedEvent:
    """An event that a body becomes. `rule` is the place of what made it; what is None is not told."""

    rule: int
    event_type: str
    event_id: str | None
    timestamp: object
    data: dict[str, Any]


@value
class Mapped:
    """What a body becomes, and what went wrong on the way, with pointers to the expressions."""

    call_id: str | None
    events: tuple[MappedEvent, ...]
    problems: tuple[Problem, ...]


def parse_mapping(document: object, *, event_types: Collection[str]) -> Mapping:
    """The mapping that a document declares. Raises InvalidMapping with everything that is wrong."""
    problems: list[Problem] = []
    members = _members(document, POINTER, _KNOWN, problems)
    call_id = _expression(members, "call_id", POINTER, problems)
    listed = members.get("events")
    rules = []
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_RULES:
        if isinstance(document, dict):
            problems.append(Problem(f"{POINTER}/events", f"must be an array of 1 to {MOST_RULES} rules"))
    else:
        rules = [_rule(one, f"{POINTER}/events/{place}", event_types, problems) for place, one in enumerate(listed)]
    if problems:
        raise InvalidMapping(*problems)
    return Mapping(call_id=call_id, rules=tuple(rules))


def apply(mapping: Mapping, body: object) -> Mapped:
    """What a body becomes. Never raises: what cannot be worked out is a problem."""
    found = _Found(body)
    call_id = _identity(found.of(mapping.call_id, f"{POINTER}/call_id"))
    events = []
    for place, rule in enumerate(mapping.rules):
        pointer = f"{POINTER}/events/{place}"
        if rule.when is not None and not is_true(found.of(rule.when, f"{pointer}/when")):
            continue
        told = {name: found.of(expression, f"{pointer}/data/{_escaped(name)}") for name, expression in rule.data}
        events.append(
            MappedEvent(
                rule=place,
                event_type=rule.event_type,
                event_id=_identity(found.of(rule.event_id, f"{pointer}/event_id")),
                timestamp=found.of(rule.timestamp, f"{pointer}/timestamp"),
                data={name: said for name, said in told.items() if said is not None},
            )
        )
    return Mapped(call_id=call_id, events=tuple(events), problems=tuple(found.problems))


class _Found:
    """What expressions find in a body, with one measure of work for all of them."""

    def __init__(self, body: object) -> None:
        self._body = body
        self._work = Work()
        self.problems: list[Problem] = []

    def of(self, expression: Expression | None, pointer: str) -> Any:
        if expression is None:
            return None
        try:
            return ask(expression, self._body, self._work)
        except ValueError as error:
            self.problems.append(Problem(pointer, str(error)))
            return None


def _rule(document: object, pointer: str, event_types: Collection[str], problems: list[Problem]) -> Rule:
    members = _members(document, pointer, _KNOWN_OF_RULE, problems)
    event_type = members.get("event_type")
    if isinstance(document, dict) and event_type not in event_types:
        problems.append(Problem(f"{pointer}/event_type", f"must be one of: {', '.join(event_types)}"))
    data = members.get("data")
    if isinstance(document, dict) and not (isinstance(data, dict) and 0 < len(data) <= MOST_FIELDS):
        problems.append(Problem(f"{pointer}/data", f"must be an object of 1 to {MOST_FIELDS} expressions"))
        data = None
    fields = data if isinstance(data, dict) else {}
    return Rule(
        event_type=str(event_type),
        when=_expression(members, "when", pointer, problems),
        event_id=_expression(members, "event_id", pointer, problems),
        timestamp=_expression(members, "timestamp", pointer, problems),
        data=tuple(
            (name, expression)
            for name in fields
            if (expression := _expression(fields, name, f"{pointer}/data", problems)) is not None
        ),
    )


def _members(document: object, pointer: str, known: tuple[str, ...], problems: list[Problem]) -> Members[str, Any]:
    if not isinstance(document, dict):
        problems.append(Problem(pointer, "must be an object"))
        return {}
    problems += (
        Problem(f"{pointer}/{_escaped(name)}", f"Unknown field; known: {', '.join(known)}")
        for name in document
        if name not in known
    )
    return document


def _expression(members: Members[str, Any], name: str, pointer: str, problems: list[Problem]) -> Expression | None:
    text = members.get(name)
    if text is None:
        return None
    try:
        if not isinstance(text, str):
            raise ValueError("must be a JMESPath expression, as text")
        return compile_expression(text)
    except ValueError as error:
        problems.append(Problem(f"{pointer}/{_escaped(name)}", str(error)))
        return None


def _identity(found: object) -> str | None:
    """An id, which may be a number where it comes from; None for what is none, or too long."""
    text = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
    return text if isinstance(text, str) and 0 < len(text) <= MAX_TEXT_LENGTH else None


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")

"""JSON Schemas of request bodies, which are parsed by hand to keep the digits of their numbers.

They say what JSON Schema can say; what depends on several values (an `any_*` beside other keys, the longest duration) is
told by the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from goalstream.domain.goals import CRITERIA_OF, GoalType
from goalstream.domain.texts import MAX_TEXT_LENGTH

Schema = dict[str, Any]

LETTER_ID = r"^[0-9]{1,18}:[0-9]{1,18}$"
"""Partition and offset."""

MOST_LETTERS = 1_000
"""Dead letters that are named by their ids in one request."""

_ID: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH, "pattern": r"\S"}
_FLAG: Schema = {"type": ["boolean", "null"], "description": "alone: no other key beside it"}
_KEYS: Mapping[str, Schema] = {
    "min_amount": {
        "type": ["string", "number", "null"],
        "minimum": 0,
        "pattern": r"^[0-9]{1,20}(\.[0-9]{1,10})?$",
        "description": "inclusive; a decimal, never rounded",
        "examples": ["150.00"],
    },
    "currency": {"type": ["string", "null"], "pattern": "^[A-Za-z]{3}$", "examples": ["EUR"]},
    "any_purchase": _FLAG,
    "any_appointment": _FLAG,
}
_DURATION: Schema = {
    "type": ["string", "null"],
    "pattern": r"^P([0-9]{1,4}W|(?=.)([0-9]{1,4}D)?(T(?=[0-9])([0-9]{1,6}H)?([0-9]{1,6}M)?([0-9]{1,6}S)?)?)$",
    "examples": ["P7D", "PT36H"],
}
_WINDOW = _DURATION | {"description": "achieved within this time of the entry; at most P3650D, null: at any time"}
_MEASURE_AFTER_EXIT = _DURATION | {"description": "how long after the exit events still count; at most P90D"}


def _criteria(goal_type: GoalType) -> Schema:
    kind = CRITERIA_OF[goal_type]
    required = [field.name for field in fields(kind) if field.default is MISSING]
    properties = {}
    for field in fields(kind):
        text = _ID if field.name in required else _ID | {"type": ["string", "null"]}
        properties[field.name] = _KEYS.get(field.name, text)
    schema: Schema = {
        "title": kind.__name__,
        "type": "object",
        "description": (kind.__doc__ or "") + " null means absent; at least one key must have an effect.",
        "additionalProperties": False,
        "properties": properties,
        "minProperties": 1,
    }
    return schema | {"required": required} if required else schema


def _new_goal(goal_type: GoalType) -> Schema:
    return {
        "title": goal_type.value,
        "type": "object",
        "required": ["goal_type", "criteria"],
        "additionalProperties": False,
        "properties": {
            "goal_type": {"type": "string", "const": goal_type.value},
            "criteria": _ref(CRITERIA_OF[goal_type].__name__),
            "window": _WINDOW,
            "measure_after_exit": _MEASURE_AFTER_EXIT,
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_EVENT: Schema = {
    "event_type": "payment.completed",
    "event_id": "order-17",
    "timestamp": "2026-03-10T12:00:00Z",
    "data": {"contact_id": "cccccccc-0000-4000-8000-000000000001", "amount": "49.00", "currency": "EUR"},
}


def _letters(title: str, *required: str, **properties: Schema) -> Schema:
    dry_run = {"type": "boolean", "description": "only tell what would be done"}
    return {
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": {**properties, "dry_run": dry_run},
        "anyOf": [{"required": [name]} for name in required],
    }


_LETTER_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH}
_MOMENT: Schema = {"type": "string", "format": "date-time"}

SCHEMAS: Mapping[str, Schema] = {
    **{CRITERIA_OF[goal_type].__name__: _criteria(goal_type) for goal_type in GoalType},
    "NewGoal": {
        "title": "NewGoal",
        "oneOf": [_new_goal(goal_type) for goal_type in GoalType],
        "examples": [{"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}, "window": "P7D"}],
    },
    "GoalChanges": {
        "title": "GoalChanges",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "criteria": {"anyOf": [_ref(kind.__name__) for kind in CRITERIA_OF.values()]},
            "is_active": {"type": "boolean"},
            "window": _WINDOW,
            "measure_after_exit": _MEASURE_AFTER_EXIT,
        },
        "examples": [{"is_active": False}],
    },
    "Event": {
        "title": "Event",
        "type": "object",
        "description": "An event in its plain envelope, as here, or as a CloudEvent with `type`, `id` and `accountid`. The AsyncAPI"
        " document and `goalstream schemas show TOPIC` tell the members of `data`.",
        "required": ["data"],
        "properties": {
            "event_type": {
                "type": "string",
                "description": "the topic that it goes to",
                "examples": ["payment.completed"],
            },
            "event_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_TEXT_LENGTH,
                "description": "what it is known by when it comes again",
            },
            "account_id": {"type": "string", "format": "uuid", "description": "the token's, which it is without it"},
            "timestamp": {"type": "string", "description": "when it happened, RFC 3339; now without it"},
            "data": {
                "type": "object",
                "required": ["contact_id"],
                "properties": {"contact_id": {"type": "string", "format": "uuid"}},
            },
        },
        "examples": [_EVENT],
    },
    "Events": {
        "title": "Events",
        "oneOf": [_ref("Event"), {"type": "array", "items": _ref("Event"), "minItems": 1, "maxItems": 500}],
        "examples": [_EVENT, [_EVENT]],
    },
    "LetterChoice": {
        "title": "LetterChoice",
        "oneOf": [
            _letters(
                "by ids",
                "ids",
                ids={
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MOST_LETTERS,
                    "items": {"type": "string", "pattern": LETTER_ID},
                },
            ),
            _letters(
                "by what they are",
                *("reason", "topic", "since", "until"),
                reason=_LETTER_TEXT,
                topic=_LETTER_TEXT | {"description": "that the records came from, with its prefix or without"},
                since=_MOMENT | {"description": "set aside at or after this time"},
                until=_MOMENT | {"description": "set aside before this time"},
            ),
        ],
        "examples": [{"reason": "bad_time", "since": "2026-03-10T00:00:00Z"}, {"ids": ["2:17"], "dry_run": True}],
    },
}
"""What request bodies hold, by the names under which the OpenAPI document has them."""


def body(name: str, *content_types: str) -> Schema:
    """The description of a request body, for a route that reads it by hand; it is JSON unless its types are named."""
    content = {content_type: {"schema": _ref(name)} for content_type in content_types or ("application/json",)}
    return {"requestBody": {"required": True, "content": content}}

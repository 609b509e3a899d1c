"""JSON Schemas of request bodies about hooks, which are parsed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goalstream.api.rotation import MOST_OVERLAP_SECONDS
from goalstream.domain.expressions import MOST_CHARACTERS
from goalstream.domain.mappings import MOST_FIELDS, MOST_RULES
from goalstream.domain.presets import PresetName
from goalstream.domain.signing import Scheme
from goalstream.domain.topics import READ_TOPICS

Schema = dict[str, Any]

_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": r"\S", "examples": ["Shop"]}
_SECRET: Schema = {
    "type": ["string", "null"],
    "minLength": 8,
    "maxLength": 255,
    "description": "what the other system signs with; of the scheme `standard` one is made without it",
}
_EXPRESSION: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": MOST_CHARACTERS}
_PRESET: Schema = {"type": ["string", "null"], "enum": [*PresetName, None]}
_MAPPING: Schema = {"$ref": "#/components/schemas/Mapping"}
_NO_OR_MAPPING: Schema = {"anyOf": [_MAPPING, {"type": "null"}]}
_ORDER: Schema = {
    "type": "order.paid",
    "order": {
        "id": "order-17",
        "paid_at": "2026-03-10T12:00:00Z",
        "total": "49.00",
        "currency": "EUR",
        "customer": {"crm_id": "cccccccc-0000-4000-8000-000000000001"},
    },
}


def _object(title: str, required: list[str], **properties: Any) -> Schema:
    return {
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


HOOK_SCHEMAS: Mapping[str, Schema] = {
    "MappingRule": _object(
        "MappingRule",
        ["event_type", "data"],
        when=_EXPRESSION | {"description": "only where this finds something; without it always"},
        event_type={"type": "string", "enum": list(READ_TOPICS)},
        event_id=_EXPRESSION,
        timestamp=_EXPRESSION,
        data={
            "type": "object",
            "minProperties": 1,
            "maxProperties": MOST_FIELDS,
            "additionalProperties": _EXPRESSION,
            "description": "what finds nothing is left out",
        },
    ),
    "Mapping": _object(
        "Mapping",
        ["events"],
        call_id=_EXPRESSION,
        events={
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_RULES,
            "items": {"$ref": "#/components/schemas/MappingRule"},
        },
    )
    | {"description": "How a body becomes events. Every leaf but `event_type` is a JMESPath expression."},
    "NewHook": _object(
        "NewHook",
        ["name"],
        name=_NAME,
        preset=_PRESET | {"description": "gives scheme and mapping"},
        scheme={"type": ["string", "null"], "enum": [*Scheme, None]},
        mapping=_NO_OR_MAPPING,
        secret=_SECRET,
    )
    | {"examples": [{"name": "Stripe", "preset": "stripe", "secret": "whsec_of_the_endpoint"}]},
    "HookChanges": _object("HookChanges", [], name=_NAME, mapping=_MAPPING, paused={"type": "boolean"})
    | {"examples": [{"paused": True}]},
    "HookSecret": _object(
        "HookSecret",
        [],
        secret=_SECRET,
        overlap_seconds={
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": MOST_OVERLAP_SECONDS,
            "description": "how long the secrets before it hold; a day without it, 0: they end at once",
        },
    )
    | {"examples": [{"overlap_seconds": 3600}]},
    "MappingTrial": _object(
        "MappingTrial",
        ["body"],
        mapping=_NO_OR_MAPPING,
        preset=_PRESET,
        body={"description": "what the other system sends, whatever JSON it is"},
    )
    | {"examples": [{"preset": "stripe", "body": {"type": "invoice.paid"}}]},
    "HookTrial": _object(
        "HookTrial", ["body"], body={"description": "what the other system sends, whatever JSON it is"}
    )
    | {"examples": [{"body": _ORDER}]},
    "HookBody": {"title": "HookBody", "description": "Whatever JSON the other system sends.", "examples": [_ORDER]},
}
"""What request bodies about hooks hold, by the names under which the OpenAPI document has them."""

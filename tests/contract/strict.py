"""Contracts of what is published, taken strictly: what no schema tells of is an error as well, so that drift is found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from tests.contract.examples import read_json, schema_of


def closed(schema: Any) -> Any:
    """The schema with every object closed of which it names members."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {keyword: closed(part) for keyword, part in schema.items()}
    return found | {"additionalProperties": False} if {"type", "properties"} <= schema.keys() else found


@cache
def value_validator(topic: str) -> jsonschema_rs.Validator:
    """Of the values of a topic."""
    return jsonschema_rs.validator_for(closed(schema_of(topic)), validate_formats=True, offline=True)


@cache
def headers_validator(topic: str) -> jsonschema_rs.Validator:
    """Of the headers of a topic whose messages are CloudEvents in binary mode."""
    found = jsonschema_rs.validator_map_for(closed(schema_of(topic)), validate_formats=True, offline=True)
    return found["#/$defs/headers"]


def check_published(topic: str, value: bytes, headers: Mapping[str, str]) -> None:
    """Raises jsonschema_rs.ValidationError for a message that does not keep its contract to the letter."""
    value_validator(topic).validate(read_json(value))
    headers_validator(topic).validate(headers)

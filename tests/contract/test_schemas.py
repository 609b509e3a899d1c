"""The schemas themselves: valid, one for every topic, and the same words everywhere."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from goalstream import contracts
from goalstream.contracts import Direction, find_contract, known_contracts
from goalstream.domain.goals import GoalType
from goalstream.domain.references import ReferenceKind
from goalstream.errors import SettingsError
from goalstream.streams.dead_letters import MAX_ERROR_LENGTH
from goalstream.streams.letters import Mark
from goalstream.streams.topics import ALL_TOPICS, DEAD_LETTER, READ_TOPICS, REFERENCE_CHANGED
from tests.contract.examples import schema_of
from tests.schema_changes import ROOT, SCHEMAS

pytestmark = pytest.mark.disable_socket

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TOLD_BY_CLOSED_OBJECTS = {"additionalProperties", "unevaluatedProperties"}


def parts(schema: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a schema, with where it stands."""
    if isinstance(schema, dict):
        yield pointer, schema
    items = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for step, part in items:
        yield from parts(part, f"{pointer}/{step}")


def test_every_topic_has_a_schema_and_no_other_has() -> None:
    assert [contract.topic for contract in known_contracts()] == list(ALL_TOPICS)
    directions = {contract.topic: contract.direction for contract in known_contracts()}
    assert {topic for topic, direction in directions.items() if direction is Direction.READ} == set(READ_TOPICS)


def test_a_contract_is_found_by_topic_and_version() -> None:
    assert find_contract("form.submitted").version == find_contract("form.submitted", 1).version == 1
    with pytest.raises(SettingsError, match=r"^form\.submitted has no version 2$"):
        find_contract("form.submitted", 2)
    with pytest.raises(SettingsError, match=r"^'form\.sent' is none of: contact\.tag\.added, "):
        find_contract("form.sent")


def test_the_wheel_has_the_schemas_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    in_the_wheel = tmp_path / project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]["schemas"]
    assert contracts.schemas_folder() == SCHEMAS
    in_the_wheel.mkdir(parents=True)
    monkeypatch.setattr(contracts, "__file__", str(tmp_path / "goalstream" / "contracts.py"))
    assert contracts.schemas_folder() == in_the_wheel


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_a_schema_is_one_of_json_schema_2020_12_and_says_whose_it_is(topic: str) -> None:
    schema = schema_of(topic)
    jsonschema_rs.meta.validate(schema)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == f"urn:goalstream:schema:{topic}:v1"
    assert schema["title"]
    assert schema["description"]
    jsonschema_rs.dereference(schema, offline=True)  # raises where something is referred to that is not there


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_no_definition_is_unused(topic: str) -> None:
    schema = schema_of(topic)
    used = {part["$ref"] for _, part in parts(schema) if isinstance(part.get("$ref"), str)}
    alone = set() if topic == DEAD_LETTER else {"#/$defs/headers"}
    assert used | alone == {f"#/$defs/{name}" for name in schema["$defs"]}


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_what_a_pattern_stands_for_is_said_in_words(topic: str) -> None:
    patterns = [
        part for pointer, part in parts(schema_of(topic)) if "pattern" in part and pointer[-11:] != "/properties"
    ]
    assert patterns
    assert all(part.get("title") for part in patterns)


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_unknown_members_are_allowed_everywhere(topic: str) -> None:
    assert not [pointer for pointer, part in parts(schema_of(topic)) if TOLD_BY_CLOSED_OBJECTS & part.keys()]


@pytest.mark.parametrize("direction", Direction)
def test_what_has_the_same_name_in_several_schemas_is_the_same(direction: Direction) -> None:
    own = {"data", "envelope", "cloudevent", "headers"}
    texts: dict[str, set[str]] = {}
    for contract in known_contracts():
        for name, part in contract.schema["$defs"].items():
            if contract.direction is direction and name not in own:
                texts.setdefault(name, set()).add(json.dumps(part))
    assert "uuid" in texts
    assert [name for name, several in texts.items() if len(several) > 1] == []


@pytest.mark.parametrize("part", ["envelope", "cloudevent", "headers"])
def test_envelopes_differ_only_in_the_type_of_the_event(part: str) -> None:
    texts = {json.dumps(schema_of(topic)["$defs"][part]).replace(f'"{topic}"', '"?"') for topic in READ_TOPICS}
    assert len(texts) == 1


def test_schemas_list_what_the_code_knows() -> None:
    achieved, letter = schema_of("workflow.goal.achieved"), schema_of(DEAD_LETTER)["$defs"]
    assert achieved["$defs"]["goal_type"]["enum"] == list(GoalType)
    assert schema_of(REFERENCE_CHANGED)["$defs"]["data"]["properties"]["kind"]["enum"] == list(ReferenceKind)
    assert letter["mark"]["properties"]["goalstream_mark"]["enum"] == list(Mark)
    assert letter["letter"]["properties"]["goalstream_error"]["maxLength"] == MAX_ERROR_LENGTH

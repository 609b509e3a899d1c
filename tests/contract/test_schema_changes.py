"""A change of a schema that breaks somebody is found, wherever it is, and one that breaks nobody is let through."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goalstream.contracts import Direction
from goalstream.streams.topics import ALL_TOPICS
from tests.contract.examples import schema_of
from tests.schema_changes import RELEASED, ROOT, SCHEMAS, breaking, breaking_changes, release

pytestmark = pytest.mark.disable_socket

READ, PUBLISHED = Direction.READ, Direction.PUBLISHED

PLAIN: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"$ref": "#/$defs/id"},
        "kind": {"enum": ["tag", "form"]},
        "amount": {"type": ["number", "string", "null"], "minimum": 0, "pattern": "^[0-9]+$"},
        "at": {"type": "string", "format": "date-time"},
        "anything": {},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"$ref": "#/$defs/text"}}}},
    },
    "allOf": [
        {
            "if": {"properties": {"kind": {"const": "tag"}}},
            "then": {"properties": {"id": {"maxLength": 100}}},
        }
    ],
    "$defs": {
        "id": {"type": "string", "minLength": 1, "maxLength": 255},
        "text": {"type": ["string", "null"], "maxLength": 255},
        "headers": {"type": "object", "required": ["ce_id"], "properties": {"ce_id": {"type": "string"}}},
    },
}

Change = Callable[[dict[str, Any]], object]

NARROWER: dict[str, tuple[Change, str]] = {
    "a limit": (lambda s: s["$defs"]["id"].update(maxLength=254), "/id"),
    "a limit of what is deep inside": (lambda s: s["$defs"]["text"].update(maxLength=254), "/parts/*/name"),
    "a type less": (lambda s: s["properties"]["amount"].update(type=["number", "string"]), "/amount"),
    "null not any more": (lambda s: s["$defs"]["text"].update(type="string"), "/parts/*/name"),
    "a value less": (lambda s: s["properties"]["kind"].update(enum=["tag"]), "/kind"),
    "a constant": (lambda s: s["properties"].update(kind={"const": "tag"}), "/kind"),
    "a greater minimum": (lambda s: s["properties"]["amount"].update(minimum=1), "/amount"),
    "a new pattern": (lambda s: s["$defs"]["id"].update(pattern="^[a-z]"), "/id"),
    "a new format": (lambda s: s["$defs"]["id"].update(format="uuid"), "/id"),
    "a limit that holds for some": (
        lambda s: s["allOf"][0]["then"]["properties"]["id"].update(maxLength=99),
        "/id",
    ),
    "something of what was free": (lambda s: s["properties"].update(anything={"type": "string"}), "/anything"),
    "a type of a header": (lambda s: s["$defs"]["headers"]["properties"].update(ce_id={"const": "1"}), "headers/ce_id"),
    "another condition": (lambda s: s.update({"not": {"required": ["kind"]}}), "/"),
    "no other members": (lambda s: s.update({"additionalProperties": False}), "/"),
}
"""Changes after which less is allowed, and where: what goalstream reads must not change so."""

WIDER: dict[str, tuple[Change, str]] = {
    "a limit": (lambda s: s["$defs"]["id"].update(maxLength=256), "/id"),
    "a type more": (lambda s: s["properties"]["at"].update(type=["string", "null"]), "/at"),
    "a type more deep inside": (
        lambda s: s["$defs"]["text"].update(type=["string", "null", "number"]),
        "/parts/*/name",
    ),
    "a value more": (lambda s: s["properties"]["kind"]["enum"].append("stage"), "/kind"),
    "no minimum": (lambda s: s["properties"]["amount"].pop("minimum"), "/amount"),
    "no pattern": (lambda s: s["properties"]["amount"].pop("pattern"), "/amount"),
    "no format": (lambda s: s["properties"]["at"].pop("format"), "/at"),
    "no limit for some": (lambda s: s["allOf"][0]["then"]["properties"]["id"].pop("maxLength"), "/id"),
    "a header of any type": (lambda s: s["$defs"]["headers"]["properties"].update(ce_id={}), "headers/ce_id"),
    "no type of the whole": (lambda s: s.pop("type"), "/"),
}
"""Changes after which more is allowed, and where: what goalstream publishes must not change so."""

HARMLESS: dict[str, Change] = {
    "nothing": lambda s: None,
    "words": lambda s: s.update(title="another", description="other words"),
    "words of a member": lambda s: s["properties"]["kind"].update(description="tag or form", examples=["tag"]),
    "a new member that may be missing": lambda s: s["properties"].update(more={"type": "string"}),
    "a new member deep inside": lambda s: s["properties"]["parts"]["items"]["properties"].update(more={"const": 1}),
    "a new header": lambda s: s["$defs"]["headers"]["properties"].update(traceparent={"type": "string"}),
    "another order": lambda s: s["properties"]["kind"]["enum"].reverse(),
    "a definition by another name": lambda s: (
        s["$defs"].update(identifier=s["$defs"].pop("id")),
        s["properties"].update(id={"$ref": "#/$defs/identifier"}),
    ),
}
"""Changes that break nobody."""

GONE: dict[str, tuple[Change, str]] = {
    "a member": (lambda s: s["properties"].pop("kind"), "/kind"),
    "a member that could be anything": (lambda s: s["properties"].pop("anything"), "/anything"),
    "a member deep inside": (lambda s: s["properties"]["parts"]["items"]["properties"].pop("name"), "/parts/*/name"),
    "a header": (lambda s: s["$defs"]["headers"]["properties"].pop("ce_id"), "headers/ce_id"),
}
"""Members that are gone, which breaks somebody in either direction."""


def changed(change: Change) -> dict[str, Any]:
    schema = copy.deepcopy(PLAIN)
    change(schema)
    return schema


@pytest.mark.parametrize("name", NARROWER)
def test_less_breaks_who_writes_what_is_read_and_nobody_else(name: str) -> None:
    change, pointer = NARROWER[name]
    assert breaking(PLAIN, changed(change), READ) == [f"{pointer}: takes less than before"]
    assert breaking(PLAIN, changed(change), PUBLISHED) == []


@pytest.mark.parametrize("name", WIDER)
def test_more_breaks_who_reads_what_is_published_and_nobody_else(name: str) -> None:
    change, pointer = WIDER[name]
    assert breaking(PLAIN, changed(change), PUBLISHED) == [f"{pointer}: allows more than before"]
    assert breaking(PLAIN, changed(change), READ) == []


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("name", HARMLESS)
def test_what_breaks_nobody_is_let_through(name: str, direction: Direction) -> None:
    assert breaking(PLAIN, changed(HARMLESS[name]), direction) == []


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("name", GONE)
def test_what_is_gone_breaks_somebody(name: str, direction: Direction) -> None:
    change, pointer = GONE[name]
    assert breaking(PLAIN, changed(change), direction) == [f"{pointer}: was removed"]


def test_a_member_that_is_required_now_breaks_who_writes_what_is_read() -> None:
    known = changed(lambda s: s["required"].append("kind"))
    assert breaking(PLAIN, known, READ) == ["/kind: is required now"]
    assert breaking(PLAIN, known, PUBLISHED) == []
    new = changed(lambda s: (s["required"].append("more"), s["properties"].update(more={"type": "string"})))
    assert breaking(PLAIN, new, READ) == ["/more: is required now"]
    assert breaking(PLAIN, new, PUBLISHED) == []


def test_a_member_that_is_not_required_any_more_breaks_who_reads_what_is_published() -> None:
    schema = changed(lambda s: (s["required"].clear(), s["$defs"]["headers"]["required"].clear()))
    assert breaking(PLAIN, schema, PUBLISHED) == ["/id: may be missing now", "headers/ce_id: may be missing now"]
    assert breaking(PLAIN, schema, READ) == []


def test_another_pattern_breaks_somebody_in_either_direction() -> None:
    schema = changed(lambda s: s["properties"]["amount"].update(pattern="^[0-9]*$|x"))
    assert breaking(PLAIN, schema, PUBLISHED) == ["/amount: allows more than before"]
    schema = changed(lambda s: s["properties"]["amount"].update(pattern="^[1-9]+$"))
    assert breaking(PLAIN, schema, READ) == ["/amount: takes less than before"]


def test_a_new_member_of_a_closed_object_is_more_than_before() -> None:
    before = changed(lambda s: s.update(additionalProperties=False))
    after = copy.deepcopy(before)
    after["properties"]["more"] = {"type": "string"}
    assert breaking(before, after, PUBLISHED) == ["/: allows more than before"]
    assert breaking(before, after, READ) == []


@pytest.mark.parametrize("direction", Direction)
def test_what_holds_under_another_condition_breaks_somebody_in_either_direction(direction: Direction) -> None:
    schema = changed(lambda s: s["allOf"][0].update({"if": {"properties": {"kind": {"const": "form"}}}}))
    assert len(breaking(PLAIN, schema, direction)) == 1


def test_one_more_rule_is_less_than_before() -> None:
    schema = changed(lambda s: s["allOf"].append({"properties": {"id": {"maxLength": 50}}}))
    assert breaking(PLAIN, schema, READ) == ["/: takes less than before"]
    assert breaking(schema, PLAIN, PUBLISHED) == ["/: allows more than before"]


def test_several_changes_are_told_all_together() -> None:
    schema = changed(
        lambda s: (s["properties"].pop("kind"), s["$defs"]["id"].update(maxLength=9), s["required"].append("at"))
    )
    assert breaking(PLAIN, schema, READ) == [
        "/id: takes less than before",
        "/kind: was removed",
        "/at: is required now",
    ]


def test_another_dialect_breaks_somebody() -> None:
    schema = changed(lambda s: s.update({"$schema": "http://json-schema.org/draft-07/schema#"}))
    assert breaking(PLAIN, schema, READ) == ["another dialect of JSON Schema"]


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_each_schema_can_be_compared(topic: str) -> None:
    """Its copy is proved to be the same, also with a new member, and the loss of its first member is found."""
    schema = schema_of(topic)
    where = schema if "properties" in schema else schema["$defs"][schema["else"]["$ref"].rsplit("/", 1)[1]]
    for direction in Direction:
        assert breaking(schema, copy.deepcopy(schema), direction) == []
        where["properties"]["more"] = {"type": "string"}
        more = copy.deepcopy(schema)
        del where["properties"]["more"]
        assert breaking(schema, more, direction) == []
        first = next(iter(where["properties"]))
        assert breaking(more, schema, direction) == ["/more: was removed"]
        assert f"/{first}: was removed" in breaking(schema, _without(copy.deepcopy(schema), first), direction)


def _without(schema: dict[str, Any], member: str) -> dict[str, Any]:
    where = schema if "properties" in schema else schema["$defs"][schema["else"]["$ref"].rsplit("/", 1)[1]]
    del where["properties"][member]
    return schema


def test_no_schema_breaks_who_relies_on_the_released_ones() -> None:
    assert breaking_changes(RELEASED, SCHEMAS) == []
    assert [path.parent.name for path in RELEASED.glob("*/v1.json")]


def test_a_schema_that_is_missing_or_breaks_somebody_is_named(tmp_path: Path) -> None:
    schemas, released = tmp_path / "schemas", tmp_path / "released"
    shutil.copytree(SCHEMAS, schemas)
    release(schemas, released)
    (released / "form.submitted" / "v2.json").write_text((schemas / "form.submitted" / "v1.json").read_text("utf-8"))
    schema = schema_of("workflow.exit.goal")
    del schema["properties"]["exit_reason"]
    (schemas / "workflow.exit.goal" / "v1.json").write_text(json.dumps(schema))
    assert breaking_changes(released, schemas) == [
        "form.submitted/v2.json: was removed",
        "workflow.exit.goal/v1.json: /exit_reason: was removed",
    ]


def test_a_new_schema_and_a_new_version_break_nobody_and_are_released(tmp_path: Path) -> None:
    schemas, released = tmp_path / "schemas", tmp_path / "released"
    shutil.copytree(SCHEMAS, schemas)
    release(schemas, released)
    shutil.rmtree(released / "form.submitted")
    (schemas / "contact.merged" / "v2.json").write_text('{"title": "another"}')
    assert breaking_changes(released, schemas) == []
    release(schemas, released)
    assert (released / "form.submitted" / "v1.json").exists()
    assert (released / "contact.merged" / "v2.json").read_text() == '{"title": "another"}'


def test_the_command_says_that_nothing_breaks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.schema_changes"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{len(ALL_TOPICS)} released schemas: nothing breaks\n"

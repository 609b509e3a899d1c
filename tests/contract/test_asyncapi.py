"""The AsyncAPI file: valid, complete, and of one mind with the code and the schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]

from goalstream.config import Settings
from goalstream.domain.messages import GOAL_CONFIGURED_TOPIC
from goalstream.streams.topics import ALL_TOPICS, DEAD_LETTER, READ_TOPICS, WRITTEN_TOPICS, wanted_config
from tests.schema_changes import SCHEMAS

pytestmark = pytest.mark.disable_socket

FILE = SCHEMAS / "asyncapi.yaml"
API: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
OFFICIAL = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text("utf-8"))
CHANNELS: dict[str, dict[str, Any]] = {channel["address"]: channel for channel in API["channels"].values()}
JSON_SCHEMA = "application/schema+json;version=2020-12"

MODES = {
    "plain": ("application/json", "#/$defs/envelope", "#/components/schemas/traceHeaders"),
    "structured": ("application/cloudevents+json", "#/$defs/cloudevent", "#/components/schemas/traceHeaders"),
    "binary": ("application/json", "#/$defs/data", "#/$defs/headers"),
}
"""How what is read may be written: content type, and the schemas of payload and headers."""


def at(document: Any, pointer: str) -> Any:
    """What stands in a document at a pointer, such as `#/$defs/data`."""
    for step in pointer.removeprefix("#").split("/")[1:]:
        document = document[step]
    return document


def followed(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the file, or what it refers to there."""
    return dict(at(API, part["$ref"])) if "$ref" in part else part


def schema_reference(part: dict[str, Any]) -> str:
    """Where the schema of a payload or of headers stands: a file and a pointer, or a pointer into this file."""
    if "$ref" in part:
        assert followed(part)["type"] == "object"
        return str(part["$ref"])
    assert part["schemaFormat"] == JSON_SCHEMA
    return str(part["schema"]["$ref"])


def messages(topic: str) -> dict[str, dict[str, Any]]:
    return {name: followed(part) for name, part in CHANNELS[topic]["messages"].items()}


def key(message: dict[str, Any]) -> dict[str, Any]:
    binding = followed(message["bindings"])["kafka"]
    assert binding["bindingVersion"] == "0.5.0"
    return dict(binding["key"])


def test_it_is_valid_asyncapi_3_0() -> None:
    assert API["asyncapi"] == "3.0.0"
    official = jsonschema_rs.validator_for(OFFICIAL, offline=True)
    assert [f"{error.instance_path}: {error.message}" for error in official.iter_errors(API)] == []
    assert not official.is_valid(API | {"channels": {"one": {"adress": "contact.tag.added"}}})
    assert not official.is_valid(API | {"operations": {"one": {"action": "read", "channel": {"$ref": "#/channels/x"}}}})


def test_every_topic_is_a_channel_and_nothing_else_is() -> None:
    assert sorted(CHANNELS) == sorted(ALL_TOPICS)
    assert len(API["channels"]) == len(ALL_TOPICS)


def test_every_reference_leads_somewhere_and_everything_is_referred_to() -> None:
    found = set(references(API))
    for reference in found:
        file, _, pointer = reference.partition("#")
        assert at(json.loads((SCHEMAS / file).read_text("utf-8")) if file else API, f"#{pointer}"), reference
    components = {f"#/components/{kind}/{name}" for kind, parts in API["components"].items() for name in parts}
    assert components <= found
    assert {f"./{topic}/v1.json" for topic in ALL_TOPICS} == {one.split("#")[0] for one in found if one[0] == "."}


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [reference for item in part for reference in references(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [reference for item in part.values() for reference in references(item)]


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_an_operation_says_what_goalstream_does_with_a_topic(topic: str) -> None:
    channels = {name for name, channel in API["channels"].items() if channel["address"] == topic}
    (name,) = channels
    own = [one for one in API["operations"].values() if one["channel"]["$ref"] == f"#/channels/{name}"]
    (operation,) = own
    assert operation["action"] == ("receive" if topic in READ_TOPICS else "send")
    references = {one["$ref"] for one in operation["messages"]}
    assert references == {f"#/channels/{name}/messages/{message}" for message in messages(topic)}
    if topic in READ_TOPICS:
        group = followed(operation["bindings"])["kafka"]["groupId"]
        assert group["default"] == Settings.model_fields["kafka_group_id"].default


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_a_channel_is_bound_to_a_topic_as_it_is_created(topic: str) -> None:
    binding = CHANNELS[topic]["bindings"]["kafka"]
    assert (binding["topic"], binding["bindingVersion"]) == (topic, "0.5.0")
    config = {
        name: ",".join(it) if isinstance(it, list) else str(it) for name, it in binding["topicConfiguration"].items()
    }
    assert config == wanted_config(topic)


@pytest.mark.parametrize("topic", READ_TOPICS)
def test_what_is_read_may_be_written_in_three_ways(topic: str) -> None:
    assert messages(topic).keys() == MODES.keys()
    for mode, message in messages(topic).items():
        content_type, payload, headers = MODES[mode]
        assert (message["name"], message["contentType"]) == (topic, content_type)
        assert schema_reference(message["payload"]) == f"./{topic}/v1.json{payload}"
        assert schema_reference(message["headers"]) in (headers, f"./{topic}/v1.json{headers}")
        assert key(message)["type"] == "string"


@pytest.mark.parametrize("topic", [topic for topic in WRITTEN_TOPICS if topic != DEAD_LETTER])
def test_what_is_published_is_in_binary_mode_and_keyed_by_its_subject(topic: str) -> None:
    (message,) = messages(topic).values()
    assert (message["name"], message["contentType"]) == (topic, "application/json")
    assert schema_reference(message["payload"]) == f"./{topic}/v1.json"
    assert schema_reference(message["headers"]) == f"./{topic}/v1.json#/$defs/headers"
    subject = "goal" if topic == GOAL_CONFIGURED_TOPIC else "contact"
    assert key(message) == {"type": "string", "format": "uuid", "description": f"The {subject}, as `ce_subject`."}


def test_a_dead_letter_has_any_key_and_value_and_a_mark_the_place_of_its_letter() -> None:
    found = messages(DEAD_LETTER)
    assert {name: schema_reference(message["headers"]) for name, message in found.items()} == {
        name: f"./{DEAD_LETTER}/v1.json#/$defs/{name}" for name in ("letter", "mark")
    }
    assert not any("payload" in message for message in found.values())
    place = jsonschema_rs.validator_for(key(found["mark"]))
    assert place.is_valid("3:481516")
    assert not place.is_valid("3")

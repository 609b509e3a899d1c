"""Every example is a test: the valid ones are taken, and the invalid ones refused with the reason in their name."""

from __future__ import annotations

from collections import Counter

import pytest

from goalstream.contracts import problems_of
from goalstream.errors import InvalidRecord
from goalstream.streams.codec import TOPICS_WITH_A_CONTACT, decode
from goalstream.streams.topics import ALL_TOPICS, READ_TOPICS, WRITTEN_TOPICS
from tests.contract.examples import Example, Judge, examples, read_json, schema_of
from tests.schema_changes import SCHEMAS

pytestmark = pytest.mark.disable_socket

JUDGES = {topic: Judge(topic) for topic in ALL_TOPICS}
VALID = [one for topic in ALL_TOPICS for one in examples(topic, "valid")]
INVALID = [one for topic in READ_TOPICS for one in examples(topic, "invalid")]
INVALID_MESSAGES = [one for topic in WRITTEN_TOPICS for one in examples(topic, "invalid")]

REASONS = {
    "not_json",
    "forbidden_character",
    "bad_cloudevent",
    "type_contradicts_topic",
    "no_account",
    "bad_time",
    "wrong_type",
}
"""What a record of any topic that goalstream reads can be refused for, before it meets PostgreSQL."""


@pytest.mark.parametrize("example", VALID, ids=str)
def test_a_valid_example_is_valid(example: Example) -> None:
    assert JUDGES[example.topic].takes(example.value, example.headers)


@pytest.mark.parametrize("example", [one for one in VALID if one.topic in READ_TOPICS], ids=str)
def test_a_valid_example_is_taken_as_a_record_of_its_topic(example: Example) -> None:
    decode(example.topic, example.record)
    assert example.headers or problems_of(example.value, example.topic) == []


@pytest.mark.parametrize("example", INVALID, ids=str)
def test_an_invalid_example_is_refused_with_the_reason_in_its_name(example: Example) -> None:
    with pytest.raises(InvalidRecord) as refused:
        decode(example.topic, example.record)
    assert refused.value.reason == example.reason
    assert example.headers or problems_of(example.value, example.topic)


@pytest.mark.parametrize("example", INVALID, ids=str)
def test_an_invalid_example_is_invalid_unless_it_says_that_this_is_beyond_the_schema(example: Example) -> None:
    assert JUDGES[example.topic].takes(example.value, example.headers) == example.is_beyond_the_schema


@pytest.mark.parametrize("example", INVALID_MESSAGES, ids=str)
def test_an_invalid_example_of_what_is_published_is_invalid(example: Example) -> None:
    assert not JUDGES[example.topic].takes(example.value, {})
    assert problems_of(example.value, example.topic)


@pytest.mark.parametrize("topic", READ_TOPICS)
def test_every_reason_has_an_example(topic: str) -> None:
    reasons = REASONS | ({"no_contact"} if topic in TOPICS_WITH_A_CONTACT else set())
    assert {example.reason for example in examples(topic, "invalid")} == reasons


@pytest.mark.parametrize("topic", READ_TOPICS)
def test_the_complete_example_has_every_field(topic: str) -> None:
    complete = read_json((SCHEMAS / topic / "examples" / "valid" / "complete.json").read_bytes())
    assert complete["data"].keys() == schema_of(topic)["$defs"]["data"]["properties"].keys()


def test_every_header_file_belongs_to_an_example() -> None:
    lonely = [
        path
        for path in SCHEMAS.rglob("*.headers.json")
        if not path.with_name(path.name.replace(".headers.json", ".json")).exists()
    ]
    assert lonely == []
    assert Counter(bool(one.headers) for one in VALID)[True] >= len(READ_TOPICS)

"""Schemas and codec say the same of thousands of records, right ones and broken ones, however they are wrapped."""

from __future__ import annotations

import pytest

from goalstream.errors import InvalidRecord
from goalstream.streams.codec import decode
from goalstream.streams.topics import READ_TOPICS
from tests.contract.examples import Judge
from tests.oracle import generator
from tests.oracle.history import Record
from tests.unit.streams.records import FakeRecord

pytestmark = pytest.mark.disable_socket

HISTORIES = 60
JUDGES = {topic: Judge(topic) for topic in READ_TOPICS}

BEYOND = {
    "not_json": "nested deeper than 100",
    "forbidden_character": "",
    "bad_time": "is not RFC 3339: '2026-11-31",
    "wrong_type": "amount is no amount",
}
"""Reasons for which a record may be refused although its schema takes it, and what the detail must say then."""


def refusal(record: Record) -> InvalidRecord | None:
    try:
        decode(record.topic, _as_kafka_gives_it(record))
    except InvalidRecord as refused:
        return refused
    return None


def _as_kafka_gives_it(record: Record) -> FakeRecord:
    return FakeRecord(
        value=record.value,
        topic=record.topic,
        timestamp=record.timestamp,
        key=record.key,
        headers=list(record.headers),
    )


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_schema_takes_what_the_codec_takes_and_refuses_what_it_can_refuse(seed: int) -> None:
    for record in generator.history(seed, 60).records:
        headers = {name: (text or b"").decode() for name, text in record.headers}
        is_valid, refused = JUDGES[record.topic].takes(record.value, headers), refusal(record)
        if refused is None:
            assert is_valid, record
        elif is_valid:
            assert BEYOND.get(refused.reason, "nothing") in refused.detail, record


def test_there_were_records_of_every_topic_and_verdict() -> None:
    records = [record for seed in range(HISTORIES) for record in generator.history(seed, 60).records]
    verdicts = {(record.topic, refusal(record) is None) for record in records}
    assert verdicts == {(topic, is_taken) for topic in READ_TOPICS for is_taken in (True, False)}

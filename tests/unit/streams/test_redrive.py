"""Where dead letters go back to, in which order, and with which headers."""

from __future__ import annotations

from aiokafka import TopicPartition

from goalstream.streams.letters import Letter, Origin, Place
from goalstream.streams.producer import key_hash
from goalstream.streams.redrive import plan, redriven_headers
from tests.unit.streams.records import NOON_MS

FORMS = "test.form.submitted"


def letter(
    offset: int, *, partition: int = 0, key: bytes | None = b"k", origin: tuple[str, int, int] = (FORMS, 3, 9)
) -> Letter:
    return Letter(
        place=Place(partition, offset),
        set_aside_at=NOON_MS,
        origin=Origin(*origin, NOON_MS),
        reason="not_json",
        error="",
        key=key,
        size_bytes=0,
        headers=(("h", b"1"), ("n", None)),
        attempts=1,
    )


def test_a_record_goes_to_the_partition_that_its_key_hashes_to_and_without_key_back_to_its_own() -> None:
    shipments, _ = plan([letter(1), letter(2, key=None)], topic_prefix="test.", partitions={FORMS: 7})
    assert {shipment.letter.place.offset: shipment.target for shipment in shipments} == {
        1: TopicPartition(FORMS, key_hash(b"k") % 7),
        2: TopicPartition(FORMS, 3),
    }


def test_records_of_a_key_keep_the_order_of_the_dead_letter_topic_though_their_origin_changed() -> None:
    letters = [letter(3, origin=(FORMS, 0, 1)), letter(1, origin=(FORMS, 5, 80)), letter(2, origin=(FORMS, 5, 90))]
    shipments, _ = plan(letters, topic_prefix="test.", partitions={FORMS: 8})
    assert [shipment.letter.place.offset for shipment in shipments] == [1, 2, 3]


def test_records_without_key_keep_the_order_that_they_had() -> None:
    letters = [
        letter(1, partition=2, key=None, origin=(FORMS, 3, 70)),
        letter(9, partition=0, key=None, origin=(FORMS, 3, 80)),
        letter(4, partition=1, key=None, origin=(FORMS, 3, 60)),
    ]
    shipments, _ = plan(letters, topic_prefix="test.", partitions={FORMS: 4})
    assert [shipment.letter.origin.offset for shipment in shipments] == [60, 70, 80]


def test_a_partition_that_is_no_more_gives_way_to_one_that_is() -> None:
    (shipment,), _ = plan([letter(1, key=None)], topic_prefix="test.", partitions={FORMS: 2})
    assert shipment.target == TopicPartition(FORMS, 1)


def test_nothing_is_sent_to_topics_that_goalstream_does_not_read_or_that_are_gone() -> None:
    letters = [
        letter(1, origin=("billing.orders", 0, 1)),
        letter(2, origin=("form.submitted", 0, 1)),
        letter(3, origin=("test.contact.merged", 0, 1)),
        letter(4, origin=("test.workflow.exit.goal", 0, 1)),
    ]
    there = {"billing.orders": 1, "form.submitted": 1, "test.workflow.exit.goal": 1}
    shipments, refused = plan(letters, topic_prefix="test.", partitions=there)
    assert shipments == []
    assert refused == {
        Place(0, 1): "billing.orders is not a topic that goalstream reads",
        Place(0, 2): "form.submitted is not a topic that goalstream reads",
        Place(0, 3): "topic test.contact.merged does not exist any more",
        Place(0, 4): "test.workflow.exit.goal is not a topic that goalstream reads",
    }


def test_the_original_headers_are_followed_by_the_attempt() -> None:
    assert redriven_headers(letter(1)) == [("h", b"1"), ("n", None), ("goalstream_attempts", b"2")]

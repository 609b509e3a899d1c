"""Dead letters read back: what they say, what became of them, which are meant."""

from __future__ import annotations

from typing import Any

import pytest

from goalstream.streams.dead_letters import DeadLetter, letter_headers
from goalstream.streams.letters import Collection, Mark, Origin, Place, Selection, parse_place, read_letter
from tests.unit.streams.records import NOON_MS, FakeRecord

ORIGINAL = FakeRecord(
    value=b"nonsense",
    topic="form.submitted",
    partition=3,
    offset=981,
    timestamp=NOON_MS - 5,
    key=b"k",
    headers=[("h", b"1")],
)


def on_topic(original: FakeRecord = ORIGINAL, *, partition: int = 2, offset: int = 17, **changes: Any) -> FakeRecord:
    """The record on the dead-letter topic."""
    reason, error = changes.pop("reason", "not_json"), changes.pop("error", "not an object")
    return FakeRecord(
        value=original.value,
        topic="goalstream.dead-letter",
        partition=partition,
        offset=offset,
        key=original.key,
        headers=letter_headers(DeadLetter((original.topic, original.partition), original, reason, error)),
        **changes,
    )


def mark(place: str, became: str = "redriven", *, partition: int = 2, timestamp: int = NOON_MS + 9) -> FakeRecord:
    headers: list[tuple[str, bytes | None]] = [("goalstream_mark", became.encode())]
    return FakeRecord(
        value=None,
        topic="goalstream.dead-letter",
        partition=partition,
        key=place.encode(),
        headers=headers,
        timestamp=timestamp,
    )


def collect(*records: FakeRecord) -> Collection:
    collection = Collection()
    for record in records:
        collection.add(record)
    return collection


def changed(record: FakeRecord, **changes: Any) -> FakeRecord:
    fields = {name: getattr(record, name) for name in FakeRecord.__slots__}
    return FakeRecord(**(fields | changes))


def test_a_letter_says_where_its_record_came_from_and_why() -> None:
    letter = read_letter(on_topic())
    assert letter is not None
    assert letter.place == Place(2, 17)
    assert letter.origin == Origin("form.submitted", 3, 981, NOON_MS - 5)
    assert (letter.reason, letter.error, letter.set_aside_at) == ("not_json", "not an object", NOON_MS)
    assert (letter.key, letter.size_bytes, list(letter.headers), letter.attempts) == (b"k", 8, [("h", b"1")], 1)


def test_headers_with_our_names_that_the_original_record_had_stay_its_own() -> None:
    theirs: list[tuple[str, bytes | None]] = [
        ("goalstream_topic", b"forged"),
        ("goalstream_mark", b"dropped"),
        ("goalstream_offset", None),
    ]
    letter = read_letter(on_topic(changed(ORIGINAL, headers=theirs)))
    assert letter is not None
    assert letter.origin.topic == "form.submitted"
    assert list(letter.headers) == theirs


def test_a_record_that_was_sent_again_and_failed_again_tells_its_attempt() -> None:
    again = changed(ORIGINAL, headers=[("h", b"1"), ("goalstream_attempts", b"2")])
    letter = read_letter(on_topic(again))
    assert letter is not None
    assert (letter.attempts, list(letter.headers)) == (2, [("h", b"1")])


@pytest.mark.parametrize("attempts", [b"many", b"0", b"", b"9" * 30, "²".encode(), None])
def test_a_number_of_attempts_that_is_none_is_a_header_like_any_other(attempts: bytes | None) -> None:
    letter = read_letter(on_topic(changed(ORIGINAL, headers=[("goalstream_attempts", attempts)])))
    assert letter is not None
    assert (letter.attempts, list(letter.headers)) == (1, [("goalstream_attempts", attempts)])


def test_a_record_without_timestamp_keeps_having_none() -> None:
    letter = read_letter(on_topic(changed(ORIGINAL, timestamp=-1)))
    assert letter is not None
    assert letter.origin.timestamp == -1


def test_what_goalstream_did_not_write_is_counted_and_no_letter() -> None:
    without_place = changed(ORIGINAL, headers=[("goalstream_topic", b"t"), ("goalstream_offset", b"x")])
    collection = collect(ORIGINAL, without_place, mark("nonsense"), mark("2:17", "eaten"))
    assert (collection.letters(), collection.strangers) == ([], 4)


def test_letters_come_in_the_order_in_which_they_were_set_aside() -> None:
    early, late = changed(ORIGINAL, offset=1), changed(ORIGINAL, offset=2)
    letters = collect(
        on_topic(late, offset=1, timestamp=NOON_MS + 1), on_topic(early, partition=3, offset=7, timestamp=NOON_MS)
    ).letters()
    assert [str(letter.place) for letter in letters] == ["3:7", "2:1"]


def test_a_mark_says_what_became_of_a_letter_and_the_last_one_holds() -> None:
    other = on_topic(changed(ORIGINAL, offset=982), offset=18)
    marks = [mark("2:17", "dropped", timestamp=NOON_MS + 1), mark("2:17", "redriven", timestamp=NOON_MS + 2)]
    done, still_open = collect(on_topic(), other, *marks, mark("2:99")).letters()
    assert (done.mark, done.marked_at) == (Mark.REDRIVEN, NOON_MS + 2)
    assert (still_open.mark, still_open.marked_at) == (None, None)


def test_copies_of_a_letter_are_one_whose_id_is_the_firsts() -> None:
    copies = [on_topic(partition=1, offset=5, timestamp=NOON_MS + 3), on_topic(timestamp=NOON_MS)]
    (letter,) = collect(*copies).letters()
    assert (str(letter.place), letter.mark) == ("2:17", None)
    collection = collect(*copies, mark("1:5", partition=1))
    (letter,) = collection.letters()
    assert (str(letter.place), letter.mark) == ("2:17", Mark.REDRIVEN)
    assert collection.find([Place(1, 5), Place(2, 17)]) == ([letter], [])


def test_the_same_place_on_a_topic_that_was_made_anew_is_another_record() -> None:
    anew = on_topic(changed(ORIGINAL, timestamp=NOON_MS), offset=18)
    assert [letter.mark for letter in collect(on_topic(), anew, mark("2:17")).letters()] == [Mark.REDRIVEN, None]


def test_places_where_no_letter_is_are_told() -> None:
    letters, missing = collect(on_topic(), mark("2:17")).find([Place(2, 17), Place(2, 18), Place(0, 0)])
    assert ([str(letter.place) for letter in letters], missing) == (["2:17"], [Place(2, 18), Place(0, 0)])


@pytest.mark.parametrize(
    ("selection", "is_meant"),
    [
        (Selection(), True),
        (Selection(reason="not_json", topic="form.submitted", since=NOON_MS, until=NOON_MS + 1), True),
        (Selection(reason="bad_time"), False),
        (Selection(topic="form"), False),
        (Selection(since=NOON_MS + 1), False),
        (Selection(until=NOON_MS), False),
    ],
)
def test_a_selection_takes_what_fulfils_all_that_it_says(selection: Selection, is_meant: bool) -> None:
    (letter,) = collect(on_topic()).letters()
    assert selection.takes(letter) is is_meant


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("2:17", Place(2, 17)),
        ("0:0", Place(0, 0)),
        ("217", None),
        ("2:", None),
        (":1", None),
        ("-1:2", None),
        ("2:1:3", None),
        ("²:1", None),
        ("", None),
    ],
)
def test_an_id_is_a_partition_and_an_offset(text: str, place: Place | None) -> None:
    assert parse_place(text) == place

"""The judge of the fault tests notices every kind of damage: each is done once to a run that is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from tests.faults.evidence import ACHIEVED, DEAD_LETTER, EXIT, REVOKED, AchievementRow, Evidence, Message
from tests.faults.expectation import BadLetter, Expected, expectation
from tests.faults.judge import Findings, judge
from tests.faults.topics import Stored
from tests.oracle import generator, oracle
from tests.oracle.history import Record
from tests.oracle.oracle import Achieved

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACCOUNT, CONTACT, GOAL = (f"0{letter}000000-0000-4000-8000-000000000000" for letter in "acf")
FIRST, SECOND = (f"0e000000-0000-4000-8000-{number:012d}" for number in (1, 2))
"""Enrollments: the first has achieved the goal and exited, the second's achievement is revoked."""

BY_EVENT = Achieved(
    event_id="evt-1",
    source="/crm",
    occurred_at=NOON,
    goal_version=1,
    contact_id=CONTACT,
    match_contact_id=CONTACT,
)
BAD = Record(topic="form.submitted", timestamp=1_000, key=b"key", value=b"{", headers=(("trace", b"1"),))
ORIGIN = ("form.submitted", 2, 7)


def name(*parts: object) -> str:
    return str(uuid5(NAMESPACE_URL, ":".join(["goalstream", *map(str, parts)])))


def about(enrollment_id: str, topic: str, revision: int, **changes: Any) -> Message:
    """A message about an achievement."""
    achievement_id = name("achievement", ACCOUNT, enrollment_id, GOAL)
    document = {
        "achievement_id": achievement_id,
        "account_id": ACCOUNT,
        "workflow_enrollment_id": enrollment_id,
        "contact_id": CONTACT,
        "goal_config_id": GOAL,
        "revision": revision,
        "trigger_event": {"event_id": "evt-1", "data": {"contact_id": CONTACT}},
    }
    message_id = name(topic, achievement_id, revision)
    return Message(topic=topic, message_id=message_id, key=CONTACT, body=json.dumps(document | changes).encode())


def leaving(enrollment_id: str, **changes: Any) -> Message:
    """An exit."""
    document = {
        "account_id": ACCOUNT,
        "workflow_enrollment_id": enrollment_id,
        "contact_id": CONTACT,
        "achieved_at": "2026-11-23T12:00:00Z",
    }
    message_id = name(EXIT, ACCOUNT, enrollment_id)
    return Message(topic=EXIT, message_id=message_id, key=CONTACT, body=json.dumps(document | changes).encode())


def letter(bad: Record = BAD, **changes: str) -> Stored:
    """A dead letter."""
    told = {"topic": f"test.{bad.topic}", "partition": "2", "offset": "7", "timestamp": "1000"}
    told |= {"reason": "not_json", "error": "no object"} | changes
    added = tuple((f"goalstream_{part}", text.encode()) for part, text in told.items() if text)
    return Stored(
        origin=(DEAD_LETTER, 0, 0), record=replace(bad, topic=DEAD_LETTER, timestamp=2_000, headers=bad.headers + added)
    )


def expected() -> Expected:
    return Expected(
        achievements={(ACCOUNT, FIRST, GOAL): BY_EVENT},
        satisfied={(ACCOUNT, FIRST): NOON},
        exits={(ACCOUNT, FIRST)},
        dead_letters={ORIGIN: BadLetter(record=BAD, reason="not_json")},
    )


def seen() -> Evidence:
    """A run that is right; one message came twice."""
    return Evidence(
        rows=[row(FIRST, revision=1, is_valid=True), row(SECOND, revision=2, is_valid=False)],
        satisfied={(ACCOUNT, FIRST): NOON},
        exited={(ACCOUNT, FIRST): NOON},
        messages=[
            about(FIRST, ACHIEVED, 1),
            about(FIRST, ACHIEVED, 1),
            about(SECOND, ACHIEVED, 1),
            about(SECOND, REVOKED, 2),
            leaving(FIRST),
        ],
        dead_letters=[letter()],
        topic_prefix="test.",
    )


def row(enrollment_id: str, **changes: Any) -> AchievementRow:
    return AchievementRow(key=(ACCOUNT, enrollment_id, GOAL), achieved=BY_EVENT, **changes)


def without(evidence: Evidence, *places: int) -> None:
    evidence.messages = [one for place, one in enumerate(evidence.messages) if place not in places]


def changed(evidence: Evidence, place: int, message: Message) -> None:
    evidence.messages = [*evidence.messages[:place], message, *evidence.messages[place + 1 :]]


def added(evidence: Evidence, message: Message) -> None:
    evidence.messages = [*evidence.messages, message]


def rows(evidence: Evidence, *changes: AchievementRow) -> None:
    evidence.rows = changes


def letters(evidence: Evidence, *changes: Stored) -> None:
    evidence.dead_letters = changes


VALID, REVOKED_ROW = row(FIRST, revision=1, is_valid=True), row(SECOND, revision=2, is_valid=False)
MOVED = replace(VALID, achieved=replace(BY_EVENT, event_id="evt-2"))
AGAIN = row(SECOND, revision=3, is_valid=True)

DAMAGES: list[tuple[str, str, Callable[[Evidence], object]]] = [
    ("lost", "a row is gone", lambda it: rows(it, REVOKED_ROW)),
    ("lost", "a row is revoked", lambda it: rows(it, replace(VALID, is_valid=False), REVOKED_ROW)),
    ("wrong", "a row says another event", lambda it: rows(it, MOVED, REVOKED_ROW)),
    ("wrong", "a row too many", lambda it: rows(it, VALID, REVOKED_ROW, row("another", revision=1, is_valid=True))),
    ("wrong", "a revoked row is valid", lambda it: rows(it, VALID, replace(REVOKED_ROW, is_valid=True))),
    ("duplicate", "a row is there twice", lambda it: rows(it, VALID, VALID, REVOKED_ROW)),
    ("wrong", "an enrollment is not satisfied", lambda it: it.satisfied.clear()),
    ("wrong", "an enrollment is satisfied", lambda it: it.satisfied.update({(ACCOUNT, SECOND): NOON})),
    ("lost", "an achieved message is gone", lambda it: without(it, 0, 1)),
    ("lost", "an earlier revision is gone", lambda it: without(it, 2)),
    ("lost", "a revoked message is gone", lambda it: without(it, 3)),
    ("lost", "a row was restored, not published", lambda it: rows(it, VALID, AGAIN)),
    ("wrong", "a message about no row", lambda it: added(it, about("another", ACHIEVED, 1))),
    ("wrong", "a message after the row's revision", lambda it: added(it, about(FIRST, REVOKED, 2))),
    ("duplicate", "one revision, two messages", lambda it: added(it, about(FIRST, REVOKED, 1))),
    ("duplicate", "a copy differs", lambda it: changed(it, 1, about(FIRST, ACHIEVED, 1, recorded_at="later"))),
    ("duplicate", "a copy has other data", lambda it: changed(it, 1, about(FIRST, ACHIEVED, 1, trigger_event={"data": 1}))),
    ("duplicate", "a copy in other bytes", lambda it: changed(it, 1, replace(it.messages[1], body=it.messages[1].body + b" "))),
    ("wrong", "a message has another id", lambda it: changed(it, 3, replace(it.messages[3], message_id="other"))),
    ("wrong", "a message has another key", lambda it: changed(it, 3, replace(it.messages[3], key="other"))),
    ("lost", "an exit is gone", lambda it: without(it, 4)),
    ("wrong", "an exit without its row", lambda it: added(it, leaving(SECOND))),
    ("wrong", "an exit at another moment", lambda it: changed(it, 4, leaving(FIRST, achieved_at="2026-11-23T11:00:00Z"))),
    ("duplicate", "two exits", lambda it: added(it, replace(leaving(FIRST), message_id="other"))),
    ("duplicate", "an exit's copy differs", lambda it: added(it, leaving(FIRST, goal_config_id="other"))),
    ("lost", "an exit of the row is gone", lambda it: it.exited.update({(ACCOUNT, SECOND): NOON})),
    ("dead_letters_wrong", "a dead letter is gone", lambda it: letters(it)),
    ("dead_letters_wrong", "a good record", lambda it: letters(it, letter(), letter(offset="8"))),
    ("dead_letters_wrong", "another reason", lambda it: letters(it, letter(reason="wrong_type"))),
    ("dead_letters_wrong", "another timestamp", lambda it: letters(it, letter(timestamp="1001"))),
    ("dead_letters_wrong", "no error told", lambda it: letters(it, letter(error=""))),
    ("dead_letters_wrong", "another value", lambda it: letters(it, letter(replace(BAD, value=b"{}")))),
    ("dead_letters_wrong", "another key", lambda it: letters(it, letter(replace(BAD, key=None)))),
    ("dead_letters_wrong", "its headers are gone", lambda it: letters(it, letter(replace(BAD, headers=())))),
    ("lost", "the outbox is not empty", lambda it: setattr(it, "left_in_outbox", 1)),
    ("lost", "a record is not acknowledged", lambda it: setattr(it, "lags", {("form.submitted", 1): 1})),
]  # fmt: skip


def test_a_run_that_is_right_is_clean() -> None:
    assert judge(expected(), seen()) == Findings()


@pytest.mark.parametrize(("column", "damage", "do"), DAMAGES, ids=[damage for _, damage, _ in DAMAGES])
def test_every_damage_is_reported_in_its_column(column: str, damage: str, do: Callable[[Evidence], object]) -> None:
    evidence = seen()
    do(evidence)
    assert getattr(judge(expected(), evidence), column)


def test_a_copy_that_an_erasure_took_the_data_out_of_is_no_fault() -> None:
    evidence = seen()
    changed(evidence, 1, about(FIRST, ACHIEVED, 1, trigger_event={"event_id": "evt-1", "data": None}))
    assert judge(expected(), evidence).is_clean


def test_an_exit_that_need_not_have_been_may_have_been() -> None:
    told, evidence = expected(), seen()
    told.exits.clear()
    assert judge(told, evidence).is_clean


@pytest.mark.parametrize("seed", range(20))
def test_what_is_expected_piece_by_piece_is_what_the_oracle_says_of_the_whole(seed: int) -> None:
    told = generator.history(seed, 60)
    copies = [*enumerate(told.records)] * 2
    Random(seed).shuffle(copies)
    stored = [
        Stored(origin=(record.topic, place, index), record=record) for place, (index, record) in enumerate(copies)
    ]
    found = expectation(told.goal_versions, stored, generator.LATENESS)
    assert found.achievements == oracle.valid_achievements(told, generator.LATENESS)
    satisfied = oracle.satisfied(told, generator.LATENESS)
    assert found.satisfied == {enrollment: achieved.occurred_at for enrollment, achieved in satisfied.items()}
    assert found.exits == oracle.exits(told, generator.LATENESS)
    bad = dict(oracle.dead_letters(told))
    assert {(place, index): letter.reason for (_, place, index), letter in found.dead_letters.items()} == {
        (place, index): bad[index] for place, (index, _) in enumerate(copies) if index in bad
    }


def test_a_fact_beyond_the_lateness_is_part_of_the_same_piece() -> None:
    told = generator.history(3, 60)
    stored = [Stored(origin=("all", 0, index), record=record) for index, record in enumerate(told.records)]
    lateness = timedelta(hours=1)
    found = expectation(told.goal_versions, stored, lateness)
    assert found.achievements == oracle.valid_achievements(told, lateness)

"""What goalstream publishes keeps its contract to the letter: nothing is missing, and nothing is there that no schema tells of."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest

from goalstream.domain import messages
from goalstream.domain.achievements import Achievement, Action, changes
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalType,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.messages import (
    GOAL_ACHIEVED_TOPIC,
    GOAL_CONFIGURED_TOPIC,
    GOAL_EXIT_TOPIC,
    GOAL_REVOKED_TOPIC,
    EncodedMessage,
    Message,
)
from goalstream.domain.settlement import Settlement
from goalstream.storage.codecs import encode_json
from goalstream.storage.goal_versions import Goal
from goalstream.streams.dead_letters import DeadLetter, letter_headers
from goalstream.streams.letters import ATTEMPTS_HEADER
from goalstream.streams.publisher import cloudevent_headers
from goalstream.streams.topics import DEAD_LETTER
from tests.contract.examples import examples, read_json, schema_of
from tests.contract.strict import check_published, value_validator
from tests.oracle.history import History
from tests.unit.domain.builders import at, goal
from tests.unit.streams.records import ACCOUNT, GOAL, WORKFLOW, FakeRecord
from tests.unit.test_decisions_against_the_oracle import LATENESS, Product, history

pytestmark = pytest.mark.disable_socket

HISTORIES = 60
TOPICS = (GOAL_CONFIGURED_TOPIC, GOAL_ACHIEVED_TOPIC, GOAL_REVOKED_TOPIC, GOAL_EXIT_TOPIC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

CRITERIA: list[tuple[GoalType, Criteria]] = [
    (GoalType.TAG_ADDED, TagCriteria(tag_id="tag-7", tag_name="Purchased")),
    (GoalType.PURCHASE_MADE, PurchaseCriteria(product_id="p", min_amount=Decimal("150.50"), currency="EUR")),
    (GoalType.PURCHASE_MADE, PurchaseCriteria(min_amount=Decimal("1E+30"))),
    (GoalType.PURCHASE_MADE, PurchaseCriteria(any_purchase=True)),
    (GoalType.APPOINTMENT_BOOKED, AppointmentCriteria(calendar_id="c", service_id="s")),
    (GoalType.APPOINTMENT_BOOKED, AppointmentCriteria(any_appointment=True)),
    (GoalType.FORM_SUBMITTED, FormCriteria(form_id="form-123")),
    (GoalType.PIPELINE_STAGE_REACHED, StageCriteria(pipeline_id="p", stage_id="s")),
]

WINDOWS = [None, *(timedelta(seconds=seconds) for seconds in (5, 90, 5_400, 129_600, 604_800))]


def settled_messages(told: History) -> Iterator[Message]:
    """What is published of a history that is told in two parts, so that some of it does not hold any more."""
    recorded: dict[tuple[str, str], dict[str, Achievement]] = defaultdict(dict)
    exited = set()
    for share in (1, 2):
        part = replace(told, records=told.records[: share * len(told.records) // 2])
        for enrollment, settlement in Product(part, LATENESS).settlements.items():
            own, is_exit_due = recorded[enrollment], enrollment not in exited and settlement.is_exit_due(None)
            yield from _changes(own, settlement, enrollment[1], is_exit_due)
            if is_exit_due and settlement.satisfied_by is not None:
                exited.add(enrollment)
                completing = own[settlement.satisfied_by.match.goal_id]
                yield messages.exited(completing)
                yield messages.exited(replace(completing, match=replace(completing.match, traceparent=TRACE)))


def _changes(
    recorded: dict[str, Achievement], settlement: Settlement, enrollment_id: str, is_exit_due: bool
) -> Iterator[Message]:
    found = changes(
        recorded,
        settlement,
        enrollment_id=enrollment_id,
        recorded_at=at(1),
        end_is_known=settlement.known.ended_at is not None,
        exit_is_due=is_exit_due,
    )
    for change in list(found):
        recorded[change.achievement.goal_id] = change.achievement
        if change.action is not Action.MOVED:
            is_revoked = change.action is Action.REVOKED
            yield messages.revoked(change.achievement) if is_revoked else messages.achieved(change.achievement)
            erased = replace(change.achievement, match=replace(change.achievement.match, data=None, traceparent=TRACE))
            yield messages.revoked(erased) if is_revoked else messages.achieved(erased)


def configurations() -> Iterator[Message]:
    """A message about a goal of every kind of criteria and duration, and about a deletion."""
    for number, (goal_type, criteria) in enumerate(CRITERIA):
        window = WINDOWS[number % len(WINDOWS)]
        version = goal(
            GOAL,
            criteria=criteria,
            goal_type=goal_type,
            account_id=ACCOUNT,
            workflow_id=WORKFLOW,
            window=window,
            measure_after_exit=window or timedelta(0),
            is_deleted=number == 0,
        )
        document = Goal(version=version, created_by="user-17", updated_at=at(0.5), updated_by="user-18").document()
        yield messages.configured(document, version, at(0.5))


def on_the_wire(message: Message) -> tuple[bytes, dict[str, str]]:
    """The value and the headers that Kafka gets."""
    encoded = EncodedMessage(
        message.account_id,
        message.message_id,
        message.topic,
        message.subject,
        message.time,
        encode_json(message.data),
        message.traceparent,
    )
    return encoded.body.encode(), texts(cloudevent_headers(encoded, encoded.traceparent))


def texts(headers: list[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in headers}


@pytest.fixture(scope="module")
def published() -> dict[str, list[Message]]:
    found: dict[str, list[Message]] = defaultdict(list)
    for seed in range(HISTORIES):
        for message in settled_messages(history(seed)):
            found[message.topic].append(message)
    for message in configurations():
        found[message.topic].append(message)
    return found


@pytest.mark.parametrize("topic", TOPICS)
def test_every_message_keeps_the_contract_of_its_topic(published: dict[str, list[Message]], topic: str) -> None:
    assert len(published[topic]) >= len(CRITERIA)
    for message in published[topic]:
        value, headers = on_the_wire(message)
        check_published(topic, value, headers)
        time = "updated_at" if topic == GOAL_CONFIGURED_TOPIC else "achieved_at"
        assert (headers["ce_subject"], headers["ce_time"]) == (message.subject, read_json(value)[time])


@pytest.mark.parametrize("topic", TOPICS)
def test_everything_that_a_contract_tells_of_is_published(published: dict[str, list[Message]], topic: str) -> None:
    schema = schema_of(topic)
    wire = [on_the_wire(message) for message in published[topic]]
    said = {pointer for value, _ in wire for pointer in pointers(read_json(value))}
    assert set(told(jsonschema_rs.dereference(schema, offline=True))) - said == set()
    assert schema["$defs"]["headers"]["properties"].keys() == {name for _, headers in wire for name in headers}


def pointers(document: Any, pointer: str = "") -> Iterator[str]:
    """Where the members of a document stand."""
    if isinstance(document, dict):
        for name, part in document.items():
            yield f"{pointer}/{name}"
            yield from pointers(part, f"{pointer}/{name}")


def told(schema: Any, pointer: str = "") -> Iterator[str]:
    """Where the members stand that a schema names."""
    for name, part in schema.get("properties", {}).items():
        yield f"{pointer}/{name}"
        yield from told(part, f"{pointer}/{name}")
    for part in schema.get("allOf", []):
        yield from told(part["then"], pointer)


def test_revocations_had_many_reasons_and_none_that_no_contract_tells_of(published: dict[str, list[Message]]) -> None:
    reasons = {message.data["revoked_reason"] for message in published[GOAL_REVOKED_TOPIC]}
    assert reasons <= set(schema_of(GOAL_REVOKED_TOPIC)["properties"]["revoked_reason"]["enum"])
    assert len(reasons) >= 5, reasons


@pytest.mark.parametrize("topic", [GOAL_ACHIEVED_TOPIC, GOAL_REVOKED_TOPIC, GOAL_EXIT_TOPIC])
def test_what_is_missing_is_found_and_what_no_contract_tells_of_as_well(
    published: dict[str, list[Message]], topic: str
) -> None:
    of_value = value_validator(topic)
    document = read_json(on_the_wire(published[topic][0])[0])
    for name in document:
        assert not of_value.is_valid({other: part for other, part in document.items() if other != name})
    assert not of_value.is_valid(document | {"more": 1})
    if "metadata" in document:
        more = copy.deepcopy(document)
        more["metadata"]["more"] = 1
        assert not of_value.is_valid(more)
        more = copy.deepcopy(document)
        more["trigger_event"]["data"] = {"whatever": ["a", {"producer": "sent"}]}
        assert of_value.is_valid(more)


@pytest.mark.parametrize("topic", TOPICS)
def test_examples_have_nothing_that_no_contract_tells_of(topic: str) -> None:
    for example in examples(topic, "valid"):
        value_validator(topic).validate(read_json(example.value))


@pytest.mark.parametrize("headers", [[], [(ATTEMPTS_HEADER, b"2")]])
def test_the_headers_of_a_dead_letter_keep_its_contract(headers: list[tuple[str, bytes | None]]) -> None:
    record = FakeRecord(value=b"{", topic="form.submitted", partition=3, offset=17, timestamp=-1, headers=headers)
    letter = DeadLetter((record.topic, record.partition), record, "not_json", "not_json: " + "x" * 600)
    validator = value_validator(DEAD_LETTER)
    validator.validate(texts(letter_headers(letter)))
    assert not validator.is_valid(texts(letter_headers(letter._replace(reason="unheard_of"))))

"""What a program tells in-process is read and checked as a record's fields are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from goalstream.domain import arguments
from goalstream.domain.arguments import ToldEvent, version_in_force
from goalstream.domain.goals import GoalType
from goalstream.errors import InvalidRecord, NotEligible
from tests.unit.domain.builders import at, goal


def told(told_at: datetime | None) -> ToldEvent:
    return ToldEvent(contact_id="c1", source="api", event_id="e1", event_type="till.closed", told_at=told_at, data="{}")


def test_a_time_that_is_told_is_when_it_happened() -> None:
    match = told(at(-1)).match(goal(), at(0), enrollment_id="n1")
    assert (match.occurred_at, match.occurred_at_source, match.record_at) == (at(-1), "event", at(0))
    assert (match.enrollment_id, match.goal_id, match.goal_version, match.event_type) == ("n1", "g1", 1, "till.closed")


@pytest.mark.parametrize("told_at", [None, at(1)])
def test_a_time_that_is_missing_or_lies_ahead_is_the_time_of_the_record(told_at: datetime | None) -> None:
    match = told(told_at).match(goal(), at(0))
    assert (match.occurred_at, match.occurred_at_source, match.enrollment_id) == (at(0), "record", None)


def test_what_breaks_the_contract_of_a_record_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^tag_id is no string$"), arguments.value_errors():
        raise InvalidRecord("wrong_type", "tag_id is no string")


def test_types_are_known_by_their_names() -> None:
    assert arguments.event_type_argument("form.submitted") == "form.submitted"
    assert arguments.goal_type_argument("form_submitted") is GoalType.FORM_SUBMITTED
    assert arguments.goal_type_argument(GoalType.TAG_ADDED) is GoalType.TAG_ADDED
    for read in (arguments.event_type_argument, arguments.goal_type_argument):
        with pytest.raises(ValueError, match=r"_type is none of .*: \['another'\]"):
            read(["another"])


@pytest.mark.parametrize(("given", "event_id"), [(None, None), ("e1", "e1")])
def test_an_event_may_have_no_id(given: str | None, event_id: str | None) -> None:
    assert arguments.event_id_argument(given, "event_id") == event_id


def test_an_empty_event_id_is_none_at_all() -> None:
    with pytest.raises(ValueError, match="event_id is empty"):
        arguments.event_id_argument("", "event_id")


def test_an_id_is_a_uuid_and_a_time_is_one_of_rfc_3339() -> None:
    assert arguments.id_argument("AAAAAAAA-0000-4000-8000-000000000001", "id") == "aaaaaaaa-0000-4000-8000-000000000001"
    assert arguments.time_argument("2026-01-01T00:00:00Z", "at") == datetime(2026, 1, 1, tzinfo=UTC)
    for read in (arguments.id_argument, arguments.time_argument):
        with pytest.raises((ValueError, InvalidRecord), match="what"):
            read("nothing", "what")


def test_an_object_is_an_object() -> None:
    assert arguments.object_argument({"a": 1}, "data") == {"a": 1}
    with pytest.raises(ValueError, match="data is no object"):
        arguments.object_argument([1], "data")


@pytest.mark.parametrize(
    ("trigger", "data"),
    [
        ({"event_id": "e1", "timestamp": "…", "data": {"a": 1}, "b": 2}, {"a": 1}),
        ({"event_id": "e1", "occurred_at": "…", "amount": 1}, {"amount": 1}),
        ({"data": None, "amount": 1}, {"amount": 1}),
        ({}, {}),
    ],
)
def test_the_data_of_a_trigger_event_is_its_data_or_all_the_rest(trigger: dict[str, Any], data: dict[str, Any]) -> None:
    assert arguments.data_argument(trigger) == data


def test_the_version_in_force_is_that_of_the_moment() -> None:
    versions = [goal(), goal(version=2, effective_from=at(-5)), goal("g2")]
    assert version_in_force(versions, "g1", GoalType.TAG_ADDED, at(-6)) is versions[0]
    assert version_in_force(versions, "g1", GoalType.TAG_ADDED, at(-5)) is versions[1]


@pytest.mark.parametrize(
    ("goal_id", "goal_type", "moment", "reason"),
    [
        ("g9", GoalType.TAG_ADDED, at(0), "no_goal"),
        ("g1", GoalType.FORM_SUBMITTED, at(0), "no_goal"),
        ("g1", GoalType.TAG_ADDED, at(-101), "goal_not_in_force"),
        ("g1", GoalType.TAG_ADDED, at(0), "goal_not_in_force"),
    ],
)
def test_a_goal_that_is_not_there_or_not_in_force_says_so(
    goal_id: str, goal_type: GoalType, moment: datetime, reason: str
) -> None:
    versions = [goal(), goal(version=2, effective_from=at(-5), is_active=False)]
    with pytest.raises(NotEligible) as error:
        version_in_force(versions, goal_id, goal_type, moment)
    assert error.value.reason == reason

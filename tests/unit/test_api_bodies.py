"""Goals in request bodies: what is understood, and every problem with its pointer."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from goalstream.api.bodies import parse_changes, parse_new_goal
from goalstream.domain.goals import FormCriteria, GoalType, PurchaseCriteria, TagCriteria
from goalstream.errors import CriteriaEmpty, InvalidGoal

TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}}


def pointers(refusal: pytest.ExceptionInfo[InvalidGoal]) -> list[str]:
    return [problem.pointer for problem in refusal.value.problems]


def test_a_goal_needs_a_type_and_criteria_and_nothing_else() -> None:
    goal = parse_new_goal(TAG)
    assert (goal.goal_type, goal.criteria) == (GoalType.TAG_ADDED, TagCriteria(tag_name="Purchased"))
    assert (goal.window, goal.measure_after_exit) == (None, timedelta(0))


def test_nulls_are_absent() -> None:
    goal = parse_new_goal(
        {
            "goal_type": "purchase_made",
            "criteria": {"product_id": None, "min_amount": 100},
            "window": None,
            "measure_after_exit": None,
        }
    )
    assert goal.criteria == PurchaseCriteria(min_amount=Decimal(100))
    assert (goal.window, goal.measure_after_exit) == (None, timedelta(0))


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("P7D", timedelta(days=7)),
        ("PT36H", timedelta(hours=36)),
        ("P2W", timedelta(weeks=2)),
        ("P1DT12H30M5S", timedelta(days=1, hours=12, minutes=30, seconds=5)),
        ("PT1S", timedelta(seconds=1)),
        ("P3650D", timedelta(days=3650)),
    ],
)
def test_a_window_is_an_iso_8601_duration(text: str, window: timedelta) -> None:
    assert parse_new_goal(TAG | {"window": text}).window == window


@pytest.mark.parametrize(
    "window",
    ["P0D", "PT0S", "P3651D", "P999999999W", "P1Y", "P1M", "7 days", "", "P", "PT", "-P1D", "p7d", 7, True, {}],
)
def test_another_window_is_refused_with_its_pointer(window: object) -> None:
    with pytest.raises(InvalidGoal) as refusal:
        parse_new_goal(TAG | {"window": window})
    assert pointers(refusal) == ["/window"]


@pytest.mark.parametrize(
    ("text", "duration"), [("P90D", timedelta(days=90)), ("PT0S", timedelta(0)), ("P0D", timedelta(0))]
)
def test_measuring_after_the_exit_lasts_ninety_days_at_most_and_may_be_nothing(text: str, duration: timedelta) -> None:
    assert parse_new_goal(TAG | {"measure_after_exit": text}).measure_after_exit == duration
    with pytest.raises(InvalidGoal) as refusal:
        parse_new_goal(TAG | {"measure_after_exit": "P90DT1S"})
    assert pointers(refusal) == ["/measure_after_exit"]


@pytest.mark.parametrize("criteria", [{}, {"tag_id": None}, {"tag_id": None, "tag_name": None}])
def test_criteria_without_an_effective_key_are_empty(criteria: dict[str, object]) -> None:
    with pytest.raises(CriteriaEmpty, match="Goal criteria cannot be empty"):
        parse_new_goal(TAG | {"criteria": criteria})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidGoal) as refusal:
        parse_new_goal(
            {
                "goal_type": "purchase_made",
                "criteria": {"product_id": " ", "min_amount": -1, "color": "red"},
                "window": "soon",
                "a/b~c": 1,
            }
        )
    assert sorted(pointers(refusal)) == [
        "/a~1b~0c",
        "/criteria/color",
        "/criteria/min_amount",
        "/criteria/product_id",
        "/window",
    ]


@pytest.mark.parametrize("goal_type", [None, "", "TAG_ADDED", "tag", 1, True, [], {}, ["tag_added"]])
def test_an_unknown_goal_type_is_refused(goal_type: object) -> None:
    with pytest.raises(InvalidGoal) as refusal:
        parse_new_goal(TAG | {"goal_type": goal_type})
    assert pointers(refusal) == ["/goal_type"]


@pytest.mark.parametrize("criteria", [None, [], "tag", 1, True, [["tag_name", "x"]]])
def test_criteria_must_be_an_object(criteria: object) -> None:
    with pytest.raises(InvalidGoal) as refusal:
        parse_new_goal(TAG | {"criteria": criteria})
    assert pointers(refusal) == ["/criteria"]


def test_an_empty_body_lacks_both_fields() -> None:
    with pytest.raises(InvalidGoal) as refusal:
        parse_new_goal({})
    assert pointers(refusal) == ["/goal_type", "/criteria"]


def test_changes_hold_only_what_was_given() -> None:
    assert parse_changes({}, GoalType.FORM_SUBMITTED) == {}
    assert parse_changes({"is_active": False}, GoalType.FORM_SUBMITTED) == {"is_active": False}
    assert parse_changes({"window": None, "measure_after_exit": None}, GoalType.FORM_SUBMITTED) == {
        "window": None,
        "measure_after_exit": timedelta(0),
    }


def test_changed_criteria_are_those_of_the_goals_type() -> None:
    changes = parse_changes({"criteria": {"form_id": "form-2"}}, GoalType.FORM_SUBMITTED)
    assert changes == {"criteria": FormCriteria(form_id="form-2")}
    with pytest.raises(InvalidGoal) as refusal:
        parse_changes({"criteria": {"tag_name": "x"}}, GoalType.FORM_SUBMITTED)
    assert pointers(refusal) == ["/criteria/tag_name"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"goal_type": "tag_added"}, "/goal_type"),
        ({"version": 2}, "/version"),
        ({"is_active": 0}, "/is_active"),
        ({"is_active": None}, "/is_active"),
        ({"is_active": "false"}, "/is_active"),
        ({"criteria": None}, "/criteria"),
        ({"criteria": []}, "/criteria"),
        ({"window": "P0D"}, "/window"),
        ({"measure_after_exit": "P91D"}, "/measure_after_exit"),
    ],
    ids=str,
)
def test_a_change_that_cannot_be_is_refused_with_its_pointer(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidGoal) as refusal:
        parse_changes(changes, GoalType.FORM_SUBMITTED)
    assert pointers(refusal) == [pointer]

"""What an event lacks of a goal's criteria: with both values, and nothing where the criteria hold."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.differences import differences, why_no_match
from goalstream.domain.events import Event
from goalstream.domain.fulfilment import fulfils
from goalstream.domain.goals import (
    CRITERIA_OF,
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalType,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.occurrences import read_occurrence
from tests.unit.domain.builders import at, event, goal
from tests.unit.domain.strategies import CRITERIA

IDS = st.sampled_from([None, "a", "b", " A"])
FIELDS: dict[GoalType, st.SearchStrategy[dict[str, Any]]] = {
    GoalType.TAG_ADDED: st.fixed_dictionaries({}, optional={"tag_id": IDS, "tag_name": IDS}),
    GoalType.PURCHASE_MADE: st.fixed_dictionaries(
        {},
        optional={
            "amount": st.sampled_from([None, "0", Decimal("10.50"), 11]),
            "currency": st.sampled_from([None, "eur", "USD"]),
            "product_id": IDS,
            "product_ids": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        },
    ),
    GoalType.APPOINTMENT_BOOKED: st.fixed_dictionaries({}, optional={"calendar_id": IDS, "service_id": IDS}),
    GoalType.FORM_SUBMITTED: st.fixed_dictionaries({}, optional={"form_id": IDS}),
    GoalType.PIPELINE_STAGE_REACHED: st.fixed_dictionaries({}, optional={"pipeline_id": IDS, "stage_id": IDS}),
}


def told(criteria: Criteria, data: dict[str, Any], hours: float = 0) -> Event:
    """An event of the criteria's type."""
    goal_type = next(goal_type for goal_type, kind in CRITERIA_OF.items() if isinstance(criteria, kind))
    return event(read_occurrence(goal_type.event_type, data), hours, data=data)


@given(st.data(), CRITERIA)
def test_there_is_a_difference_where_the_criteria_do_not_hold_and_nowhere_else(
    data: st.DataObject, criteria: Criteria
) -> None:
    goal_type = next(goal_type for goal_type, kind in CRITERIA_OF.items() if isinstance(criteria, kind))
    one = told(criteria, data.draw(FIELDS[goal_type]))
    found = list(differences(one, criteria))
    assert (found == []) is fulfils(one.occurrence, criteria)
    assert all(wanted != got for _, wanted, got in found)


@pytest.mark.parametrize(
    ("criteria", "data"),
    [
        (TagCriteria(tag_name="Purchased"), {"tag_name": " purchased"}),
        (TagCriteria(tag_id="17"), {"tag_id": "17"}),
        (PurchaseCriteria(min_amount=Decimal(100)), {"amount": "100"}),
        (PurchaseCriteria(currency="EUR"), {"currency": "eur"}),
        (PurchaseCriteria(product_id="a"), {"product_ids": ["b", "a"]}),
        (AppointmentCriteria(any_appointment=True), {}),
    ],
)
def test_there_is_none_where_the_criteria_hold(criteria: Criteria, data: dict[str, Any]) -> None:
    assert list(differences(told(criteria, data), criteria)) == []


@pytest.mark.parametrize(
    ("criteria", "data", "wanted", "got", "text"),
    [
        (
            TagCriteria(tag_name="Purchased"),
            {"tag_name": "Newsletter", "tag_id": "17"},
            {"tag_name": "Purchased"},
            {"tag_name": "Newsletter"},
            'The event has tag_name "Newsletter", and the goal asks for tag_name "Purchased".',
        ),
        (
            TagCriteria(tag_id="17", tag_name="Purchased"),
            {"tag_name": "Purchased", "tag_id": "18"},
            {"tag_id": "17"},
            {"tag_id": "18"},
            'The event has tag_id "18", and the goal asks for tag_id "17".',
        ),
        (
            TagCriteria(tag_id="17"),
            {"tag_name": "Purchased"},
            {"tag_id": "17"},
            {"tag_id": None},
            'The event has no tag_id, and the goal asks for tag_id "17".',
        ),
        (
            PurchaseCriteria(product_id="a", min_amount=Decimal(100), currency="EUR"),
            {"amount": "99.90", "currency": "usd", "product_ids": ["b", "c"]},
            {"product_id": "a", "min_amount": "100", "currency": "EUR"},
            {"product_id": ["b", "c"], "min_amount": "99.9", "currency": "USD"},
            'The event has product_id ["b", "c"], amount "99.9", currency "USD", and the goal asks for product_id "a",'
            ' min_amount "100", currency "EUR".',
        ),
        (
            PurchaseCriteria(product_id="a", min_amount=Decimal(100)),
            {},
            {"product_id": "a", "min_amount": "100"},
            {"product_id": None, "min_amount": None},
            'The event has no product_id, no amount, and the goal asks for product_id "a", min_amount "100".',
        ),
        (
            PurchaseCriteria(product_id="a"),
            {"product_id": "b"},
            {"product_id": "a"},
            {"product_id": "b"},
            'The event has product_id "b", and the goal asks for product_id "a".',
        ),
        (
            AppointmentCriteria(calendar_id="a", service_id="b"),
            {"calendar_id": "a"},
            {"service_id": "b"},
            {"service_id": None},
            'The event has no service_id, and the goal asks for service_id "b".',
        ),
        (
            FormCriteria(form_id="a"),
            {"form_id": "ü"},
            {"form_id": "a"},
            {"form_id": "ü"},
            'The event has form_id "ü", and the goal asks for form_id "a".',
        ),
        (
            StageCriteria(pipeline_id="a", stage_id="b"),
            {"pipeline_id": "a", "stage_id": "c"},
            {"stage_id": "b"},
            {"stage_id": "c"},
            'The event has stage_id "c", and the goal asks for stage_id "b".',
        ),
    ],
)
def test_differences_are_told_key_by_key(
    criteria: Criteria, data: dict[str, Any], wanted: dict[str, Any], got: dict[str, Any], text: str
) -> None:
    found = why_no_match(told(criteria, data), [goal(criteria=criteria)])
    assert found is not None
    assert (found.verdict, found.wanted, found.got, found.text) == ("wrong_criteria", wanted, got, text)


def test_the_version_that_was_in_force_is_asked() -> None:
    purchased, paid = TagCriteria(tag_name="Purchased"), TagCriteria(tag_name="Paid")
    versions = [
        goal(version=3, criteria=paid, effective_from=at(4), is_active=False),
        goal(version=1, criteria=purchased),
        goal(version=2, criteria=paid, effective_from=at(2)),
        goal(version=4, criteria=paid, effective_from=at(6), is_active=False, is_deleted=True),
    ]
    data = {"tag_name": "purchased"}
    assert why_no_match(told(purchased, data, 1), versions) is None
    later = why_no_match(told(purchased, data, 3), versions)
    assert later is not None
    assert (later.verdict, later.wanted) == ("wrong_criteria", {"tag_name": "Paid"})
    paused = why_no_match(told(purchased, data, 4), versions)
    assert paused is not None
    assert (paused.verdict, paused.got) == ("goal_not_in_force", {"is_active": False, "goal_version": 3})
    assert paused.text.endswith("when the goal was paused (version 3) and not active.")
    deleted = why_no_match(told(purchased, data, 7), versions)
    assert deleted is not None
    assert "deleted (version 4)" in deleted.text
    before = why_no_match(told(purchased, data, -101), versions)
    assert before is not None
    assert (before.verdict, before.wanted) == ("goal_not_in_force", {"effective_from": at(0) - timedelta(hours=100)})
    assert before.got == {"occurred_at": at(-101)}


def test_an_event_of_another_type_differs_in_no_key() -> None:
    assert (
        list(
            differences(told(FormCriteria(form_id="a"), {"form_id": "a"}), StageCriteria(pipeline_id="a", stage_id="b"))
        )
        == []
    )

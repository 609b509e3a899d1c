"""Criteria: what is accepted, what is refused and where, and when two are the same."""

from __future__ import annotations

from decimal import Decimal

import pytest

from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalType,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
    criteria_document,
    criteria_key,
    parse_criteria,
)
from goalstream.errors import CriteriaEmpty, InvalidGoal

TAG, BUY, BOOK = GoalType.TAG_ADDED, GoalType.PURCHASE_MADE, GoalType.APPOINTMENT_BOOKED
FORM, STAGE = GoalType.FORM_SUBMITTED, GoalType.PIPELINE_STAGE_REACHED


@pytest.mark.parametrize(
    ("goal_type", "document", "criteria"),
    [
        (TAG, {"tag_id": "t", "tag_name": "Purchased"}, TagCriteria(tag_id="t", tag_name="Purchased")),
        (BUY, {"min_amount": Decimal("100.0")}, PurchaseCriteria(min_amount=Decimal(100))),
        (BUY, {"product_id": None, "min_amount": 100}, PurchaseCriteria(min_amount=Decimal(100))),
        (BUY, {"any_purchase": True}, PurchaseCriteria(any_purchase=True)),
        (BUY, {"currency": "eur"}, PurchaseCriteria(currency="EUR")),
        (BUY, {"min_amount": 0}, PurchaseCriteria(min_amount=Decimal(0))),
        (BOOK, {"calendar_id": "cal-456", "any_appointment": False}, AppointmentCriteria(calendar_id="cal-456")),
        (FORM, {"form_id": "form-123"}, FormCriteria(form_id="form-123")),
        (STAGE, {"pipeline_id": "p", "stage_id": "stage-789"}, StageCriteria(pipeline_id="p", stage_id="stage-789")),
    ],
)
def test_what_the_contract_allows_is_accepted(
    goal_type: GoalType, document: dict[str, object], criteria: Criteria
) -> None:
    assert parse_criteria(goal_type, document) == criteria


@pytest.mark.parametrize("goal_type", list(GoalType))
@pytest.mark.parametrize("document", [{}, {"tag_id": None, "form_id": None}])
def test_criteria_without_effect_are_refused(goal_type: GoalType, document: dict[str, object]) -> None:
    with pytest.raises(InvalidGoal):
        parse_criteria(goal_type, document)


def test_criteria_of_nulls_and_false_are_empty() -> None:
    for goal_type, document in ((TAG, {"tag_id": None}), (BUY, {"any_purchase": False}), (FORM, {}), (STAGE, {})):
        with pytest.raises(CriteriaEmpty, match="Goal criteria cannot be empty"):
            parse_criteria(goal_type, document)


@pytest.mark.parametrize(
    ("goal_type", "document", "pointers"),
    [
        (TAG, {"tag": "x"}, ["/criteria/tag"]),
        (TAG, {"a/b~c": "x", "tag_id": "t"}, ["/criteria/a~1b~0c"]),
        (TAG, {"tag_id": "", "tag_name": "  "}, ["/criteria/tag_id", "/criteria/tag_name"]),
        (TAG, {"tag_id": "x" * 256}, ["/criteria/tag_id"]),
        (TAG, {"tag_id": 7}, ["/criteria/tag_id"]),
        (TAG, {"tag_id": "\x00"}, ["/criteria/tag_id"]),
        (TAG, {"tag_id": "\ud800"}, ["/criteria/tag_id"]),
        (BUY, {"min_amount": -1}, ["/criteria/min_amount"]),
        (BUY, {"min_amount": True}, ["/criteria/min_amount"]),
        (BUY, {"min_amount": "much"}, ["/criteria/min_amount"]),
        (BUY, {"currency": "EURO"}, ["/criteria/currency"]),
        (BUY, {"any_purchase": "yes"}, ["/criteria/any_purchase"]),
        (BUY, {"any_purchase": True, "product_id": "p"}, ["/criteria/any_purchase"]),
        (STAGE, {"pipeline_id": "p"}, ["/criteria/stage_id"]),
    ],
)
def test_what_is_wrong_is_told_with_its_pointer(
    goal_type: GoalType, document: dict[str, object], pointers: list[str]
) -> None:
    with pytest.raises(InvalidGoal) as caught:
        parse_criteria(goal_type, document)
    assert [problem.pointer for problem in caught.value.problems] == pointers


def test_the_longest_text_and_characters_beyond_ascii_are_accepted() -> None:
    assert parse_criteria(TAG, {"tag_name": "é" * 255}) == TagCriteria(tag_name="é" * 255)


def test_answers_show_canonical_criteria() -> None:
    criteria = parse_criteria(
        BUY, {"product_id": None, "min_amount": "150.00", "currency": "eur", "any_purchase": False}
    )
    assert criteria_document(criteria) == {"min_amount": "150", "currency": "EUR"}


def test_the_same_criteria_have_the_same_key() -> None:
    assert criteria_key(TagCriteria(tag_name=" Purchased")) == criteria_key(TagCriteria(tag_name="PURCHASED "))
    assert criteria_key(PurchaseCriteria(min_amount=Decimal("1.50"))) == criteria_key(
        PurchaseCriteria(min_amount=Decimal("1.5"))
    )
    assert criteria_key(TagCriteria(tag_id="a")) != criteria_key(TagCriteria(tag_id="A"))


def test_each_goal_type_has_its_event_type() -> None:
    assert [goal_type.event_type for goal_type in GoalType] == [
        "contact.tag.added",
        "payment.completed",
        "appointment.booked",
        "form.submitted",
        "pipeline.stage.changed",
    ]

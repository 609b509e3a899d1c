"""Criteria: what is accepted, what is refused and where, and when two are the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        (TAG, {"tag_id": "t"}, TagCriteria(tag_id="t")),
        (TAG, {"tag_name": " Purchased "}, TagCriteria(tag_name=" Purchased ")),
        (
            BUY,
            {"product_id": "P", "min_amount": "0.5", "currency": "uSd"},
            PurchaseCriteria(product_id="P", min_amount=Decimal("0.5"), currency="USD"),
        ),
        (
            BUY,
            {"any_purchase": True, "product_id": None, "min_amount": None, "currency": None},
            PurchaseCriteria(any_purchase=True),
        ),
        (BOOK, {"any_appointment": True, "service_id": None}, AppointmentCriteria(any_appointment=True)),
        (BOOK, {"calendar_id": "c", "service_id": "s"}, AppointmentCriteria(calendar_id="c", service_id="s")),
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
    none: dict[str, object] = {"product_id": None, "min_amount": None, "currency": None, "any_purchase": False}
    for goal_type, document in (
        (TAG, {"tag_id": None}),
        (BUY, {"any_purchase": False}),
        (BUY, none),
        (BOOK, {"any_appointment": False}),
        (FORM, {}),
        (FORM, {"form_id": None}),
        (STAGE, {}),
        (STAGE, {"pipeline_id": None, "stage_id": None}),
    ):
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
        (TAG, {"form_id": None, "tag_id": "t"}, ["/criteria/form_id"]),
        (TAG, {"tag_id": False}, ["/criteria/tag_id"]),
        (TAG, {"tag_name": ["x"]}, ["/criteria/tag_name"]),
        (TAG, {"tag_name": "\u3000"}, ["/criteria/tag_name"]),
        (FORM, {"form_id": {}}, ["/criteria/form_id"]),
        (FORM, {"form_id": "f", "tag_id": "t", "x": 1}, ["/criteria/tag_id", "/criteria/x"]),
        (STAGE, {"stage_id": "s", "pipeline_id": None}, ["/criteria/pipeline_id"]),
        (BOOK, {"any_appointment": True, "service_id": "s"}, ["/criteria/any_appointment"]),
        (BOOK, {"any_appointment": 1}, ["/criteria/any_appointment"]),
        (BUY, {"any_purchase": True, "min_amount": 0}, ["/criteria/any_purchase"]),
        (BUY, {"currency": "E1R"}, ["/criteria/currency"]),
        (BUY, {"currency": "\u00c4UR"}, ["/criteria/currency"]),
        (BUY, {"currency": 978}, ["/criteria/currency"]),
        (BUY, {"min_amount": 1.5}, ["/criteria/min_amount"]),
        (BUY, {"min_amount": "1e31", "currency": ""}, ["/criteria/min_amount", "/criteria/currency"]),
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
    keys = {
        criteria_key(one)
        for one in (
            TagCriteria(tag_id="a"),
            TagCriteria(tag_id="A"),
            TagCriteria(tag_name="a"),
            TagCriteria(tag_id="a", tag_name="a"),
            PurchaseCriteria(any_purchase=True),
            PurchaseCriteria(min_amount=Decimal(0)),
            PurchaseCriteria(min_amount=Decimal(1)),
            PurchaseCriteria(product_id="a"),
        )
    }
    assert len(keys) == 8


def test_a_tag_is_shown_by_the_name_that_was_given() -> None:
    assert criteria_document(TagCriteria(tag_name=" Purchased ")) == {"tag_name": " Purchased "}


def test_a_problem_says_what_is_known_and_what_is_expected() -> None:
    with pytest.raises(InvalidGoal) as caught:
        parse_criteria(TAG, {"tag": "x", "tag_id": ""})
    assert [problem.message for problem in caught.value.problems] == [
        "Unknown criteria key for tag_added; known: tag_id, tag_name",
        "must not be empty or blank",
    ]


def test_each_goal_type_has_its_event_type() -> None:
    assert [goal_type.event_type for goal_type in GoalType] == [
        "contact.tag.added",
        "payment.completed",
        "appointment.booked",
        "form.submitted",
        "pipeline.stage.changed",
    ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20).filter(
    str.strip
)
AMOUNTS = st.one_of(
    st.integers(0, 10**30 - 1),
    st.builds("{}E{}".format, st.integers(0, 10**30 - 1), st.integers(-30, 30)),
    st.decimals(0, 10**6, places=2),
)
DOCUMENTS = st.one_of(
    st.tuples(st.just(TAG), st.fixed_dictionaries({}, optional={"tag_id": TEXTS, "tag_name": TEXTS | st.none()})),
    st.tuples(
        st.just(BUY),
        st.fixed_dictionaries(
            {},
            optional={
                "product_id": TEXTS,
                "min_amount": AMOUNTS,
                "currency": st.sampled_from(["eur", "USD"]),
                "any_purchase": st.just(False),
            },
        ),
    ),
    st.tuples(st.just(BUY), st.just({"any_purchase": True})),
    st.tuples(st.just(BOOK), st.fixed_dictionaries({}, optional={"calendar_id": TEXTS, "service_id": TEXTS})),
    st.tuples(st.just(BOOK), st.just({"any_appointment": True})),
    st.tuples(st.just(FORM), st.fixed_dictionaries({"form_id": TEXTS})),
    st.tuples(st.just(STAGE), st.fixed_dictionaries({"pipeline_id": TEXTS, "stage_id": TEXTS})),
).filter(lambda asked: any(value is not None and value is not False for value in asked[1].values()))


@given(asked=DOCUMENTS)
def test_canonical_criteria_are_accepted_again_and_are_the_same(asked: tuple[GoalType, dict[str, Any]]) -> None:
    goal_type, document = asked
    criteria = parse_criteria(goal_type, document)
    shown = criteria_document(criteria)
    assert all(isinstance(value, str) or value is True for value in shown.values())
    again = parse_criteria(goal_type, shown)
    assert again == criteria
    assert criteria_document(again) == shown
    assert criteria_key(again) == criteria_key(criteria)

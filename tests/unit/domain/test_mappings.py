"""Mappings: what a body becomes, and everything that is wrong with a mapping at once."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.mappings import Mapped, Mapping, apply, parse_mapping
from goalstream.domain.topics import READ_TOPICS
from goalstream.errors import InvalidMapping, Problem
from tests.unit.domain.test_expressions import JSON, TEXTS

ORDER: dict[str, Any] = {
    "id": 17,
    "kind": "order.paid",
    "at": "2026-03-10T12:00:00Z",
    "total": Decimal("49.00"),
    "customer": {"crm": "cccccccc-0000-4000-8000-000000000001"},
    "lines": [{"sku": "a"}, {"sku": "b"}],
}
RULE: dict[str, Any] = {
    "when": "kind == 'order.paid'",
    "event_type": "payment.completed",
    "event_id": "id",
    "timestamp": "at",
    "data": {"contact_id": "customer.crm", "amount": "total", "product_ids": "lines[].sku", "currency": "currency"},
}


def parsed(*rules: object, **members: Any) -> Mapping:
    return parse_mapping({"events": list(rules), **members}, event_types=READ_TOPICS)


def problems(document: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidMapping) as caught:
        parse_mapping(document, event_types=READ_TOPICS)
    return [(problem.pointer, problem.message) for problem in caught.value.problems]


def test_a_body_becomes_an_event_with_what_its_expressions_find() -> None:
    mapped = apply(parsed(RULE, call_id="id"), ORDER)
    (event,) = mapped.events
    assert (mapped.call_id, mapped.problems) == ("17", ())
    assert (event.rule, event.event_type, event.event_id, event.timestamp) == (
        0,
        "payment.completed",
        "17",
        ORDER["at"],
    )
    assert event.data == {
        "contact_id": ORDER["customer"]["crm"],
        "amount": Decimal("49.00"),
        "product_ids": ["a", "b"],
    }


def test_each_rule_makes_an_event_where_it_applies() -> None:
    always = {"event_type": "form.submitted", "data": {"form_id": "'f'", "contact_id": None}}
    mapping = parsed(RULE | {"when": "kind == 'other'"}, always, RULE)
    assert [(event.rule, event.event_type) for event in apply(mapping, ORDER).events] == [
        (1, "form.submitted"),
        (2, "payment.completed"),
    ]
    (event,) = apply(mapping, ["no object at all"]).events
    assert (event.event_id, event.timestamp, event.data) == (None, None, {"form_id": "f"})


@pytest.mark.parametrize("body", [None, [], "text", 7, {}, {"kind": None}])
def test_what_no_rule_takes_becomes_nothing(body: object) -> None:
    assert apply(parsed(RULE, call_id="id"), body) == Mapped(call_id=None, events=(), problems=())


@pytest.mark.parametrize(
    ("told", "known"),
    [("a", "a"), (7, "7"), ("", None), ("x" * 256, None), (True, None), (Decimal("1.5"), None), ([], None)],
)
def test_an_id_is_a_text_or_a_whole_number(told: object, known: str | None) -> None:
    mapped = apply(parsed(RULE, call_id="id"), ORDER | {"id": told})
    assert (mapped.call_id, mapped.events[0].event_id) == (known, known)


def test_what_cannot_be_worked_out_is_told_with_its_place() -> None:
    rule = RULE | {"timestamp": "sum(id)", "data": {"a/b~c": "length(id)"}}
    mapped = apply(parsed(rule, RULE | {"when": "sum(id)"}, call_id="sum(id)"), ORDER)
    assert [problem.pointer for problem in mapped.problems] == [
        "/mapping/call_id",
        "/mapping/events/0/data/a~1b~0c",
        "/mapping/events/0/timestamp",
        "/mapping/events/1/when",
    ]


def test_all_expressions_of_a_body_share_one_measure_of_work() -> None:
    fields = {f"f{number}": "lines[].sku" for number in range(50)}
    mapped = apply(parsed(*[RULE | {"data": fields}] * 20), ORDER | {"lines": [{"sku": "x" * 50}] * 1_000})
    assert mapped.problems[0].message.startswith("takes too much work")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], [("/mapping", "must be an object")]),
        ({}, [("/mapping/events", "must be an array of 1 to 20 rules")]),
        ({"events": []}, [("/mapping/events", "must be an array of 1 to 20 rules")]),
        ({"events": [RULE] * 21}, [("/mapping/events", "must be an array of 1 to 20 rules")]),
        ({"events": [7]}, [("/mapping/events/0", "must be an object")]),
        (
            {"events": [RULE], "x/y": 1},
            [("/mapping/x~1y", "Unknown field; known: call_id, events")],
        ),
        (
            {"events": [RULE | {"data": {}}]},
            [("/mapping/events/0/data", "must be an object of 1 to 50 expressions")],
        ),
        (
            {"events": [RULE | {"data": {str(number): "a" for number in range(51)}}]},
            [("/mapping/events/0/data", "must be an object of 1 to 50 expressions")],
        ),
        (
            {"events": [RULE | {"data": {"a": {"b": "c"}}}]},
            [("/mapping/events/0/data/a", "must be a JMESPath expression, as text")],
        ),
    ],
)
def test_what_is_wrong_with_a_mapping(document: object, told: list[tuple[str, str]]) -> None:
    assert problems(document) == told


def test_everything_that_is_wrong_is_told_at_once() -> None:
    rule = {"when": "a[", "event_type": "order.paid", "event_id": 7, "data": {"contact_id": "nope("}, "more": 1}
    found = problems({"call_id": "", "events": [RULE, rule]})
    assert [pointer for pointer, _ in found] == [
        "/mapping/call_id",
        "/mapping/events/1/more",
        "/mapping/events/1/event_type",
        "/mapping/events/1/when",
        "/mapping/events/1/event_id",
        "/mapping/events/1/data/contact_id",
    ]
    assert dict(found)["/mapping/events/1/event_type"] == f"must be one of: {', '.join(READ_TOPICS)}"


NAMES = st.sampled_from(["call_id", "events", "when", "event_type", "data"]) | st.text(max_size=5)
RULES = st.fixed_dictionaries(
    {"event_type": st.sampled_from(READ_TOPICS), "data": st.dictionaries(st.text(max_size=5), TEXTS, max_size=3)},
    optional={"when": TEXTS, "event_id": TEXTS, "timestamp": TEXTS},
)
DOCUMENTS = (
    st.fixed_dictionaries({"events": st.lists(RULES, max_size=3)}, optional={"call_id": TEXTS})
    | st.dictionaries(NAMES, JSON, max_size=3)
    | JSON
)


@given(document=DOCUMENTS, body=JSON)
def test_any_mapping_is_refused_with_places_or_makes_something_of_any_body(document: object, body: object) -> None:
    try:
        mapping = parse_mapping(document, event_types=READ_TOPICS)
        wrong: Sequence[Problem] = apply(mapping, body).problems
    except InvalidMapping as error:
        wrong = error.problems
    assert all(problem.pointer.startswith("/mapping") and problem.message for problem in wrong)

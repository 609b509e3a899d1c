"""Which goals an event fulfils: by index, as a slow look at every version would find them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.events import Appointment, Event, FormSubmission, Occurrence, Payment, StageChange, TagAdded
from goalstream.domain.goal_table import GoalTable
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalVersion,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from tests.unit.domain.builders import OTHER_ACCOUNT, at, event, goal


def table_of(*versions: GoalVersion) -> GoalTable:
    table = GoalTable()
    table.add(versions)
    return table


def fulfils(criteria: Criteria, occurrence: Occurrence) -> bool:
    return bool(table_of(goal(criteria=criteria)).match(event(occurrence)))


@pytest.mark.parametrize(
    ("criteria", "occurrence", "expected"),
    [
        (TagCriteria(tag_id="t"), TagAdded("t", None), True),
        (TagCriteria(tag_id="t"), TagAdded(None, "t"), False),
        (TagCriteria(tag_name=" Purchased "), TagAdded(None, "purchased"), True),
        (TagCriteria(tag_name="Purchased"), TagAdded("t", "purchased"), True),
        (TagCriteria(tag_id="t", tag_name="a"), TagAdded("t", "b"), True),
        (TagCriteria(tag_id="t", tag_name="a"), TagAdded("u", "a"), False),
        (TagCriteria(tag_id="t", tag_name="a"), TagAdded(None, "a"), True),
        (TagCriteria(tag_name="a"), TagAdded(None, None), False),
        (PurchaseCriteria(any_purchase=True), Payment(None, None, ()), True),
        (PurchaseCriteria(min_amount=Decimal(100)), Payment(Decimal("100.00"), "EUR", ()), True),
        (PurchaseCriteria(min_amount=Decimal(100)), Payment(Decimal("99.99"), None, ()), False),
        (PurchaseCriteria(min_amount=Decimal(0)), Payment(None, None, ()), False),
        (PurchaseCriteria(currency="EUR"), Payment(Decimal(1), "EUR", ()), True),
        (PurchaseCriteria(currency="EUR"), Payment(Decimal(1), None, ()), False),
        (PurchaseCriteria(product_id="p"), Payment(None, None, ("o", "p")), True),
        (PurchaseCriteria(product_id="p"), Payment(None, None, ("o",)), False),
        (AppointmentCriteria(any_appointment=True), Appointment(None, None), True),
        (AppointmentCriteria(calendar_id="c"), Appointment("c", "s"), True),
        (AppointmentCriteria(calendar_id="c", service_id="s"), Appointment("c", None), False),
        (FormCriteria(form_id="form-123"), FormSubmission("form-123"), True),
        (FormCriteria(form_id="form-123"), FormSubmission("FORM-123"), False),
        (StageCriteria(pipeline_id="p", stage_id="s"), StageChange("p", "s"), True),
        (StageCriteria(pipeline_id="p", stage_id="s"), StageChange("q", "s"), False),
    ],
)
def test_every_key_that_is_present_must_hold(criteria: Criteria, occurrence: Occurrence, expected: bool) -> None:
    assert fulfils(criteria, occurrence) is expected


def test_accounts_never_meet() -> None:
    table = table_of(goal(), goal("g2", account_id=OTHER_ACCOUNT))
    assert [version.goal_id for version in table.match(event())] == ["g1"]
    assert table.match(event(account_id="nobody")) == []


def test_a_version_is_in_force_until_the_next_one() -> None:
    table = table_of(goal(effective_from=at(0)), goal(version=2, effective_from=at(5)))
    assert table.match(event(hours=-1)) == []
    assert [version.version for version in table.match(event(hours=0))] == [1]
    assert [version.version for version in table.match(event(hours=4.999))] == [1]
    assert [version.version for version in table.match(event(hours=5))] == [2]


def test_what_is_deactivated_or_deleted_matches_no_more_but_still_its_past() -> None:
    second = goal(version=2, effective_from=at(0))
    for newest in (replace(second, is_active=False), replace(second, is_deleted=True)):
        table = table_of(goal(), newest)
        assert len(table) == 0
        assert table.match(event(hours=0)) == []
        assert len(table.match(event(hours=-1))) == 1


def test_a_version_that_is_known_changes_nothing() -> None:
    table = table_of(goal(), goal(), goal(version=2, effective_from=at(0)), goal())
    assert len(table) == 1
    assert len(table.match(event(hours=-1))) == 1


IDS = st.sampled_from([None, "a", "b"])
CRITERIA = st.one_of(
    st.builds(TagCriteria, tag_id=IDS, tag_name=st.sampled_from([None, "A", " b"])),
    st.builds(
        PurchaseCriteria,
        product_id=IDS,
        min_amount=st.sampled_from([None, Decimal(0), Decimal(10), Decimal("10.5")]),
        currency=st.sampled_from([None, "EUR"]),
    ),
    st.builds(AppointmentCriteria, calendar_id=IDS, service_id=IDS),
    st.builds(FormCriteria, form_id=st.sampled_from(["a", "b"])),
    st.builds(StageCriteria, pipeline_id=st.sampled_from(["a", "b"]), stage_id=st.sampled_from(["a", "b"])),
)
OCCURRENCES = st.one_of(
    st.builds(TagAdded, IDS, IDS),
    st.builds(
        Payment,
        st.sampled_from([None, Decimal(0), Decimal(10), Decimal(11)]),
        st.sampled_from([None, "EUR", "USD"]),
        st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
    ),
    st.builds(Appointment, IDS, IDS),
    st.builds(FormSubmission, IDS),
    st.builds(StageChange, IDS, IDS),
)


def slowly_fulfils(criteria: Criteria, occurrence: Occurrence) -> bool:
    """The criteria as the contract says them, one by one."""
    match criteria, occurrence:
        case TagCriteria(), TagAdded():
            if criteria.tag_id is not None and occurrence.tag_id is not None:
                return criteria.tag_id == occurrence.tag_id
            name = None if criteria.tag_name is None else criteria.tag_name.strip().casefold()
            return name is not None and name == occurrence.folded_name
        case PurchaseCriteria(), Payment():
            return (
                (criteria.product_id is None or criteria.product_id in occurrence.product_ids)
                and (criteria.currency is None or criteria.currency == occurrence.currency)
                and (
                    criteria.min_amount is None
                    or (occurrence.amount is not None and occurrence.amount >= criteria.min_amount)
                )
            )
        case AppointmentCriteria(), Appointment():
            return criteria.calendar_id in (None, occurrence.calendar_id) and criteria.service_id in (
                None,
                occurrence.service_id,
            )
        case FormCriteria(), FormSubmission():
            return criteria.form_id == occurrence.form_id
        case StageCriteria(), StageChange():
            return (criteria.pipeline_id, criteria.stage_id) == (occurrence.pipeline_id, occurrence.stage_id)
        case _:
            return False


@given(criteria=st.lists(CRITERIA, max_size=12), occurrence=OCCURRENCES)
def test_the_index_finds_what_a_slow_look_finds(criteria: list[Criteria], occurrence: Occurrence) -> None:
    usable = [one for one in criteria if one != TagCriteria()]
    versions = [goal(f"g{number}", criteria=one) for number, one in enumerate(usable)]
    asked: Event = event(occurrence)
    found = sorted(version.goal_id for version in table_of(*versions).match(asked))
    assert found == sorted(v.goal_id for v in versions if slowly_fulfils(v.criteria, occurrence))

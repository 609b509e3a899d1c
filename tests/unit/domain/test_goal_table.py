"""Which goals an event fulfils: by index, as a slow look at every version would find them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain import goal_table
from goalstream.domain.events import Appointment, FormSubmission, Occurrence, Payment, StageChange, TagAdded
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
from tests.unit.domain.builders import ACCOUNT, OTHER_ACCOUNT, at, event, goal
from tests.unit.domain.reference import matching
from tests.unit.domain.strategies import KINDS, OCCURRENCES


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
        (PurchaseCriteria(any_purchase=True), Payment(Decimal(1), "EUR", ("p",)), True),
        (AppointmentCriteria(any_appointment=True), Appointment(None, None), True),
        (AppointmentCriteria(any_appointment=True), Appointment("c", "s"), True),
        (AppointmentCriteria(service_id="s"), Appointment("c", "s"), True),
        (AppointmentCriteria(service_id="s"), Appointment("s", None), False),
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


def test_from_an_amount_up_every_goal_is_found_and_none_above_it() -> None:
    minimums = [None, "0", "99.99", "100", "100.00", "100.01", "1E+30"]
    goals = [
        goal(
            f"g{number}", criteria=PurchaseCriteria(product_id="p", min_amount=None if text is None else Decimal(text))
        )
        for number, text in enumerate(minimums)
    ]
    found = table_of(*goals[::-1]).match(event(Payment(Decimal(100), None, ("p", "p", "o"))))
    assert sorted(version.goal_id for version in found) == ["g0", "g1", "g2", "g3", "g4"]
    without_amount = table_of(*goals).match(event(Payment(None, None, ("p",))))
    assert [version.goal_id for version in without_amount] == ["g0"]


def test_a_payment_of_nothing_meets_a_minimum_of_nothing() -> None:
    minimums = [Decimal(0), Decimal(0), Decimal("0.01")]
    goals = [
        goal(f"g{number}", criteria=PurchaseCriteria(min_amount=minimum)) for number, minimum in enumerate(minimums)
    ]
    assert len(table_of(*goals).match(event(Payment(Decimal(0), None, ())))) == 2
    assert table_of(*goals).match(event(Payment(None, None, ()))) == []


def test_a_goal_that_is_found_under_several_values_is_found_once() -> None:
    both = table_of(goal(criteria=TagCriteria(tag_id="t", tag_name="Sold")))
    assert len(both.match(event(TagAdded("t", "sold")))) == 1
    changed = table_of(
        goal(criteria=PurchaseCriteria(product_id="p")),
        goal(version=2, criteria=PurchaseCriteria(any_purchase=True), effective_from=at(0)),
    )
    assert [version.version for version in changed.match(event(Payment(None, None, ("p",))))] == [2]
    assert [version.version for version in changed.match(event(Payment(None, None, ("p",)), hours=-1))] == [1]
    assert changed.match(event(Payment(None, None, ("o",)), hours=-1)) == []


def test_a_goal_whose_minimum_changes_stands_among_others_for_each_of_them() -> None:
    def purchase(minimum: str) -> PurchaseCriteria:
        return PurchaseCriteria(product_id="p", min_amount=Decimal(minimum))

    table = table_of(
        goal("other", criteria=purchase("100")),
        goal("g1", criteria=purchase("50")),
        goal("g1", 2, purchase("10"), effective_from=at(1)),
        goal("g1", 3, purchase("200"), effective_from=at(2)),
    )

    def found(amount: str, hours: float) -> list[str]:
        versions = table.match(event(Payment(Decimal(amount), None, ("p",)), hours))
        return sorted(f"{version.goal_id} {version.version}" for version in versions)

    assert (found("49", 0), found("50", 0), found("100", 0)) == ([], ["g1 1"], ["g1 1", "other 1"])
    assert (found("9", 1), found("10", 1)) == ([], ["g1 2"])
    assert (found("199", 2), found("200", 2)) == (["other 1"], ["g1 3", "other 1"])


def test_of_many_versions_the_one_in_force_is_found() -> None:
    table = table_of(goal("other"), *(goal(version=number, effective_from=at(number)) for number in range(1, 100)))
    for hours in (0.5, 1, 1.5, 50, 98.5, 99, 1_000):
        found = {version.goal_id: version.version for version in table.match(event(hours=hours))}
        assert found == {"other": 1} | ({"g1": min(int(hours), 99)} if hours >= 1 else {})


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


@st.composite
def histories(draw: st.DrawFn) -> list[GoalVersion]:
    """Versions of a few goals in two accounts that share goal ids, each goal's in ascending order."""
    versions: list[GoalVersion] = []
    for account_id in (ACCOUNT, OTHER_ACCOUNT):
        for goal_id in ("g1", "g2", "g3", "g4"):
            kind = draw(st.sampled_from(KINDS))
            moments = sorted(draw(st.sets(st.integers(-3, 3), max_size=3)))
            versions += [
                goal(
                    goal_id,
                    number,
                    draw(kind),
                    account_id=account_id,
                    effective_from=at(moment),
                    is_active=draw(st.sampled_from([True, True, False])),
                    is_deleted=draw(st.sampled_from([False, False, True])),
                )
                for number, moment in enumerate(moments, start=1)
            ]
    return versions


@given(
    versions=histories(),
    occurrence=OCCURRENCES,
    hours=st.sampled_from([-4, -3, -2.5, 0, 1, 3, 4]),
    account_id=st.sampled_from([ACCOUNT, OTHER_ACCOUNT]),
    cut=st.integers(0, 24),
)
def test_the_index_finds_what_a_look_at_every_version_finds(
    versions: list[GoalVersion], occurrence: Occurrence, hours: float, account_id: str, cut: int
) -> None:
    asked = event(occurrence, hours, account_id=account_id, record_at=at(hours + 2))
    table = GoalTable()
    for told in (versions[:cut], versions, versions):
        table.add(told)
    found = table.match(asked)
    assert {(version.goal_id, version.version) for version in found} == matching(versions, asked)
    assert len(found) == len({version.goal_id for version in found})
    assert all(version.account_id == account_id for version in found)


@given(
    versions=histories(),
    occurrence=OCCURRENCES,
    hours=st.sampled_from([-2.5, 0, 4]),
    account_id=st.sampled_from([ACCOUNT, OTHER_ACCOUNT]),
)
def test_values_whose_hashes_are_equal_are_told_apart(
    versions: list[GoalVersion], occurrence: Occurrence, hours: float, account_id: str
) -> None:
    asked = event(occurrence, hours, account_id=account_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(goal_table, "hash", lambda _: 7, raising=False)
        table = table_of(*versions)
        found = table.match(asked)
    assert {(version.goal_id, version.version) for version in found} == matching(versions, asked)
    assert len(found) == len({version.goal_id for version in found})
    assert len(table) == len(table_of(*versions))


@given(versions=histories())
def test_the_table_counts_the_goals_that_can_be_achieved(versions: list[GoalVersion]) -> None:
    newest = {(version.account_id, version.goal_id): version for version in versions}
    assert len(table_of(*versions)) == sum(version.can_be_achieved for version in newest.values())

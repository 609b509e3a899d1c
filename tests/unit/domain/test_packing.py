"""What is packed is unpacked as it was, to the digit and the microsecond."""

from __future__ import annotations

from datetime import UTC, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalType,
    GoalVersion,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.packing import pack, unpack
from tests.unit.domain.builders import goal

TEXTS = st.text()
OPTIONAL = st.none() | TEXTS
AMOUNTS = st.decimals(min_value=0, allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(timezones=st.just(UTC))
CRITERIA: st.SearchStrategy[Criteria] = st.one_of(
    st.builds(TagCriteria, tag_id=OPTIONAL, tag_name=OPTIONAL),
    st.builds(
        PurchaseCriteria,
        product_id=OPTIONAL,
        min_amount=st.none() | AMOUNTS,
        currency=OPTIONAL,
        any_purchase=st.booleans(),
    ),
    st.builds(AppointmentCriteria, calendar_id=OPTIONAL, service_id=OPTIONAL, any_appointment=st.booleans()),
    st.builds(FormCriteria, form_id=TEXTS),
    st.builds(StageCriteria, pipeline_id=TEXTS, stage_id=TEXTS),
)
VERSIONS = st.builds(
    GoalVersion,
    account_id=TEXTS,
    workflow_id=TEXTS,
    goal_id=TEXTS,
    version=st.integers(1, 2**31),
    goal_type=st.sampled_from(GoalType),
    criteria=CRITERIA,
    is_active=st.booleans(),
    is_deleted=st.booleans(),
    window=st.none() | st.timedeltas(timedelta(0), timedelta(days=3650)),
    measure_after_exit=st.timedeltas(timedelta(0), timedelta(days=90)),
    effective_from=MOMENTS,
    created_at=MOMENTS,
)


@given(version=VERSIONS)
def test_what_is_unpacked_equals_what_was_packed(version: GoalVersion) -> None:
    assert unpack(pack(version)) == version


@given(amount=AMOUNTS)
def test_amounts_keep_their_digits(amount: Decimal) -> None:
    criteria = PurchaseCriteria(min_amount=amount)
    found = unpack(pack(goal(criteria=criteria))).criteria
    assert isinstance(found, PurchaseCriteria)
    assert str(found.min_amount) == str(amount)


def test_moments_are_in_utc() -> None:
    unpacked = unpack(pack(goal(criteria=FormCriteria(form_id="form-1"))))
    assert unpacked.effective_from.tzinfo is unpacked.created_at.tzinfo is UTC

"""Criteria and occurrences for properties: of few values, so that they often meet."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from goalstream.domain.events import Appointment, FormSubmission, Payment, StageChange, TagAdded
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)

IDS = st.sampled_from([None, "a", "b"])
KINDS: list[st.SearchStrategy[Criteria]] = [
    st.builds(TagCriteria, tag_id=IDS, tag_name=st.sampled_from([None, "A", " b"])).filter(
        lambda one: one != TagCriteria()
    ),
    st.builds(
        PurchaseCriteria,
        product_id=IDS,
        min_amount=st.sampled_from([None, Decimal(0), Decimal(10), Decimal("10.5")]),
        currency=st.sampled_from([None, "EUR"]),
    ),
    st.builds(AppointmentCriteria, calendar_id=IDS, service_id=IDS),
    st.builds(FormCriteria, form_id=st.sampled_from(["a", "b"])),
    st.builds(StageCriteria, pipeline_id=st.sampled_from(["a", "b"]), stage_id=st.sampled_from(["a", "b"])),
]
CRITERIA = st.one_of(KINDS)
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

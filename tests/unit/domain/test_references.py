"""References: which of several changes holds, and what of a goal's criteria does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.references import (
    KnownReferences,
    ReferenceChange,
    ReferenceKind,
    missing_references,
    references_of,
)
from tests.unit.domain.builders import ACCOUNT, at

TAG, FORM, CALENDAR, SERVICE, PRODUCT, PIPELINE, STAGE = ReferenceKind

CHANGE = ReferenceChange(
    account_id=ACCOUNT,
    kind=FORM,
    reference_id="form-1",
    name=None,
    parent_id=None,
    is_deleted=False,
    occurred_at=at(0),
    source="m",
    event_id="m",
    record_at=at(1),
    payload="m",
)


def known(*received: ReferenceKind, **parents: str | None) -> KnownReferences:
    """The kinds ever received, and what exists, by its kind."""
    existing = {(ReferenceKind(name.split("_")[0]), name): parent for name, parent in parents.items()}
    return KnownReferences(received=frozenset(received), parents=existing)


EVERY_CRITERIA: list[tuple[Criteria, Mapping[ReferenceKind, str]]] = [
    (TagCriteria(tag_id="tag_1", tag_name="Purchased"), {TAG: "tag_1"}),
    (TagCriteria(tag_name="Purchased"), {}),
    (FormCriteria(form_id="form_1"), {FORM: "form_1"}),
    (AppointmentCriteria(calendar_id="calendar_1", service_id="service_1"), {CALENDAR: "calendar_1", SERVICE: "service_1"}),
    (AppointmentCriteria(any_appointment=True), {}),
    (PurchaseCriteria(product_id="product_1", currency="EUR"), {PRODUCT: "product_1"}),
    (StageCriteria(pipeline_id="pipeline_1", stage_id="stage_1"), {PIPELINE: "pipeline_1", STAGE: "stage_1"}),
]  # fmt: skip


@pytest.mark.parametrize(("criteria", "named"), EVERY_CRITERIA)
def test_criteria_name_references_by_their_ids_alone(criteria: Criteria, named: Mapping[ReferenceKind, str]) -> None:
    assert references_of(criteria) == named


@pytest.mark.parametrize(("criteria", "named"), EVERY_CRITERIA)
def test_nothing_is_missing_of_kinds_of_which_nothing_was_ever_told(
    criteria: Criteria, named: Mapping[ReferenceKind, str]
) -> None:
    others = set(ReferenceKind) - set(named)
    assert missing_references(criteria, known(*others)) == []


@pytest.mark.parametrize(("criteria", "named"), EVERY_CRITERIA)
def test_everything_that_does_not_exist_is_told(criteria: Criteria, named: Mapping[ReferenceKind, str]) -> None:
    assert missing_references(criteria, known(*ReferenceKind)) == list(named)
    existing: dict[str, Any] = dict.fromkeys(named.values())
    assert missing_references(criteria, known(*ReferenceKind, **existing)) == []


def test_the_same_id_of_another_kind_is_another_reference() -> None:
    there = KnownReferences(received=frozenset(ReferenceKind), parents={(CALENDAR, "x"): None})
    assert missing_references(AppointmentCriteria(calendar_id="x", service_id="x"), there) == [SERVICE]


@pytest.mark.parametrize(
    ("parent_id", "missing"), [("pipeline_1", []), (None, []), ("pipeline_2", [STAGE]), ("", [STAGE])]
)
def test_a_stage_exists_in_its_own_pipeline_alone(parent_id: str | None, missing: list[ReferenceKind]) -> None:
    criteria = StageCriteria(pipeline_id="pipeline_1", stage_id="stage_1")
    assert missing_references(criteria, known(STAGE, stage_1=parent_id)) == missing


def test_what_is_no_stage_may_have_any_parent() -> None:
    assert missing_references(FormCriteria(form_id="form_1"), known(FORM, form_1="folder-7")) == []


@pytest.mark.parametrize(
    "greater",
    [
        {"occurred_at": at(0.5), "event_id": "a", "source": "a", "payload": "a"},
        {"event_id": "n", "source": "a", "payload": "a"},
        {"event_id": "\U00010000", "source": "a"},
        {"source": "n", "payload": "a"},
        {"payload": "n"},
        {"record_at": at(1) - timedelta(milliseconds=1)},
    ],
    ids=lambda greater: next(iter(greater)),
)
def test_the_greater_change_prevails_and_of_copies_the_smaller_record(greater: Mapping[str, Any]) -> None:
    other = replace(CHANGE, **greater)
    assert other.prevails_over(CHANGE)
    assert not CHANGE.prevails_over(other)


def test_a_copy_does_not_prevail_over_itself() -> None:
    assert not CHANGE.prevails_over(replace(CHANGE))


def test_changes_are_about_one_reference_when_account_kind_and_id_are_the_same() -> None:
    others = [replace(CHANGE, account_id="a2"), replace(CHANGE, kind=TAG), replace(CHANGE, reference_id="form-2")]
    assert len({change.identity for change in (CHANGE, *others)}) == 4
    assert replace(CHANGE, name="Contact us", is_deleted=True).identity == CHANGE.identity

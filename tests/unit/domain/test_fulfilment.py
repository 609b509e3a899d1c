"""Whether an occurrence fulfils criteria: compared with the rules written down a second time."""

from __future__ import annotations

import pytest
from hypothesis import given

from goalstream.domain.events import FormSubmission, Occurrence, TagAdded
from goalstream.domain.fulfilment import fulfils
from goalstream.domain.goals import Criteria, TagCriteria
from tests.unit.domain import reference
from tests.unit.domain.strategies import CRITERIA, OCCURRENCES


@given(occurrence=OCCURRENCES, criteria=CRITERIA)
def test_every_key_that_is_present_must_hold_and_the_type_be_the_same(
    occurrence: Occurrence, criteria: Criteria
) -> None:
    assert fulfils(occurrence, criteria) == reference.fulfils(criteria, occurrence)


def test_what_is_of_another_type_fulfils_nothing() -> None:
    assert not fulfils(FormSubmission("t"), TagCriteria(tag_id="t"))


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (TagAdded("t", "other"), True),
        (TagAdded("u", "sold"), False),
        (TagAdded(None, "sold"), True),
        (TagAdded(None, "other"), False),
        (TagAdded(None, None), False),
    ],
)
def test_where_both_sides_have_an_id_it_decides_alone(tag: TagAdded, expected: bool) -> None:
    assert fulfils(tag, TagCriteria(tag_id="t", tag_name=" Sold")) is expected

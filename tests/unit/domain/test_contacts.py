"""Merged and deleted contacts: who stands for whom, and from when on nothing counts."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from goalstream.domain.contacts import Contacts
from goalstream.domain.facts import ContactDeletion, ContactMerge
from goalstream.domain.settlement import Verdict
from tests.unit.domain.builders import at, deletion, end, goal, match, merge, settled, start, verdict


def survivors(*facts: ContactMerge | ContactDeletion) -> dict[str, str]:
    """Who a, b, c and d stand for, found the same in every order of the facts."""
    found = [Contacts(order) for order in itertools.permutations(facts)]
    (same,) = {tuple(contacts.survivor(one) for one in "abcd") for contacts in found}
    return dict(zip("abcd", same, strict=True))


def test_an_id_that_was_merged_away_stands_for_the_survivor_and_chains_are_followed() -> None:
    assert survivors(merge(0, "a", "b")) == {"a": "b", "b": "b", "c": "c", "d": "d"}
    assert survivors(merge(0, "a", "b"), merge(1, "b", "c"), merge(2, "d", "a")) == dict.fromkeys("abcd", "c")


def test_one_step_of_a_chain_is_told_as_well() -> None:
    contacts = Contacts([merge(0, "a", "b"), merge(1, "b", "c")])
    assert [contacts.into(one) for one in "abc"] == ["b", "c", None]


def test_a_merge_whose_loser_is_merged_away_already_is_ignored() -> None:
    assert survivors(merge(1, "a", "c"), merge(0, "a", "b"))["a"] == "b"


@pytest.mark.parametrize("into", ["a", "b"])
def test_a_merge_that_closes_a_cycle_is_ignored(into: str) -> None:
    assert survivors(merge(0, "b", "a"), merge(1, "a", into)) == {"a": "a", "b": "a", "c": "c", "d": "d"}


def test_merges_at_the_same_time_apply_in_the_order_of_their_event_ids_then_of_their_text() -> None:
    assert survivors(merge(0, "a", "c", event_id="2"), merge(0, "a", "b", event_id="1"))["a"] == "b"
    assert survivors(merge(0, "a", "c"), merge(0, "a", "b"))["a"] == "b"
    assert survivors(merge(0, "a", "b", source="t"), merge(0, "a", "c", source="s"))["a"] == "c"


def test_a_deletion_takes_those_with_it_that_stand_for_the_contact_by_then() -> None:
    contacts = Contacts([merge(0, "a", "b"), merge(0, "b", "c", event_id="n"), deletion(1, "c"), merge(2, "d", "c")])
    assert {one: contacts.deleted_at(one) for one in "abcd"} == {"a": at(1), "b": at(1), "c": at(1), "d": None}
    assert contacts.erased == {"a", "b", "c"}


def test_deleting_an_id_that_was_merged_away_before_erases_what_was_recorded_under_it_and_nothing_else() -> None:
    contacts = Contacts([merge(0, "a", "b"), deletion(1, "a")])
    assert contacts.erased == {"a"}
    assert contacts.deleted_at("a") is contacts.deleted_at("b") is None


def test_the_first_of_several_deletions_holds() -> None:
    assert Contacts([deletion(2, "a", event_id="x"), deletion(1, "a")]).deleted_at("a") == at(1)


def test_a_contact_that_is_merged_after_its_deletion_leaves_the_survivor_alone() -> None:
    contacts = Contacts([deletion(0, "a"), merge(1, "a", "b")])
    assert contacts.survivor("a") == "b"
    assert (contacts.deleted_at("a"), contacts.deleted_at("b")) == (at(0), None)


def test_what_the_old_id_did_counts_for_the_survivor_and_the_other_way_round() -> None:
    merges = [merge(5, "c0", "c1")]
    settlement = settled(match(contact_id="c0"), contacts=merges)
    assert settlement.holdings["g1"].contact_id == "c1"
    settlement = settled(match(), starts=[start(contact_id="c0")], contacts=merges)
    assert settlement.holdings["g1"].contact_id == "c1"


def test_a_merge_counts_only_for_matches_that_it_is_in_time_for() -> None:
    assert verdict(match(contact_id="c0"), contacts=[merge(72, "c0", "c1")]) is Verdict.ACHIEVED
    assert verdict(match(contact_id="c0"), contacts=[merge(72.01, "c0", "c1")]) is Verdict.NO_ENROLLMENT


def test_a_contact_that_was_merged_into_somebody_else_is_refused_for_that() -> None:
    assert verdict(match(contact_id="c2"), contacts=[merge(5, "c2", "c3")]) is Verdict.CONTACT_MERGED
    assert verdict(match(), contacts=[merge(5, "c1", "c3"), merge(6, "c1", "c1")]) is Verdict.ACHIEVED
    assert verdict(match(contact_id="c3"), contacts=[merge(5, "c1", "c2")]) is Verdict.CONTACT_MERGED


def test_nothing_counts_from_a_deletion_on_and_everything_before_it_does() -> None:
    assert verdict(match(0), contacts=[deletion(0.001, "c1")]) is Verdict.ACHIEVED
    assert verdict(match(0), contacts=[deletion(0, "c1")]) is Verdict.CONTACT_DELETED


def test_measure_after_exit_does_not_outlast_a_deletion() -> None:
    goals = [goal(measure_after_exit=timedelta(hours=5))]
    facts: dict[str, Any] = {"ends": [end(-1)], "goal_versions": goals}
    assert verdict(match(0), **facts) is Verdict.ACHIEVED
    assert verdict(match(0), contacts=[deletion(-0.5, "c1")], **facts) is Verdict.CONTACT_DELETED


def test_the_deletion_of_whoever_was_enrolled_or_acted_counts() -> None:
    merges = [merge(5, "c0", "c1")]
    earlier = [deletion(-1, "c0"), *merges]
    assert verdict(match(), starts=[start(contact_id="c0")], contacts=earlier) is Verdict.CONTACT_DELETED
    assert verdict(match(contact_id="c0"), contacts=earlier) is Verdict.CONTACT_DELETED
    assert verdict(match(), contacts=earlier) is Verdict.ACHIEVED


def test_a_deletion_ends_the_enrollment() -> None:
    assert settled(match(), contacts=[deletion(3, "c1")]).known.ended_at == at(3)
    assert settled(match(), ends=[end(2)], contacts=[deletion(3, "c1")]).known.ended_at == at(2)
    assert settled(match(), starts=[], contacts=[deletion(3, "c1")]).known.ended_at is None


def test_a_match_recorded_for_one_enrollment_counts_for_no_other() -> None:
    assert verdict(match(enrollment_id="n1")) is Verdict.ACHIEVED
    assert verdict(match(enrollment_id="n2")) is Verdict.NO_ENROLLMENT

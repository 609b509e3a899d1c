"""What the walk through several matches finds: which comes first, when the logic is satisfied, and what copies are."""

from __future__ import annotations

from typing import Any

import pytest

from goalstream.domain.settlement import Settlement, Verdict
from tests.unit.domain.builders import at, end, goal, match, settled, start, status


def achieved(settlement: Settlement) -> dict[str, str]:
    return {goal_id: holding.match.event_id for goal_id, holding in settlement.holdings.items()}


def test_with_any_the_first_goal_satisfies_and_nothing_more_is_recorded() -> None:
    goals = [goal("g1"), goal("g2")]
    settlement = settled(match(0), match(1, "e2", "g2"), match(2, "e3", "g1"), goal_versions=goals)
    assert achieved(settlement) == {"g1": "e1"}
    assert [found for _, found in settlement.verdicts] == [
        Verdict.ACHIEVED,
        Verdict.ALREADY_SATISFIED,
        Verdict.ALREADY_ACHIEVED,
    ]


def test_goals_matched_by_the_same_event_are_named() -> None:
    goals = [goal("g1"), goal("g2", created_at=at(-90)), goal("g3", created_at=at(-80))]
    settlement = settled(match(0), match(0, goal_id="g2"), match(1, "e2", "g3"), goal_versions=goals)
    assert settlement.holdings["g1"].also_matched == ["g2"]


def test_with_all_every_goal_in_force_is_needed() -> None:
    goals = [goal("g1"), goal("g2"), goal("g3", is_active=False), goal("g4", effective_from=at(50))]
    everything = {"goal_versions": goals, "statuses": [status(-20, "active", "all")]}
    first = settled(match(0), **everything)
    assert first.satisfied_by is None
    assert (first.holdings["g1"].met, first.holdings["g1"].required) == (1, 2)
    both = settled(match(0), match(1, "e2", "g2"), **everything)
    assert both.satisfied_by is both.holdings["g2"]
    assert (both.holdings["g2"].met, both.holdings["g2"].required) == (2, 2)


def test_a_status_without_logic_keeps_the_previous_one() -> None:
    statuses = [status(-20, "active", "all"), status(-15, "active")]
    assert settled(match(0), goal_versions=[goal("g1"), goal("g2")], statuses=statuses).satisfied_by is None


def test_the_removal_of_an_unmet_goal_satisfies_nobody_by_itself() -> None:
    goals = [goal("g1"), goal("g2"), goal("g2", version=2, effective_from=at(5), is_deleted=True)]
    assert settled(match(0), goal_versions=goals, statuses=[status(-20, "active", "all")]).satisfied_by is None


def test_at_the_same_time_the_goal_created_first_comes_first() -> None:
    goals = [goal("g1", created_at=at(-50)), goal("g2", created_at=at(-60))]
    assert achieved(settled(match(0), match(0, "e2", "g2"), goal_versions=goals)) == {"g2": "e2"}


def test_an_achievement_whose_match_was_cleaned_away_stays_an_input() -> None:
    settlement = settled(match(1, "e2"), kept=[match(0)], ends=[end(-5)])
    assert achieved(settlement) == {"g1": "e1"}
    assert settlement.verdicts[1][1] is Verdict.AFTER_ENROLLMENT


def test_copies_of_a_match_are_one_with_the_smallest_record_timestamp() -> None:
    copies = [match(0, record_at=at(80)), match(0, record_at=at(70)), match(0, record_at=at(71))]
    for told in (copies, copies[::-1]):
        settlement = settled(*told, ends=[end(-1, record_at=at(143))])
        assert [(one.record_at, found) for one, found in settlement.verdicts] == [(at(70), Verdict.ACHIEVED)]


def test_the_same_event_sent_again_with_another_time_is_another_match_and_the_first_counts() -> None:
    settlement = settled(match(2), match(1))
    assert settlement.holdings["g1"].match.occurred_at == at(1)
    assert [found for _, found in settlement.verdicts] == [Verdict.ACHIEVED, Verdict.ALREADY_ACHIEVED]


def test_a_goal_matched_by_the_same_event_is_named_once() -> None:
    goals = [goal("g1"), goal("g2", created_at=at(-90))]
    both = [match(0), match(0, goal_id="g2"), match(0, goal_id="g2", record_at=at(1))]
    assert settled(*both, goal_versions=goals).holdings["g1"].also_matched == ["g2"]


@pytest.mark.parametrize(
    "other",
    [{"event_id": "e2"}, {"source": "elsewhere"}, {"occurred_at": at(1)}],
)
def test_a_goal_matched_by_another_event_is_not_named(other: dict[str, Any]) -> None:
    goals = [goal("g1"), goal("g2", created_at=at(-90))]
    settlement = settled(match(0), match(**({"goal_id": "g2"} | other)), goal_versions=goals)
    assert settlement.holdings["g1"].also_matched == []


def test_a_match_that_is_stored_again_after_it_was_cleaned_away_does_not_take_its_achievement_back() -> None:
    late_copy = match(0, record_at=at(200))
    for facts in ({"kept": [match(0)]}, {"kept": [match(0), match(0)]}):
        assert [found for _, found in settled(late_copy, **facts).verdicts] == [Verdict.ACHIEVED]


def test_a_match_that_is_still_stored_is_judged_though_it_is_recorded_as_an_achievement() -> None:
    settlement = settled(match(0), kept=[match(0)], ends=[end(-1)])
    assert [found for _, found in settlement.verdicts] == [Verdict.AFTER_ENROLLMENT]


def test_what_was_cleaned_away_satisfies_as_it_did() -> None:
    goals = [goal("g1"), goal("g2")]
    everything: dict[str, Any] = {"goal_versions": goals, "statuses": [status(-20, "active", "all")]}
    settlement = settled(match(1, "e2", "g2"), match(2, "e3", "g2"), kept=[match(0)], **everything)
    assert achieved(settlement) == {"g1": "e1", "g2": "e2"}
    assert settlement.satisfied_by is settlement.holdings["g2"]


def test_a_change_of_logic_satisfies_nobody_by_itself_but_the_next_achievement() -> None:
    goals = [goal("g1"), goal("g2"), goal("g3")]
    statuses = [status(-20, "active", "all"), status(1, "active", "any")]
    first, second = match(0), match(2, "e2", "g2")
    assert settled(first, goal_versions=goals, statuses=statuses).satisfied_by is None
    settlement = settled(first, second, match(3, "e3", "g3"), goal_versions=goals, statuses=statuses)
    assert settlement.satisfied_by is settlement.holdings["g2"]
    assert (settlement.holdings["g2"].met, settlement.holdings["g2"].required) == (1, 1)
    assert "g3" not in settlement.holdings


def test_a_repeated_match_of_an_achieved_goal_tests_no_logic() -> None:
    goals = [goal("g1"), goal("g2")]
    statuses = [status(-20, "active", "all"), status(1, "active", "any")]
    settlement = settled(match(0), match(2, "e2", "g1"), goal_versions=goals, statuses=statuses)
    assert settlement.satisfied_by is None


def test_with_all_a_goal_that_is_removed_is_needed_no_more_by_later_achievements() -> None:
    goals = [goal("g1"), goal("g2"), goal("g3"), goal("g3", version=2, effective_from=at(1), is_deleted=True)]
    settlement = settled(match(0), match(2, "e2", "g2"), goal_versions=goals, statuses=[status(-20, "active", "all")])
    assert settlement.satisfied_by is settlement.holdings["g2"]


def test_a_goal_achieved_before_it_was_removed_is_not_needed_to_be_in_force() -> None:
    goals = [goal("g1"), goal("g1", version=2, effective_from=at(1), is_active=False), goal("g2")]
    settlement = settled(match(0), match(2, "e2", "g2"), goal_versions=goals, statuses=[status(-20, "active", "all")])
    assert (settlement.holdings["g2"].met, settlement.holdings["g2"].required) == (1, 1)
    assert settlement.satisfied_by is settlement.holdings["g2"]


def test_before_its_first_known_status_a_workflow_is_active_with_any() -> None:
    goals = [goal("g1"), goal("g2")]
    settlement = settled(match(0), goal_versions=goals, statuses=[status(1, "inactive", "all")])
    assert settlement.satisfied_by is settlement.holdings["g1"]


def test_an_unknown_workflow_is_active_with_any() -> None:
    settlement = settled(match(0), goal_versions=[goal("g1"), goal("g2")])
    assert settlement.satisfied_by is settlement.holdings["g1"]


def test_at_the_same_time_matches_go_by_goal_then_event_id_then_source_by_code_point() -> None:
    goals = [goal("g2"), goal("gB"), goal("ga")]
    told = [match(0, "a", "ga"), match(0, "b", "gB"), match(0, "Z", "gB", source="t"), match(0, "Z", "gB", source="S")]
    for order in (told, told[::-1]):
        (first, *_) = settled(*order, goal_versions=goals).verdicts
        assert (first[0].goal_id, first[0].event_id, first[0].source) == ("gB", "Z", "S")


def test_the_goal_id_decides_before_the_event_id() -> None:
    goals = [goal("ga"), goal("gb")]
    settlement = settled(match(0, "z", "ga"), match(0, "a", "gb"), goal_versions=goals)
    assert achieved(settlement) == {"ga": "z"}


def test_copies_for_two_contacts_are_two_matches_in_a_fixed_order() -> None:
    both = [match(0, contact_id="c2"), match(0)]
    for told in (both, both[::-1]):
        assert [(one.contact_id, found) for one, found in settled(*told).verdicts] == [
            ("c1", Verdict.ACHIEVED),
            ("c2", Verdict.NO_ENROLLMENT),
        ]


def test_two_events_of_one_source_at_one_time_are_two_matches() -> None:
    found = settled(match(0, "e2"), match(0, "e1")).verdicts
    assert [(one.event_id, said) for one, said in found] == [
        ("e1", Verdict.ACHIEVED),
        ("e2", Verdict.ALREADY_ACHIEVED),
    ]


def test_the_same_match_in_two_accounts_is_two_matches() -> None:
    settlement = settled(match(0, account_id="a2"), match(0))
    assert sorted(found for _, found in settlement.verdicts) == [Verdict.ACHIEVED, Verdict.NO_ENROLLMENT]


def test_what_is_achieved_by_a_clock_ahead_is_one_of_the_goals_that_all_needs() -> None:
    goals = [goal("g1"), goal("g1", version=2, effective_from=at(-1), is_deleted=True), goal("g2")]
    statuses = [status(-20, "active", "all")]
    settlement = settled(match(0, clock_ahead=True), goal_versions=goals, statuses=statuses)
    assert settlement.satisfied_by is None
    assert (settlement.holdings["g1"].met, settlement.holdings["g1"].required) == (1, 2)


def test_another_workflow_that_a_start_names_has_a_status_and_goals_of_its_own() -> None:
    starts = [start(-10), start(-9, event_id="s2", workflow_id="w2")]
    statuses = [status(-20, "active", "all"), status(-1, "inactive", workflow_id="w2")]
    statuses.append(status(-1, "active", "any", workflow_id="w2", event_id="z"))
    goals = [goal("g1"), goal("g2"), goal("g3", workflow_id="w2")]
    first, both = match(0), match(1, "e2", "g2")
    assert settled(first, starts=starts, statuses=statuses, goal_versions=goals).satisfied_by is None
    settlement = settled(first, both, starts=starts, statuses=statuses, goal_versions=goals)
    assert achieved(settlement) == {"g1": "e1", "g2": "e2"}
    assert settlement.satisfied_by is settlement.holdings["g2"]
    assert (settlement.holdings["g2"].met, settlement.holdings["g2"].required) == (2, 2)


def test_every_enrollment_gets_its_own_achievement_of_the_same_event() -> None:
    for begun in (-10, -5):
        again = settled(match(0), starts=[start(begun, enrollment_id=f"n{begun}")])
        assert achieved(again) == {"g1": "e1"}

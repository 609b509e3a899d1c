"""When a match counts: each rule as a sentence, and that neither order nor repetition matters."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, Match, WorkflowStatus
from goalstream.domain.settlement import Settlement, Verdict, holding_end, holding_start, settle
from tests.unit.domain.builders import LATENESS, at, end, enrollment, goal, match, settled, start, status, verdict


def achieved(settlement: Settlement) -> dict[str, str]:
    return {goal_id: holding.match.event_id for goal_id, holding in settlement.holdings.items()}


def test_a_match_within_the_enrollment_is_an_achievement() -> None:
    settlement = settled(match())
    assert achieved(settlement) == {"g1": "e1"}
    assert settlement.satisfied_by is settlement.holdings["g1"]


def test_without_a_start_there_is_no_enrollment() -> None:
    assert verdict(match(), starts=[]) is Verdict.NO_ENROLLMENT


@pytest.mark.parametrize("changes", [{"contact_id": "c2"}, {"workflow_id": "w2"}, {"account_id": "a2"}])
def test_a_match_of_another_account_contact_or_workflow_does_not_count(changes: dict[str, Any]) -> None:
    assert verdict(match(**changes)) is Verdict.NO_ENROLLMENT


def test_the_interval_of_an_enrollment_is_half_open() -> None:
    assert verdict(match(-10)) is Verdict.ACHIEVED
    assert verdict(match(-10.001)) is Verdict.BEFORE_ENROLLMENT
    assert verdict(match(9.999), ends=[end(10)]) is Verdict.ACHIEVED
    assert verdict(match(10), ends=[end(10)]) is Verdict.AFTER_ENROLLMENT


def test_the_echo_of_our_own_exit_closes_its_interval() -> None:
    assert verdict(match(10), ends=[end(10, "goal_achieved")]) is Verdict.ACHIEVED
    assert verdict(match(10.001), ends=[end(10, "goal_achieved")]) is Verdict.AFTER_ENROLLMENT


def test_a_goal_may_be_measured_after_the_exit() -> None:
    later = [goal(measure_after_exit=timedelta(hours=2))]
    assert verdict(match(11.9), ends=[end(10)], goal_versions=later) is Verdict.ACHIEVED
    assert verdict(match(12), ends=[end(10)], goal_versions=later) is Verdict.AFTER_ENROLLMENT
    assert verdict(match(12), ends=[end(10, "goal_achieved")], goal_versions=later) is Verdict.ACHIEVED


def test_an_end_before_the_start_admits_nothing() -> None:
    later = [goal(measure_after_exit=timedelta(days=30))]
    assert verdict(match(), ends=[end(-11)], goal_versions=later) is Verdict.AFTER_ENROLLMENT


def test_a_window_begins_with_the_enrollment_and_is_half_open() -> None:
    short = [goal(window=timedelta(hours=10))]
    assert verdict(match(-0.001), goal_versions=short) is Verdict.ACHIEVED
    assert verdict(match(0), goal_versions=short) is Verdict.OUTSIDE_WINDOW


def test_the_event_that_enrolled_the_contact_does_not_count() -> None:
    assert verdict(match(), starts=[start(trigger_event_id="e1")]) is Verdict.OWN_TRIGGER
    assert verdict(match(source="elsewhere"), starts=[start(trigger_event_id="e1")]) is Verdict.OWN_TRIGGER


def test_a_match_is_judged_by_the_version_in_force_when_it_occurred() -> None:
    versions = [goal(), goal(version=2, effective_from=at(-1)), goal(version=3, effective_from=at(5), is_active=False)]
    assert verdict(match(-2), goal_versions=versions) is Verdict.ACHIEVED
    assert verdict(match(-1), goal_versions=versions) is Verdict.GOAL_NOT_IN_FORCE
    assert verdict(match(0, goal_version=2), goal_versions=versions) is Verdict.ACHIEVED
    assert verdict(match(5, goal_version=3), goal_versions=versions) is Verdict.GOAL_NOT_IN_FORCE
    assert verdict(match(-101, record_at=at(-101)), starts=[start(-200)]) is Verdict.GOAL_NOT_IN_FORCE


def test_a_deleted_goal_is_not_in_force() -> None:
    versions = [goal(), goal(version=2, effective_from=at(-1), is_deleted=True)]
    assert verdict(match(0, goal_version=2), goal_versions=versions) is Verdict.GOAL_NOT_IN_FORCE


def test_a_clock_far_ahead_is_judged_by_the_version_then_known() -> None:
    versions = [goal(), goal(version=2, effective_from=at(-1))]
    assert verdict(match(0, clock_ahead=True), goal_versions=versions) is Verdict.ACHIEVED


@pytest.mark.parametrize("text", ["inactive", "archived", "draft", ""])
def test_only_an_active_workflow_has_achievements(text: str) -> None:
    assert verdict(match(0), statuses=[status(-1, text)]) is Verdict.WORKFLOW_INACTIVE
    assert verdict(match(-2), statuses=[status(-1, text)]) is Verdict.ACHIEVED
    assert verdict(match(0), statuses=[status(-2, text), status(-1)]) is Verdict.ACHIEVED


def test_of_statuses_at_the_same_time_the_greater_event_id_holds() -> None:
    statuses = [status(-1, "active", event_id="a"), status(-1, "inactive", event_id="b")]
    assert verdict(match(0), statuses=statuses) is Verdict.WORKFLOW_INACTIVE


def test_an_event_whose_record_comes_too_late_is_not_judged() -> None:
    assert verdict(match(0, record_at=at(72))) is Verdict.ACHIEVED
    assert verdict(match(0, record_at=at(72.001))) is Verdict.TOO_LATE


def test_facts_that_come_more_than_the_lateness_after_a_match_do_not_judge_it() -> None:
    assert verdict(match(0), ends=[end(-1, record_at=at(72))]) is Verdict.AFTER_ENROLLMENT
    assert verdict(match(0), ends=[end(-1, record_at=at(72.001))]) is Verdict.ACHIEVED
    assert verdict(match(0), starts=[start(record_at=at(72.001))]) is Verdict.NO_ENROLLMENT
    assert verdict(match(0), statuses=[status(-1, "inactive", record_at=at(72.001))]) is Verdict.ACHIEVED


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


def test_a_contact_already_enrolled_gets_a_new_goal_for_later_events_only() -> None:
    young = [goal(effective_from=at(0), created_at=at(-1))]
    assert verdict(match(0), goal_versions=young) is Verdict.ACHIEVED
    assert verdict(match(-0.5), goal_versions=young) is Verdict.GOAL_NOT_IN_FORCE


def test_at_the_same_time_the_goal_created_first_comes_first() -> None:
    goals = [goal("g1", created_at=at(-50)), goal("g2", created_at=at(-60))]
    assert achieved(settled(match(0), match(0, "e2", "g2"), goal_versions=goals)) == {"g2": "e2"}


def test_an_achievement_whose_match_was_cleaned_away_stays_an_input() -> None:
    settlement = settled(match(1, "e2"), kept=[match(0)], ends=[end(-5)])
    assert achieved(settlement) == {"g1": "e1"}
    assert settlement.verdicts[1][1] is Verdict.AFTER_ENROLLMENT


def test_of_contradicting_starts_the_smallest_holds() -> None:
    starts = [start(-5, event_id="b"), start(-5, event_id="a", contact_id="c2"), start(-4, event_id="0")]
    found = holding_start(starts)
    assert found is not None
    assert found.contact_id == "c2"
    assert holding_start([]) is None


def test_of_contradicting_ends_the_smallest_holds_and_the_echo_first() -> None:
    assert holding_end([end(5), end(4, "left"), end(4, "goal_achieved", event_id="z")]) == end(
        4, "goal_achieved", event_id="z"
    )
    assert holding_end([]) is None


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


def test_a_status_holds_from_its_very_moment_on() -> None:
    assert verdict(match(0), statuses=[status(0, "inactive")]) is Verdict.WORKFLOW_INACTIVE


def test_statuses_of_one_time_and_event_id_are_ordered_by_source_then_by_what_they_say() -> None:
    one = status(-1, "active", event_id="a", source="s2")
    other = status(-1, "inactive", event_id="a", source="s1")
    for statuses in ([one, other], [other, one]):
        assert verdict(match(0), statuses=statuses) is Verdict.ACHIEVED
    one, other = (status(-1, text, event_id="a") for text in ("active", "inactive"))
    for statuses in ([one, other], [other, one]):
        assert verdict(match(0), statuses=statuses) is Verdict.WORKFLOW_INACTIVE
    silent, named = status(-1, "active", event_id="a"), status(-1, "inactive", "any", event_id="a")
    for statuses in ([silent, named], [named, silent]):
        assert verdict(match(0), statuses=statuses) is Verdict.ACHIEVED


def test_an_end_at_the_very_start_admits_only_what_the_echo_or_the_goal_lets_in() -> None:
    later = [goal(measure_after_exit=timedelta(hours=1))]
    assert verdict(match(-10), ends=[end(-10)]) is Verdict.AFTER_ENROLLMENT
    assert verdict(match(-10), ends=[end(-10, "goal_achieved")]) is Verdict.ACHIEVED
    assert verdict(match(-9.5), ends=[end(-10)], goal_versions=later) is Verdict.ACHIEVED


def test_the_start_that_holds_gives_the_trigger() -> None:
    starts = [start(-10, trigger_event_id="e2"), start(-9, event_id="s2", trigger_event_id="e1")]
    assert verdict(match(0), starts=starts) is Verdict.ACHIEVED
    assert verdict(match(0, "e2"), starts=starts) is Verdict.OWN_TRIGGER


def test_a_start_that_is_not_in_time_leaves_the_next_one() -> None:
    starts = [start(-10, record_at=at(73)), start(1, event_id="s2", record_at=at(1))]
    assert verdict(match(0), starts=starts) is Verdict.BEFORE_ENROLLMENT
    assert verdict(match(0, record_at=at(1)), starts=starts) is Verdict.ACHIEVED


def test_of_several_reasons_the_first_in_the_order_of_the_contract_is_told() -> None:
    everything: dict[str, Any] = {
        "starts": [start(1, trigger_event_id="e1")],
        "ends": [end(0)],
        "statuses": [status(-1, "inactive")],
        "goal_versions": [goal(is_active=False), goal(version=2, effective_from=at(50))],
    }
    assert verdict(match(0, record_at=at(73)), **everything | {"starts": []}) is Verdict.TOO_LATE
    assert verdict(match(0), **everything | {"starts": []}) is Verdict.NO_ENROLLMENT
    assert verdict(match(0), **everything) is Verdict.GOAL_NOT_IN_FORCE
    everything["goal_versions"] = [goal(window=timedelta(hours=1))]
    assert verdict(match(0), **everything) is Verdict.WORKFLOW_INACTIVE
    del everything["statuses"]
    assert verdict(match(0), **everything) is Verdict.BEFORE_ENROLLMENT
    everything["starts"] = [start(-2, trigger_event_id="e1")]
    assert verdict(match(0), **everything) is Verdict.AFTER_ENROLLMENT
    del everything["ends"]
    assert verdict(match(0), **everything) is Verdict.OUTSIDE_WINDOW
    del everything["goal_versions"]
    assert verdict(match(0), **everything) is Verdict.OWN_TRIGGER


def test_at_the_same_time_matches_go_by_goal_then_event_id_then_source_by_code_point() -> None:
    goals = [goal("g2"), goal("gB"), goal("ga")]
    told = [match(0, "a", "ga"), match(0, "b", "gB"), match(0, "Z", "gB", source="t"), match(0, "Z", "gB", source="S")]
    for order in (told, told[::-1]):
        (first, *_) = settled(*order, goal_versions=goals).verdicts
        assert (first[0].goal_id, first[0].event_id, first[0].source) == ("gB", "Z", "S")


def test_of_starts_with_one_time_and_event_id_source_and_content_decide() -> None:
    assert holding_start([start(source="b", contact_id="c1"), start(source="a", contact_id="c2")]) == start(
        source="a", contact_id="c2"
    )
    assert holding_start([start(contact_id="c2"), start(contact_id="c1")]) == start(contact_id="c1")
    assert holding_start([start(), start(trigger_event_id="e")]) == start(trigger_event_id="e")
    assert holding_start([start(workflow_id="w2"), start(workflow_id="w1")]) == start(workflow_id="w1")


def test_every_enrollment_gets_its_own_achievement_of_the_same_event() -> None:
    for begun in (-10, -5):
        again = settled(match(0), starts=[start(begun, enrollment_id=f"n{begun}")])
        assert achieved(again) == {"g1": "e1"}


HOURS = st.sampled_from([-12, -10, -1, 0, 0.5, 1, 10, 80])
MATCHES = st.lists(
    st.builds(
        match,
        hours=HOURS,
        event_id=st.sampled_from(["e1", "e2", "e3"]),
        goal_id=st.sampled_from(["g1", "g2"]),
        goal_version=st.sampled_from([1, 2]),
        contact_id=st.sampled_from(["c1", "c2"]),
        record_at=st.sampled_from([at(0), at(75), at(150)]),
    ),
    max_size=6,
    unique_by=lambda one: (one.event_id, one.goal_id, one.occurred_at, one.contact_id),
)
STARTS = st.lists(
    st.builds(
        start, hours=HOURS, contact_id=st.sampled_from(["c1", "c2"]), record_at=st.sampled_from([at(0), at(100)])
    ),
    max_size=3,
)
ENDS = st.lists(
    st.builds(
        end, hours=HOURS, reason=st.sampled_from([None, "goal_achieved"]), record_at=st.sampled_from([at(0), at(100)])
    ),
    max_size=3,
)
STATUSES = st.lists(
    st.builds(
        status, hours=HOURS, text=st.sampled_from(["active", "inactive"]), logic=st.sampled_from([None, "any", "all"])
    ),
    max_size=3,
)
GOALS = [goal("g1"), goal("g2"), goal("g2", version=2, effective_from=at(0.2), measure_after_exit=timedelta(hours=3))]


@given(matches=MATCHES, starts=STARTS, ends=ENDS, statuses=STATUSES, seed=st.integers(0, 1_000))
def test_neither_order_nor_repetition_of_facts_matters(
    matches: list[Match],
    starts: list[EnrollmentStart],
    ends: list[EnrollmentEnd],
    statuses: list[WorkflowStatus],
    seed: int,
) -> None:
    def state(**facts: Any) -> object:
        settlement = settle(enrollment(**facts), allowed_lateness=LATENESS)
        holding = settlement.satisfied_by
        return achieved(settlement), holding and holding.match.goal_id

    chance = random.Random(seed)
    plain: dict[str, Any] = {"starts": starts, "ends": ends, "statuses": statuses, "goal_versions": GOALS}
    mixed = {
        name: chance.sample([*facts, *facts], 2 * len(facts))
        for name, facts in plain.items()
        if name != "goal_versions"
    }
    shuffled = chance.sample(matches, len(matches))
    assert state(matches=matches, **plain) == state(matches=shuffled, **mixed, goal_versions=GOALS[::-1])

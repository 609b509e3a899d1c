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


@pytest.mark.parametrize("changes", [{"contact_id": "c2"}, {"workflow_id": "w2"}])
def test_a_match_of_another_contact_or_workflow_does_not_count(changes: dict[str, Any]) -> None:
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

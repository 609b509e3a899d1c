"""When a match counts: each rule as a sentence."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from goalstream.domain.circumstances import holding_end, holding_start, last_status
from goalstream.domain.settlement import Verdict
from tests.unit.domain.builders import at, end, goal, match, settled, start, status, verdict


def test_a_match_within_the_enrollment_is_an_achievement() -> None:
    settlement = settled(match())
    assert settlement.holdings["g1"].match == match()
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


def test_a_contact_already_enrolled_gets_a_new_goal_for_later_events_only() -> None:
    young = [goal(effective_from=at(0), created_at=at(-1))]
    assert verdict(match(0), goal_versions=young) is Verdict.ACHIEVED
    assert verdict(match(-0.5), goal_versions=young) is Verdict.GOAL_NOT_IN_FORCE


def test_of_contradicting_starts_the_smallest_holds() -> None:
    starts = [start(-5, event_id="b"), start(-5, event_id="a", contact_id="c2"), start(-4, event_id="0")]
    found = holding_start(starts)
    assert found is not None
    assert found.contact_id == "c2"
    assert holding_start([]) is None


def test_a_workflows_last_status_has_the_name_and_the_logic_that_were_told_last() -> None:
    told = [status(3, "paused"), status(1, "active", "any", name="Old"), status(2, "active", "all", name="New")]
    found = last_status(told)
    assert found is not None
    assert (found.status, found.name, found.goal_logic) == ("paused", "New", "all")
    bare = last_status([status(1)])
    assert bare is not None
    assert (bare.name, bare.goal_logic) == (None, None)
    assert last_status([]) is None


def test_of_contradicting_ends_the_smallest_holds_and_the_echo_first() -> None:
    assert holding_end([end(5), end(4, "left"), end(4, "goal_achieved", event_id="z")]) == end(
        4, "goal_achieved", event_id="z"
    )
    assert holding_end([]) is None


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


def test_of_starts_with_one_time_and_event_id_source_and_content_decide() -> None:
    assert holding_start([start(source="b", contact_id="c1"), start(source="a", contact_id="c2")]) == start(
        source="a", contact_id="c2"
    )
    assert holding_start([start(contact_id="c2"), start(contact_id="c1")]) == start(contact_id="c1")
    assert holding_start([start(), start(trigger_event_id="e")]) == start(trigger_event_id="e")
    assert holding_start([start(workflow_id="w2"), start(workflow_id="w1")]) == start(workflow_id="w1")


def test_the_event_id_decides_before_the_source() -> None:
    assert holding_start([start(source="a", event_id="s2"), start(source="b", event_id="s1")]) == start(
        source="b", event_id="s1"
    )
    statuses = [status(-1, "inactive", event_id="b", source="a"), status(-1, "active", event_id="a", source="b")]
    assert verdict(match(0), statuses=statuses) is Verdict.WORKFLOW_INACTIVE
    first, _ = settled(match(0, "a", source="t"), match(0, "b", source="s")).verdicts
    assert first[0].event_id == "a"


def test_the_last_ties_are_decided_by_the_canonical_json_of_what_a_fact_says() -> None:
    """A closing quote sorts after a blank, and a quote inside a text is escaped."""
    assert holding_start([start(trigger_event_id="e1"), start(trigger_event_id="e1 x")]) == start(
        trigger_event_id="e1 x"
    )
    assert holding_start([start(trigger_event_id='e"'), start(trigger_event_id="eA")]) == start(trigger_event_id="eA")
    promo = [status(-1, name="Promo", event_id="s"), status(-1, "off", name="Promo 2", event_id="s")]
    assert verdict(match(), statuses=promo) is Verdict.ACHIEVED

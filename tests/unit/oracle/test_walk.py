"""Worked examples for every point of section 4, their answers written by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.oracle.history import PAYMENT_COMPLETED, Digits, Record
from tests.oracle.oracle import exits, satisfied, valid_achievements
from tests.unit.oracle.builders import (
    ACCOUNT,
    ANNA,
    BERT,
    CARL,
    DORA,
    ENROLLMENT,
    GOAL,
    LATENESS,
    OTHER_ACCOUNT,
    OTHER_ENROLLMENT,
    OTHER_WORKFLOW,
    SECOND_GOAL,
    THIRD_GOAL,
    achieved,
    achievement,
    at,
    deleted,
    ended,
    fact,
    goal,
    history,
    merged,
    started,
    status,
    tagged,
    verdict,
    verdicts,
)

TWO_GOALS = [goal(GOAL, "t"), goal(SECOND_GOAL, "u")]
BOTH = [(ENROLLMENT, GOAL), (ENROLLMENT, SECOND_GOAL)]


# 1. A match counts when …


def test_an_event_of_an_enrolled_contact_achieves_the_goal() -> None:
    assert achieved(started(0), tagged(1)) == {(ENROLLMENT, GOAL): "e1"}


def test_an_achievement_tells_its_event() -> None:
    found = achievement(started(0), tagged(1, source="/crm"))
    assert (found.event_id, found.source, found.occurred_at, found.goal_version) == ("e1", "/crm", at(1), 1)
    assert found.contact_id == found.match_contact_id == ANNA


def test_another_contact_or_another_workflow_is_not_enrolled() -> None:
    assert verdict(started(0), tagged(1, contact=BERT)) == "no_enrollment"
    assert verdict(started(0, workflow=OTHER_WORKFLOW), tagged(1)) == "no_enrollment"
    assert verdict(ended(5), tagged(1)) == "no_enrollment"


def test_the_moment_of_entering_counts_and_the_moment_of_the_end_does_not() -> None:
    assert verdict(started(0), tagged(0)) == "achieved"
    assert verdict(started(0), ended(5), tagged(4.999)) == "achieved"
    assert verdict(started(0), ended(5), tagged(5)) == "after_enrollment"


def test_measuring_after_the_exit_is_half_open_too() -> None:
    goals = [goal(measure_after_exit=timedelta(hours=2))]
    assert verdict(started(0), ended(5), tagged(6.999), goals=goals) == "achieved"
    assert verdict(started(0), ended(5), tagged(7), goals=goals) == "after_enrollment"


def test_a_window_is_half_open() -> None:
    goals = [goal(window=timedelta(hours=3))]
    assert verdict(started(0), tagged(2.999), goals=goals) == "achieved"
    assert verdict(started(0), tagged(3), goals=goals) == "outside_window"


def test_the_event_that_enrolled_the_contact_does_not_count_whatever_its_source() -> None:
    assert verdict(started(0, trigger="e1"), tagged(1)) == "own_trigger"
    assert verdict(started(0, trigger="e1"), tagged(1, source="/crm")) == "own_trigger"
    assert verdict(started(0, trigger="e2"), tagged(1)) == "achieved"


# 2. The first that counts is the achievement, and tests the logic.


def test_the_first_counting_match_of_a_goal_is_its_achievement() -> None:
    found = verdicts(started(0), status(-1, logic="all"), tagged(2, "e2"), tagged(1, "e1"), goals=TWO_GOALS)
    assert found == [("e1", "achieved"), ("e2", "already_achieved")]


def test_any_is_satisfied_at_once_and_nothing_more_is_recorded() -> None:
    records = [started(0), tagged(1, "e1"), tagged(2, "e2", tag="u"), tagged(3, "e3")]
    found = verdicts(*records, goals=TWO_GOALS)
    assert found == [("e1", "achieved"), ("e2", "already_satisfied"), ("e3", "already_achieved")]
    (satisfier,) = satisfied(history(*records, goals=TWO_GOALS), LATENESS).values()
    assert satisfier.event_id == "e1"


def test_all_is_satisfied_when_every_goal_then_in_force_is_achieved() -> None:
    records = [status(-1, logic="all"), started(0), tagged(1, "e1"), tagged(2, "e2", tag="u")]
    assert list(achieved(*records, goals=TWO_GOALS)) == BOTH
    assert satisfied(history(*records[:-1], goals=TWO_GOALS), LATENESS) == {}
    (satisfier,) = satisfied(history(*records, goals=TWO_GOALS), LATENESS).values()
    assert satisfier.event_id == "e2"


@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"is_deleted": True},
        {"effective_from": at(50)},
        {"workflow_id": OTHER_WORKFLOW},
        {"account_id": OTHER_ACCOUNT},
    ],
)
def test_all_does_not_ask_for_goals_that_are_not_in_force_or_of_another_workflow(change: dict[str, object]) -> None:
    goals = [goal(), replace(goal(SECOND_GOAL, "u"), **change)]  # type: ignore[arg-type]
    told = history(status(-1, logic="all"), started(0), tagged(1), goals=goals)
    assert len(satisfied(told, LATENESS)) == 1


def test_neither_a_change_of_logic_nor_the_removal_of_an_unmet_goal_satisfies_anybody() -> None:
    changed = [status(-1, logic="all"), started(0), tagged(1, "e1"), status(2, logic="any", event_id="w2")]
    assert satisfied(history(*changed, goals=TWO_GOALS), LATENESS) == {}
    removed = replace(goal(SECOND_GOAL, "u"), version=2, is_deleted=True, effective_from=at(2))
    assert satisfied(history(*changed[:-1], goals=[*TWO_GOALS, removed]), LATENESS) == {}


def test_the_next_achievement_tests_the_logic_then_in_force() -> None:
    goals = [*TWO_GOALS, goal(THIRD_GOAL, "v")]
    records = [status(-1, logic="all"), started(0), tagged(1, "e1"), status(2, logic="any", event_id="w2")]
    found = verdicts(*records, tagged(3, "e3", tag="u"), tagged(4, "e4", tag="v"), goals=goals)
    assert found == [("e1", "achieved"), ("e3", "achieved"), ("e4", "already_satisfied")]


def test_matches_at_one_time_are_taken_by_the_goals_age_then_by_goal_event_and_source() -> None:
    older = replace(goal(SECOND_GOAL, "t"), created_at=at(-101))
    assert achieved(started(0), tagged(1), goals=[goal(), older]) == {(ENROLLMENT, SECOND_GOAL): "e1"}
    assert achieved(started(0), tagged(1), goals=[goal(SECOND_GOAL), goal()]) == {(ENROLLMENT, GOAL): "e1"}
    assert achieved(started(0), tagged(1, "e9"), tagged(1, "e10")) == {(ENROLLMENT, GOAL): "e10"}
    assert achievement(started(0), tagged(1, source="/b"), tagged(1, source="/a")).source == "/a"
    assert achievement(started(0), tagged(1, "e1", source="/b"), tagged(1, "e2", source="/a")).source == "/b"


# 3. One exit.


def test_whoever_is_satisfied_and_never_ended_must_have_left() -> None:
    records = [started(0), tagged(1)]
    assert exits(history(*records), LATENESS) == {(ACCOUNT, ENROLLMENT)}
    assert exits(history(started(0)), LATENESS) == set()
    assert exits(history(*records, ended(9)), LATENESS) == set()
    assert exits(history(*records, merged(3, BERT, ANNA), deleted(4, BERT)), LATENESS) == set()
    assert exits(history(*records, deleted(4, BERT)), LATENESS) == {(ACCOUNT, ENROLLMENT)}
    assert exits(history(*records, deleted(4, ANNA, account=OTHER_ACCOUNT)), LATENESS) == {(ACCOUNT, ENROLLMENT)}


# 4 to 7. Before, out of order, late.


def test_what_happened_before_the_enrollment_does_not_count() -> None:
    assert verdict(started(0), tagged(-0.001)) == "before_enrollment"


def test_an_event_may_arrive_before_its_enrollment() -> None:
    assert (
        achieved(tagged(1), started(0, late=8)) == achieved(started(0, late=8), tagged(1)) == {(ENROLLMENT, GOAL): "e1"}
    )


def test_an_event_may_be_as_late_as_is_allowed_and_no_later() -> None:
    assert verdict(started(0), tagged(1, late=10)) == "achieved"
    assert verdict(started(0), tagged(1, late=10.001)) == "too_late"


def test_a_match_is_judged_by_facts_whose_records_are_at_most_so_much_later_than_its_own() -> None:
    assert verdict(started(0, late=11), tagged(1)) == "achieved"
    assert verdict(started(0, late=11.001), tagged(1)) == "no_enrollment"
    assert verdict(started(0, late=11.001), tagged(1, late=0.001)) == "achieved"
    assert verdict(started(0), ended(0.5, late=10.5), tagged(1)) == "after_enrollment"
    assert verdict(started(0), ended(0.5, late=10.501), tagged(1)) == "achieved"
    assert verdict(started(0), status(-1, "inactive", late=12.001), tagged(1)) == "achieved"


def test_an_event_of_before_the_end_counts_although_it_arrives_after_it() -> None:
    assert verdict(started(0), ended(3), tagged(1, late=9)) == "achieved"


# 8 and 9. The walk is done anew whenever another fact is known.


def test_an_earlier_match_takes_the_achievement_over() -> None:
    assert achievement(started(0), tagged(2, "e2"), tagged(1, "e1", late=9)).event_id == "e1"


def test_a_match_that_loses_its_ground_leaves_the_achievement_to_the_next() -> None:
    records = [started(0), tagged(1, "e1"), tagged(3, "e2")]
    assert achieved(*records, status(0.5, "paused"), status(2, event_id="w2")) == {(ENROLLMENT, GOAL): "e2"}
    assert achieved(*records, status(0.5, "paused")) == {}


def test_an_earlier_achievement_that_satisfies_the_logic_leaves_no_room_for_a_later_one() -> None:
    found = verdicts(started(0), tagged(2, "e2", tag="u"), tagged(1, "e1", late=5), goals=TWO_GOALS)
    assert found == [("e1", "achieved"), ("e2", "already_satisfied")]


# 11 and 12. The echo of our exit; time.


def test_the_last_moment_of_an_echo_counts() -> None:
    assert verdict(started(0), ended(5, "goal_achieved"), tagged(5)) == "achieved"
    assert verdict(started(0), ended(5, "goal_achieved"), tagged(5.001)) == "after_enrollment"
    goals = [goal(measure_after_exit=timedelta(hours=2))]
    assert verdict(started(0), ended(5, "goal_achieved"), tagged(7), goals=goals) == "achieved"


def test_of_ends_at_the_same_time_the_echo_holds() -> None:
    ends = [ended(5, "completed", "x0"), ended(5, "goal_achieved", "x1"), ended(6, "goal_achieved", "x2")]
    assert verdict(started(0), *ends, tagged(5)) == "achieved"
    assert verdict(started(0), ended(4, "completed"), *ends, tagged(5)) == "after_enrollment"


@pytest.mark.parametrize("timestamp", [None, at(3.001).isoformat(), "9999-12-31T23:59:59Z"])
def test_a_time_that_is_missing_or_after_the_record_is_the_records(timestamp: str | None) -> None:
    record = tagged(1, late=2, timestamp=timestamp)
    assert achievement(started(0), record).occurred_at == at(3)


def test_explicit_times_of_enrollments_are_taken_as_they_are_and_the_envelopes_is_the_default() -> None:
    assert verdict(started(0, entered_at=5), tagged(1)) == "before_enrollment"
    assert verdict(started(2, entered_at=0), tagged(1)) == "achieved"
    assert verdict(started(0), ended(0.5, ended_at=4), tagged(3)) == "achieved"
    assert verdict(started(2), tagged(1)) == "before_enrollment"


# 13. Duplicates.


def test_copies_are_one_match_with_the_smallest_record_timestamp() -> None:
    assert verdict(started(0), tagged(1, late=11), tagged(1, late=2)) == "achieved"
    late_start = started(0, late=11.5)
    assert verdict(late_start, tagged(1, late=9), tagged(1)) == "no_enrollment"


def test_a_copy_with_another_time_source_or_contact_is_another_match() -> None:
    assert verdicts(started(0), tagged(1), tagged(2)) == [("e1", "achieved"), ("e1", "already_achieved")]
    assert len(verdicts(started(0), tagged(1), tagged(1, source="/crm"))) == 2
    assert len(verdicts(started(0), tagged(1), tagged(1, contact=BERT))) == 2


def test_of_a_fact_repeated_identically_the_smallest_record_timestamp_is_kept() -> None:
    assert verdict(started(0, late=20), started(0, late=1), tagged(1)) == "achieved"
    assert verdict(started(0, late=20), started(0, "s2", contact=BERT, late=1), tagged(1)) == "no_enrollment"


def test_a_missing_event_id_is_the_same_for_the_same_payload() -> None:
    anonymous = [tagged(1, event_id) for event_id in (None, None)]  # type: ignore[arg-type]
    assert len(verdicts(started(0), *anonymous)) == 1


# 14. Goals change.


def test_an_event_is_judged_by_the_version_in_force_when_it_occurred() -> None:
    goals = [goal(), replace(goal(tag="u"), version=2, effective_from=at(3))]
    assert achievement(started(0), tagged(2.999), goals=goals).goal_version == 1
    assert verdict(started(0), tagged(3), goals=goals) == "goal_not_in_force"
    assert verdict(started(0), tagged(2, tag="u"), goals=goals) == "goal_not_in_force"
    assert achievement(started(0), tagged(3, tag="u"), goals=goals).goal_version == 2


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_deleted": True}])
def test_a_goal_that_is_inactive_or_deleted_is_not_in_force(change: dict[str, bool]) -> None:
    goals = [goal(), replace(goal(), version=2, effective_from=at(3), **change)]  # type: ignore[arg-type]
    assert verdict(started(0), tagged(2), goals=goals) == "achieved"
    assert verdict(started(0), tagged(4), goals=goals) == "goal_not_in_force"


def test_the_enrolled_get_a_new_goal_for_later_events_only() -> None:
    goals = [replace(goal(), effective_from=at(3), created_at=at(3))]
    assert verdict(started(0), tagged(2), goals=goals) == "goal_not_in_force"
    assert verdict(started(0), tagged(3), goals=goals) == "achieved"


def test_a_copy_that_only_an_older_version_would_take_does_not_hide_one_that_counts() -> None:
    def paid(amount: object, late: float) -> Record:
        return fact(PAYMENT_COMPLETED, 4, {"contact_id": ANNA, "amount": amount}, event_id="p", late=late)

    first = goal(goal_type="purchase_made", criteria={"min_amount": 10})
    goals = [first, replace(first, version=2, criteria={"min_amount": "150.00"}, effective_from=at(3))]
    assert achievement(started(0), paid(20, 0), paid(Digits("1.5e2"), 1), goals=goals).goal_version == 2


# 15. Re-enrollment.


def test_every_enrollment_achieves_for_itself() -> None:
    parallel = [started(0), started(0, "s2", enrollment=OTHER_ENROLLMENT), tagged(1)]
    assert achieved(*parallel) == {(ENROLLMENT, GOAL): "e1", (OTHER_ENROLLMENT, GOAL): "e1"}
    again = [started(0), tagged(1), ended(2, "goal_achieved"), started(3, "s2", enrollment=OTHER_ENROLLMENT)]
    assert achieved(*again, tagged(4, "e2")) == {(ENROLLMENT, GOAL): "e1", (OTHER_ENROLLMENT, GOAL): "e2"}


# 16. Workflows.


@pytest.mark.parametrize("text", ["inactive", "draft", "archived", "Active", "deleted"])
def test_every_status_but_active_is_not_active(text: str) -> None:
    assert verdict(started(0), status(0, text), tagged(1)) == "workflow_inactive"


def test_before_its_first_known_status_a_workflow_is_active_with_logic_any() -> None:
    assert verdict(started(0), status(1.001, "inactive"), tagged(1)) == "achieved"
    assert verdict(started(0), status(1, "inactive"), tagged(1)) == "workflow_inactive"
    assert len(satisfied(history(started(0), status(2, logic="all"), tagged(1), goals=TWO_GOALS), LATENESS)) == 1


def test_a_status_without_logic_keeps_the_previous_one() -> None:
    told = [status(-2, logic="all", event_id="w0"), status(-1, event_id="w2"), started(0), tagged(1)]
    assert satisfied(history(*told, goals=TWO_GOALS), LATENESS) == {}


def test_of_statuses_at_the_same_time_the_greater_event_id_holds() -> None:
    told = [started(0), tagged(1)]
    assert verdict(*told, status(0, event_id="b"), status(0, "inactive", event_id="a")) == "achieved"
    assert verdict(*told, status(0, event_id="a"), status(0, "inactive", event_id="b")) == "workflow_inactive"


# 17. Contradictions.


def test_of_several_starts_the_smallest_time_then_event_id_holds() -> None:
    assert verdict(started(0, "s2"), started(-1, "s3", contact=BERT), tagged(1)) == "no_enrollment"
    assert verdict(started(0, "s2"), started(0, "s1", workflow=OTHER_WORKFLOW), tagged(1)) == "no_enrollment"
    assert verdict(started(0, "s1", trigger="e1"), started(0, "s2"), tagged(1)) == "own_trigger"
    assert verdict(started(0, source="/b"), started(0, source="/a", contact=BERT), tagged(1)) == "no_enrollment"
    assert verdict(started(0, contact=BERT), started(0), tagged(1)) == "achieved"


def test_the_smallest_end_holds_and_belongs_to_its_enrollment_alone() -> None:
    assert verdict(started(0), ended(5, event_id="x1"), ended(2, event_id="x2"), tagged(3)) == "after_enrollment"
    assert verdict(started(0), ended(2, enrollment=OTHER_ENROLLMENT), tagged(3)) == "achieved"


def test_an_end_before_the_start_admits_nothing() -> None:
    goals = [goal(measure_after_exit=timedelta(hours=9))]
    assert verdict(started(0), ended(-1), tagged(1), goals=goals) == "after_enrollment"
    assert verdict(started(0), ended(0), tagged(1), goals=goals) == "achieved"
    assert verdict(started(0), ended(0), tagged(0)) == "after_enrollment"


def test_an_enrollment_achieves_goals_of_two_workflows_where_a_smaller_start_is_in_time_only_for_later_matches() -> (
    None
):
    goals = [goal(), goal(THIRD_GOAL, "v"), replace(goal(SECOND_GOAL, "u"), workflow_id=OTHER_WORKFLOW)]
    told = [status(-1, logic="all"), started(0), started(-0.5, "s0", workflow=OTHER_WORKFLOW, late=13)]
    records = [*told, tagged(1, "e1"), tagged(4, "e2", tag="u"), tagged(5, "e3")]
    found = verdicts(*records, goals=goals)
    assert found == [("e1", "achieved"), ("e2", "achieved"), ("e3", "no_enrollment")]
    (satisfier,) = satisfied(history(*records, goals=goals), LATENESS).values()
    assert satisfier.event_id == "e2"


# 18. Accounts.


def test_accounts_that_share_every_id_never_meet() -> None:
    goals = [goal(), goal(account_id=OTHER_ACCOUNT)]
    assert achieved(started(0), tagged(1, account=OTHER_ACCOUNT), goals=goals) == {}
    foreign = [
        started(0, account=OTHER_ACCOUNT, contact=BERT),
        ended(0.5, account=OTHER_ACCOUNT),
        status(0, "inactive", account=OTHER_ACCOUNT),
        merged(0, ANNA, BERT, account=OTHER_ACCOUNT),
        deleted(0, ANNA, account=OTHER_ACCOUNT),
    ]
    found = valid_achievements(history(started(0), tagged(1), *foreign, goals=goals), LATENESS)
    assert list(found) == [(ACCOUNT, ENROLLMENT, GOAL)]


# 19. Contacts.


def test_the_old_id_stands_for_the_survivor_before_and_after_the_merge() -> None:
    merge = merged(3, BERT, ANNA)
    for hours in (1, 5):
        found = achievement(started(0), tagged(hours, contact=BERT), merge)
        assert (found.contact_id, found.match_contact_id) == (ANNA, BERT)
    found = achievement(started(0, contact=BERT), tagged(1), merge)
    assert (found.contact_id, found.match_contact_id) == (ANNA, ANNA)


def test_chains_are_followed_in_whatever_order_they_are_told() -> None:
    chain = [merged(3, ANNA, BERT, "m1"), merged(2, BERT, CARL, "m2"), merged(4, CARL, DORA, "m3")]
    for told in (chain, chain[::-1]):
        assert achievement(started(0), tagged(1, contact=CARL), *told).contact_id == DORA


def test_a_loser_that_is_merged_away_already_is_not_merged_again() -> None:
    double = [merged(3, ANNA, BERT, "m1"), merged(4, ANNA, CARL, "m2")]
    assert achievement(started(0), tagged(1, contact=BERT), *double).contact_id == BERT
    assert verdict(started(0), tagged(1, contact=CARL), *double) == "contact_merged"
    told_later = [merged(3, ANNA, BERT, "m1", late=5), merged(4, ANNA, CARL, "m2")]
    assert achievement(started(0), tagged(1), *told_later).contact_id == BERT
    by_event_id = [merged(3, ANNA, BERT, "m2"), merged(3, ANNA, CARL, "m1")]
    assert achievement(started(0), tagged(1), *by_event_id).contact_id == CARL


@pytest.mark.parametrize(
    "merges",
    [
        [merged(3, ANNA, ANNA)],
        [merged(3, ANNA, BERT, "m1"), merged(4, BERT, ANNA, "m2")],
        [merged(2, ANNA, BERT, "m1"), merged(3, BERT, CARL, "m2"), merged(4, CARL, ANNA, "m3")],
    ],
)
def test_a_merge_that_closes_a_cycle_is_ignored(merges: list[Record]) -> None:
    survivors = [ANNA, BERT, CARL]
    assert achievement(started(0), tagged(1), *merges).contact_id == survivors[len(merges) - 1]


def test_a_merge_may_take_a_match_away_from_an_enrollment() -> None:
    assert verdict(started(0), tagged(1, contact=CARL), merged(2, ANNA, BERT)) == "contact_merged"
    assert verdict(started(0), tagged(1, contact=CARL), merged(2, CARL, BERT)) == "contact_merged"
    assert verdict(started(0), tagged(1, contact=CARL), merged(2, BERT, DORA)) == "no_enrollment"
    assert verdict(started(0, workflow=OTHER_WORKFLOW), tagged(1), merged(2, ANNA, BERT)) == "no_enrollment"


def test_a_match_is_judged_by_the_merges_and_deletions_that_are_in_time_for_it() -> None:
    assert verdict(started(0), tagged(1, contact=BERT), merged(3, BERT, ANNA, late=8)) == "achieved"
    assert verdict(started(0), tagged(1, contact=BERT), merged(3, BERT, ANNA, late=8.001)) == "no_enrollment"
    assert verdict(started(0), tagged(1), deleted(1, ANNA, late=10)) == "contact_deleted"
    assert verdict(started(0), tagged(1), deleted(1, ANNA, late=10.001)) == "achieved"


def test_nothing_counts_from_a_deletion_on_and_everything_before_it_does() -> None:
    assert verdict(started(0), tagged(2.999), deleted(3, ANNA)) == "achieved"
    assert verdict(started(0), tagged(3), deleted(3, ANNA)) == "contact_deleted"
    assert verdict(started(0), tagged(3), deleted(5, ANNA, "d2"), deleted(3, ANNA)) == "contact_deleted"
    goals = [goal(measure_after_exit=timedelta(hours=9))]
    assert verdict(started(0), ended(2), tagged(4), deleted(3, ANNA), goals=goals) == "contact_deleted"


def test_a_deletion_is_of_everybody_who_stands_for_the_contact_by_then() -> None:
    before = merged(2, BERT, ANNA)
    assert verdict(started(0), tagged(4, contact=BERT), before, deleted(3, ANNA)) == "contact_deleted"
    assert verdict(started(0, contact=BERT), tagged(4, contact=BERT), before, deleted(3, ANNA)) == "contact_deleted"
    after = merged(3.5, BERT, ANNA)
    assert verdict(started(0), tagged(4, contact=BERT), after, deleted(3, ANNA)) == "contact_deleted"
    assert verdict(started(0, contact=BERT), tagged(4, contact=BERT), after, deleted(3, ANNA)) == "achieved"
    chain = [merged(1, CARL, BERT, "m1"), merged(2, BERT, ANNA, "m2")]
    assert verdict(started(0, contact=CARL), tagged(4, contact=CARL), *chain, deleted(3, ANNA)) == "contact_deleted"


def test_deleting_an_id_that_was_merged_away_before_changes_nothing_about_what_counts() -> None:
    assert verdict(started(0), tagged(4, contact=BERT), merged(2, BERT, ANNA), deleted(3, BERT)) == "achieved"
    assert verdict(started(0), tagged(4, contact=BERT), merged(3, BERT, ANNA), deleted(2, BERT)) == "contact_deleted"
    assert verdict(started(0), tagged(4), merged(3, BERT, ANNA), deleted(2, BERT)) == "achieved"


def test_a_merge_and_a_deletion_at_the_same_time_stand_in_the_order_of_their_event_ids() -> None:
    told = [started(0), tagged(4, contact=BERT)]
    assert verdict(*told, merged(2, BERT, ANNA, "a"), deleted(2, BERT, "b")) == "achieved"
    assert verdict(*told, merged(2, BERT, ANNA, "b"), deleted(2, BERT, "a")) == "contact_deleted"


# The order of the refusals: what is told when several rules refuse.


def test_of_several_refusals_the_first_in_the_order_of_the_rules_is_told() -> None:
    goals = [goal(is_active=False)]
    off, gone = status(-5, "off"), deleted(-4, ANNA)
    assert verdict(started(9, contact=BERT), off, gone, tagged(1, late=11), goals=goals) == "too_late"
    assert verdict(started(9, contact=BERT), off, gone, tagged(1), goals=goals) == "no_enrollment"
    assert verdict(started(9, contact=BERT), merged(0, BERT, CARL), off, tagged(1), goals=goals) == "contact_merged"
    assert verdict(started(9), off, gone, tagged(1), goals=goals) == "goal_not_in_force"
    assert verdict(started(9), off, gone, tagged(1)) == "workflow_inactive"


def test_the_later_refusals_follow_in_their_order() -> None:
    goals = [goal(window=timedelta(hours=1))]
    ends, gone = [ended(3)], [deleted(2, ANNA)]
    start = started(0, trigger="e1")
    assert verdict(start, *ends, *gone, status(0, "off"), tagged(-1), goals=goals) == "before_enrollment"
    assert verdict(start, *ends, *gone, status(-2, "off"), tagged(-1), goals=goals) == "workflow_inactive"
    assert verdict(start, *ends, *gone, tagged(4), goals=goals) == "after_enrollment"
    assert verdict(start, *gone, tagged(4), goals=goals) == "contact_deleted"
    assert verdict(start, tagged(4), goals=goals) == "outside_window"
    assert verdict(start, tagged(0.5), goals=goals) == "own_trigger"

"""What is recorded follows what holds: new, moved, revoked, restored; and what is published about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain import messages
from goalstream.domain.achievements import Achievement, Action, Change, changes
from goalstream.domain.facts import Match
from goalstream.domain.settlement import settle
from tests.unit.domain.builders import LATENESS, at, end, enrollment, goal, match, settled, start, status


def difference(recorded: dict[str, Achievement], *matches: Match, **facts: Any) -> list[Change]:
    settlement = settled(*matches, **facts)
    return list(
        changes(
            recorded,
            settlement,
            enrollment_id="n1",
            recorded_at=at(20),
            end_is_known=bool(facts.get("ends")),
            exit_is_due=settlement.satisfied_by is not None,
        )
    )


def recorded(*matches: Match, **facts: Any) -> dict[str, Achievement]:
    return {change.achievement.goal_id: change.achievement for change in difference({}, *matches, **facts)}


def test_a_new_achievement_has_revision_1_and_says_that_the_contact_exits() -> None:
    (change,) = difference({}, match())
    assert (change.action, change.before) == (Action.ACHIEVED, None)
    achievement = change.achievement
    assert (achievement.revision, achievement.late, achievement.should_exit_workflow) == (1, False, True)
    assert achievement.achieved_at == at(0)


def test_nothing_changes_when_everything_is_recorded() -> None:
    assert difference(recorded(match()), match()) == []


def test_an_end_that_is_known_marks_it_late() -> None:
    (change,) = difference({}, match(), ends=[end(5)])
    assert change.achievement.late


def test_an_earlier_match_moves_the_achievement_with_its_revision() -> None:
    before = recorded(match())
    (change,) = difference(before, match(), match(-1, "e0"))
    assert change.action is Action.MOVED
    assert (change.achievement.revision, change.achievement.achieved_at) == (1, at(-1))
    assert change.achievement.achievement_id == before["g1"].achievement_id
    assert change.before is before["g1"]


def test_what_moves_keeps_what_was_said_when_it_was_recorded() -> None:
    before = recorded(match())
    after_the_exit = changes(
        before,
        settled(match(), match(-1, "e0"), ends=[end(5)]),
        enrollment_id="n1",
        recorded_at=at(30),
        end_is_known=True,
        exit_is_due=False,
    )
    (change,) = after_the_exit
    assert change.action is Action.MOVED
    moved = change.achievement
    assert (moved.recorded_at, moved.late, moved.should_exit_workflow) == (at(20), False, True)


def test_what_moves_and_satisfies_now_says_that_the_contact_exits() -> None:
    goals = [goal("g1"), goal("g2")]
    logic = [status(-20, "active", "all"), status(-0.5, "active", "any")]
    before = recorded(match(-1), goal_versions=goals, statuses=logic)
    assert not before["g1"].should_exit_workflow
    (change,) = difference(before, match(0), goal_versions=goals, statuses=logic)
    assert (change.action, change.achievement.should_exit_workflow) == (Action.MOVED, True)


def test_a_newer_version_or_contact_moves_the_achievement_as_well() -> None:
    before = recorded(match())
    versions = [goal(), goal(version=2, effective_from=at(-1))]
    (change,) = difference(before, match(goal_version=2), goal_versions=versions)
    assert (change.action, change.achievement.goal_version) == (Action.MOVED, 2)
    (change,) = difference(before, match(contact_id="c2"), starts=[start(contact_id="c2")])
    assert (change.action, change.achievement.contact_id) == (Action.MOVED, "c2")


@pytest.mark.parametrize("copy", [{"data": {"contact_id": "c0"}}, {"record_at": at(-0.5)}])
def test_a_copy_that_holds_instead_is_followed_by_the_achievement(copy: dict[str, Any]) -> None:
    (change,) = difference(recorded(match()), match(**copy))
    assert change.action is Action.MOVED
    assert change.achievement.as_match() == match(**copy)


@pytest.mark.parametrize(
    ("reason", "facts"),
    [
        ("no_enrollment", {"starts": []}),
        ("before_enrollment", {"starts": [start(1)]}),
        ("after_enrollment", {"ends": [end(-1)]}),
        ("outside_window", {"goal_versions": [goal(window=timedelta(hours=1))]}),
        ("own_trigger", {"starts": [start(trigger_event_id="e1")]}),
        ("workflow_inactive", {"statuses": [status(-1, "inactive")]}),
    ],
)
def test_what_no_longer_counts_is_revoked_with_the_verdict(reason: str, facts: dict[str, Any]) -> None:
    (change,) = difference(recorded(match()), match(), **facts)
    assert change.action is Action.REVOKED
    assert (change.achievement.revision, change.achievement.revoked_reason) == (2, reason)
    assert change.achievement.revoked_at == at(20)


def test_an_earlier_achievement_of_another_goal_supersedes() -> None:
    goals = [goal("g1"), goal("g2")]
    before = recorded(match(0), goal_versions=goals)
    found = difference(before, match(0), match(-1, "e0", "g2"), goal_versions=goals)
    assert [(change.action, change.achievement.goal_id) for change in found] == [
        (Action.ACHIEVED, "g2"),
        (Action.REVOKED, "g1"),
    ]
    assert found[1].achievement.revoked_reason == "superseded"


def test_what_lost_even_its_match_is_revoked_for_want_of_an_enrollment() -> None:
    (change,) = difference(recorded(match()))
    assert change.achievement.revoked_reason == "no_enrollment"


def test_what_counts_again_is_restored_with_the_next_revision() -> None:
    (revoked,) = difference(recorded(match()), match(), ends=[end(-1)])
    (change,) = difference({"g1": revoked.achievement}, match())
    assert change.action is Action.RESTORED
    assert (change.achievement.revision, change.achievement.revoked_at) == (3, None)


def test_what_is_revoked_stays_revoked_without_another_message() -> None:
    (revoked,) = difference(recorded(match()), match(), ends=[end(-1)])
    assert difference({"g1": revoked.achievement}, match(), ends=[end(-1)]) == []


def test_an_achievement_stands_for_its_match() -> None:
    assert recorded(match())["g1"].as_match() == match()


def test_the_achieved_message_is_what_the_contract_says() -> None:
    achievement = recorded(match())["g1"]
    message = messages.achieved(achievement)
    achievement_id = str(uuid5(NAMESPACE_URL, "goalstream:achievement:a1:n1:g1"))
    assert message.message_id == str(uuid5(NAMESPACE_URL, f"goalstream:workflow.goal.achieved:{achievement_id}:1"))
    assert (message.topic, message.subject, message.time) == ("workflow.goal.achieved", "c1", at(0))
    assert message.data == {
        "achievement_id": achievement_id,
        "account_id": "a1",
        "workflow_id": "w1",
        "workflow_enrollment_id": "n1",
        "contact_id": "c1",
        "goal_config_id": "g1",
        "goal_version": 1,
        "goal_type": "tag_added",
        "achieved_at": at(0),
        "recorded_at": at(20),
        "revision": 1,
        "trigger_event": {
            "event_id": "e1",
            "source": "contact.tag.added",
            "event_type": "contact.tag.added",
            "occurred_at": at(0),
            "data": {"contact_id": "c1"},
        },
        "metadata": {"late": False, "also_matched": [], "occurred_at_source": "event", "clock_ahead": False},
        "progress": {"met": 1, "required": 1},
        "should_exit_workflow": True,
    }


def test_the_revoked_message_says_when_and_why() -> None:
    (change,) = difference(recorded(match()), match(), ends=[end(-1)])
    message = messages.revoked(change.achievement)
    assert message.topic == "workflow.goal.revoked"
    assert (message.data["revoked_at"], message.data["revoked_reason"]) == (at(20), "after_enrollment")


def test_the_exit_message_has_one_id_for_an_enrollment() -> None:
    message = messages.exited(recorded(match())["g1"])
    assert message.message_id == str(uuid5(NAMESPACE_URL, "goalstream:workflow.exit.goal:a1:n1"))
    assert message.data == {
        "account_id": "a1",
        "workflow_id": "w1",
        "workflow_enrollment_id": "n1",
        "contact_id": "c1",
        "exit_reason": "goal_achieved",
        "goal_type": "tag_added",
        "goal_config_id": "g1",
        "achieved_at": at(0),
    }


def test_a_goal_is_announced_and_so_is_its_deletion() -> None:
    version = goal(window=timedelta(days=7), measure_after_exit=timedelta(hours=36))
    document = messages.goal_document(version)
    assert (document["window"], document["measure_after_exit"]) == ("P7D", "PT36H")
    announced = messages.configured(document, version, at(0))
    assert announced.message_id == str(uuid5(NAMESPACE_URL, "goalstream:goal:g1:1"))
    assert (announced.subject, announced.data) == ("g1", document)
    deleted = messages.configured(document, goal(version=2, is_deleted=True), at(0))
    assert deleted.data["deleted"] is True
    assert messages.goal_document(goal())["window"] is None


ARRIVALS = st.lists(
    st.sampled_from(
        [
            ("starts", start()),
            ("starts", start(-5, event_id="s2")),
            ("ends", end(3)),
            ("ends", end(1, "goal_achieved", event_id="x2")),
            ("statuses", status(-20, "active", "all")),
            ("statuses", status(2, "inactive")),
            ("matches", match(0)),
            ("matches", match(-7, "e0")),
            ("matches", match(1, "e2", "g2")),
            ("matches", match(2.5, "e3", "g2")),
        ]
    ),
    max_size=10,
    unique_by=repr,
)


@given(arrivals=ARRIVALS)
def test_facts_one_at_a_time_lead_to_the_same_achievements_as_all_at_once(arrivals: list[tuple[str, Any]]) -> None:
    goals = [goal("g1"), goal("g2")]

    def record(state: dict[str, Achievement], told: list[tuple[str, Any]]) -> dict[str, Achievement]:
        facts: dict[str, Any] = {"starts": [], "ends": [], "statuses": [], "matches": []}
        for name, fact in told:
            facts[name].append(fact)
        settlement = settle(enrollment(goal_versions=goals, **facts), allowed_lateness=LATENESS)
        found = changes(
            state, settlement, enrollment_id="n1", recorded_at=at(20), end_is_known=False, exit_is_due=False
        )
        return state | {change.achievement.goal_id: change.achievement for change in found}

    def valid(state: dict[str, Achievement]) -> dict[str, object]:
        return {goal_id: found.trigger for goal_id, found in state.items() if found.is_valid}

    state: dict[str, Achievement] = {}
    for number in range(len(arrivals)):
        state = record(state, arrivals[: number + 1])
    assert valid(state) == valid(record({}, arrivals))
    assert record(state, arrivals) == state

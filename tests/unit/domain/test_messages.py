"""What is published, field by field: every value of the contract's documents comes from where it should."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from goalstream.domain import messages
from goalstream.domain.achievements import Achievement
from goalstream.domain.facts import Match
from goalstream.domain.goals import GoalType, PurchaseCriteria
from goalstream.domain.messages import JsonText
from tests.unit.domain.builders import at, goal

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

ACHIEVEMENT = Achievement(
    enrollment_id="enrollment",
    contact_id="contact",
    match=Match(
        account_id="account",
        contact_id="merged-away",
        workflow_id="workflow",
        goal_id="goal",
        goal_version=7,
        goal_type=GoalType.FORM_SUBMITTED,
        source="crm",
        event_id="event",
        event_type="form.submitted",
        occurred_at=at(1),
        occurred_at_source="record",
        clock_ahead=True,
        record_at=at(2),
        data='{"amount":1.50,"form_id":"form-123"}',
        traceparent=TRACE,
    ),
    recorded_at=at(3),
    revision=4,
    late=True,
    also_matched=("other", "another"),
    met=2,
    required=3,
    should_exit_workflow=False,
    revoked_at=at(5),
    revoked_reason="own_trigger",
)

DOCUMENT: dict[str, Any] = {
    "achievement_id": ACHIEVEMENT.achievement_id,
    "account_id": "account",
    "workflow_id": "workflow",
    "workflow_enrollment_id": "enrollment",
    "contact_id": "contact",
    "goal_config_id": "goal",
    "goal_version": 7,
    "goal_type": "form_submitted",
    "achieved_at": at(1),
    "recorded_at": at(3),
    "revision": 4,
    "trigger_event": {
        "event_id": "event",
        "source": "crm",
        "event_type": "form.submitted",
        "occurred_at": at(1),
        "data": JsonText('{"amount":1.50,"form_id":"form-123"}'),
    },
    "metadata": {
        "late": True,
        "also_matched": ["other", "another"],
        "occurred_at_source": "record",
        "clock_ahead": True,
    },
    "progress": {"met": 2, "required": 3},
    "should_exit_workflow": False,
}


def test_an_achieved_message_tells_what_the_contract_lists_and_nothing_else() -> None:
    message = messages.achieved(ACHIEVEMENT)
    assert message.data == DOCUMENT
    assert (message.topic, message.account_id, message.subject) == ("workflow.goal.achieved", "account", "contact")
    assert (message.time, message.traceparent) == (at(1), TRACE)


def test_a_revoked_message_is_the_same_with_when_and_why() -> None:
    message = messages.revoked(ACHIEVEMENT)
    assert message.data == DOCUMENT | {"revoked_at": at(5), "revoked_reason": "own_trigger"}
    assert (message.topic, message.account_id, message.subject) == ("workflow.goal.revoked", "account", "contact")
    assert (message.time, message.traceparent) == (at(1), TRACE)
    assert message.message_id != messages.achieved(ACHIEVEMENT).message_id


def test_the_state_of_an_achievement_names_every_message_that_told_of_it() -> None:
    revoked = messages.achievement_state(ACHIEVEMENT)
    told = [(one["topic"], one["message_id"]) for one in revoked.pop("messages")]
    before = messages.achieved(replace(ACHIEVEMENT, revision=3)).message_id
    assert told == [
        ("workflow.goal.achieved", before),
        ("workflow.goal.revoked", messages.revoked(ACHIEVEMENT).message_id),
    ]
    assert revoked == {
        "achievement_id": ACHIEVEMENT.achievement_id,
        "revision": 4,
        "recorded_at": at(3),
        "revoked_at": at(5),
        "revoked_reason": "own_trigger",
        "should_exit_workflow": False,
    }
    holds = replace(ACHIEVEMENT, revoked_at=None, revoked_reason=None, should_exit_workflow=True)
    assert [one["topic"] for one in messages.achievement_state(holds)["messages"]] == [
        "workflow.goal.achieved",
        "workflow.exit.goal",
    ]


def test_an_event_is_told_with_the_times_by_which_it_is_judged_and_its_trace() -> None:
    assert messages.event_document(ACHIEVEMENT.match) == {
        "event_id": "event",
        "source": "crm",
        "event_type": "form.submitted",
        "occurred_at": at(1),
        "occurred_at_source": "record",
        "record_at": at(2),
        "data": JsonText('{"amount":1.50,"form_id":"form-123"}'),
        "trace_id": TRACE.split("-")[1],
    }


def test_an_exit_message_tells_what_the_contract_lists_and_nothing_else() -> None:
    message = messages.exited(ACHIEVEMENT)
    assert message.data == {
        "account_id": "account",
        "workflow_id": "workflow",
        "workflow_enrollment_id": "enrollment",
        "contact_id": "contact",
        "exit_reason": "goal_achieved",
        "goal_type": "form_submitted",
        "goal_config_id": "goal",
        "achieved_at": at(1),
    }
    assert (message.topic, message.account_id, message.subject) == ("workflow.exit.goal", "account", "contact")
    assert (message.time, message.traceparent) == (at(1), TRACE)


def test_a_goal_document_tells_canonical_criteria_and_durations() -> None:
    version = goal(
        "g9",
        3,
        PurchaseCriteria(min_amount=Decimal("150.00"), currency="EUR"),
        goal_type=GoalType.PURCHASE_MADE,
        is_active=False,
        window=timedelta(hours=36),
        measure_after_exit=timedelta(days=2),
    )
    assert messages.goal_document(version) == {
        "id": "g9",
        "workflow_id": "w1",
        "account_id": "a1",
        "goal_type": "purchase_made",
        "criteria": {"min_amount": "150", "currency": "EUR"},
        "is_active": False,
        "version": 3,
        "window": "PT36H",
        "measure_after_exit": "P2D",
    }
    plain = messages.goal_document(goal())
    assert (plain["is_active"], plain["window"], plain["measure_after_exit"]) == (True, None, None)


def test_a_configured_message_is_the_document_and_says_deleted_only_of_a_deletion() -> None:
    document = {"id": "g1"}
    message = messages.configured(document, goal(), at(1))
    assert (message.topic, message.account_id, message.subject) == ("workflow.goal.configured", "a1", "g1")
    assert (message.time, message.traceparent, message.data) == (at(1), None, {"id": "g1"})
    deleted = messages.configured(document, goal(version=2, is_deleted=True), at(2))
    assert deleted.data == {"id": "g1", "deleted": True}
    assert deleted.message_id != message.message_id
    assert document == {"id": "g1"}

"""What goalstream publishes: the topics' documents, with the ids that make a repeated message recognisable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from goalstream.domain.achievements import Achievement
from goalstream.domain.durations import format_duration
from goalstream.domain.events import Event
from goalstream.domain.facts import Match
from goalstream.domain.goals import GoalVersion, criteria_document
from goalstream.domain.ids import achievement_message_id, exit_message_id, goal_message_id
from goalstream.domain.traces import trace_id_of
from goalstream.domain.values import value

GOAL_ACHIEVED_TOPIC = "workflow.goal.achieved"
GOAL_REVOKED_TOPIC = "workflow.goal.revoked"
GOAL_EXIT_TOPIC = "workflow.exit.goal"
GOAL_CONFIGURED_TOPIC = "workflow.goal.configured"


class JsonText:
    """JSON that is already written, and goes into a document as it is. (No dataclass: encoders take those apart.)"""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonText) and other.text == self.text


@value
class Message:
    """One message to publish; `subject` is also its key. Everything on the wire follows from these fields."""

    topic: str
    message_id: str
    account_id: str
    subject: str
    time: datetime
    data: Mapping[str, Any]
    traceparent: str | None = None


class EncodedMessage(NamedTuple):
    """A message whose JSON is fixed: a row of the outbox, and what Kafka gets, the same to the byte each time."""

    account_id: str
    message_id: str
    topic: str
    subject: str
    time: datetime
    body: str
    traceparent: str | None


def achieved(achievement: Achievement) -> Message:
    """`workflow.goal.achieved`: the goal is achieved, or achieved again after a revocation."""
    return _about(GOAL_ACHIEVED_TOPIC, achievement, achievement_document(achievement))


def revoked(achievement: Achievement) -> Message:
    """`workflow.goal.revoked`: what was achieved does not hold any more."""
    return _about(
        GOAL_REVOKED_TOPIC,
        achievement,
        achievement_document(achievement)
        | {"revoked_at": achievement.revoked_at, "revoked_reason": achievement.revoked_reason},
    )


def exited(achievement: Achievement) -> Message:
    """`workflow.exit.goal`: the goal logic is satisfied, let the contact out; sent once for an enrollment."""
    return Message(
        topic=GOAL_EXIT_TOPIC,
        message_id=exit_message_id(achievement.account_id, achievement.enrollment_id),
        account_id=achievement.account_id,
        subject=achievement.contact_id,
        time=achievement.achieved_at,
        data={
            "account_id": achievement.account_id,
            "workflow_id": achievement.workflow_id,
            "workflow_enrollment_id": achievement.enrollment_id,
            "contact_id": achievement.contact_id,
            "exit_reason": "goal_achieved",
            "goal_type": achievement.match.goal_type.value,
            "goal_config_id": achievement.goal_id,
            "achieved_at": achievement.achieved_at,
        },
        traceparent=achievement.match.traceparent,
    )


def configured(document: Mapping[str, Any], version: GoalVersion, time: datetime) -> Message:
    """`workflow.goal.configured`: a goal version as the API shows it, with `deleted: true` for a deletion."""
    return Message(
        topic=GOAL_CONFIGURED_TOPIC,
        message_id=goal_message_id(version.goal_id, version.version),
        account_id=version.account_id,
        subject=version.goal_id,
        time=time,
        data={**document, "deleted": True} if version.is_deleted else document,
    )


def goal_document(version: GoalVersion) -> dict[str, Any]:
    """The part of a goal's document that decides what it matches; times and authors belong to who shows it."""
    return {
        "id": version.goal_id,
        "workflow_id": version.workflow_id,
        "account_id": version.account_id,
        "goal_type": version.goal_type.value,
        "criteria": criteria_document(version.criteria),
        "is_active": version.is_active,
        "version": version.version,
        "window": None if version.window is None else format_duration(version.window),
        "measure_after_exit": format_duration(version.measure_after_exit) if version.measure_after_exit else None,
    }


def achievement_document(achievement: Achievement) -> dict[str, Any]:
    """An achievement as topics and API show it."""
    match = achievement.match
    return {
        "achievement_id": achievement.achievement_id,
        "account_id": match.account_id,
        "workflow_id": match.workflow_id,
        "workflow_enrollment_id": achievement.enrollment_id,
        "contact_id": achievement.contact_id,
        "goal_config_id": match.goal_id,
        "goal_version": match.goal_version,
        "goal_type": match.goal_type.value,
        "achieved_at": match.occurred_at,
        "recorded_at": achievement.recorded_at,
        "revision": achievement.revision,
        "trigger_event": {
            "event_id": match.event_id,
            "source": match.source,
            "event_type": match.event_type,
            "occurred_at": match.occurred_at,
            "data": _stored(match.data),
        },
        "metadata": {
            "late": achievement.late,
            "also_matched": list(achievement.also_matched),
            "occurred_at_source": match.occurred_at_source,
            "clock_ahead": match.clock_ahead,
        },
        "progress": {"met": achievement.met, "required": achievement.required},
        "should_exit_workflow": achievement.should_exit_workflow,
    }


def achievement_state(achievement: Achievement) -> dict[str, Any]:
    """What holds of an achievement by now, with the messages that tell it."""
    revision = achievement.revision
    revisions = [(GOAL_ACHIEVED_TOPIC, revision)]
    if not achievement.is_valid:
        revisions = [(GOAL_ACHIEVED_TOPIC, revision - 1), (GOAL_REVOKED_TOPIC, revision)]
    told = [
        {"topic": topic, "message_id": achievement_message_id(topic, achievement.achievement_id, number)}
        for topic, number in revisions
    ]
    if achievement.should_exit_workflow:
        exit_id = exit_message_id(achievement.account_id, achievement.enrollment_id)
        told.append({"topic": GOAL_EXIT_TOPIC, "message_id": exit_id})
    return {
        "achievement_id": achievement.achievement_id,
        "revision": revision,
        "recorded_at": achievement.recorded_at,
        "revoked_at": achievement.revoked_at,
        "revoked_reason": achievement.revoked_reason,
        "should_exit_workflow": achievement.should_exit_workflow,
        "messages": told,
    }


def event_document(event: Event | Match) -> dict[str, Any]:
    """An event, or that of a match, with the times by which it is judged and the trace that it came in."""
    return {
        "event_id": event.event_id,
        "source": event.source,
        "event_type": event.event_type,
        "occurred_at": event.occurred_at,
        "occurred_at_source": event.occurred_at_source,
        "record_at": event.record_at,
        "data": event.data if isinstance(event, Event) else _stored(event.data),
        "trace_id": trace_id_of(event.traceparent),
    }


def _stored(data: str | None) -> JsonText | None:
    return None if data is None else JsonText(data)


def _about(topic: str, achievement: Achievement, document: Mapping[str, Any]) -> Message:
    return Message(
        topic=topic,
        message_id=achievement_message_id(topic, document["achievement_id"], achievement.revision),
        account_id=achievement.match.account_id,
        subject=achievement.contact_id,
        time=achievement.achieved_at,
        data=document,
        traceparent=achievement.match.traceparent,
    )

"""What all peers do alike: settings, goals looked up in a dict, and one statement. Its lines count for each of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

KAFKA = os.environ["PEER_KAFKA"]
DATABASE_URL = os.environ["PEER_DATABASE_URL"]
GROUP = os.environ["PEER_GROUP"]
TOPICS = os.environ["PEER_TOPICS"].split(",")
ACHIEVED = os.environ["PEER_ACHIEVED_TOPIC"]

BATCH = 1_000
"""Events that are decided, recorded and committed together, at most."""

FIELDS = {
    "contact.tag.added": "tag_id",
    "payment.completed": "product_id",
    "appointment.booked": "calendar_id",
    "form.submitted": "form_id",
    "pipeline.stage.changed": "stage_id",
}

GOALS = "select account_id::text, event_type, wanted, workflow_id::text, goal_id::text from goals"

RECORD = """
    insert into achievements (account_id, enrollment_id, goal_id, contact_id, event_id, achieved_at)
    select account_id, enrollment_id, goal_id, contact_id, event_id, achieved_at
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[])
        as matches (account_id, workflow_id, contact_id, goal_id, event_id, achieved_at)
    join enrollments using (account_id, workflow_id, contact_id)
    on conflict do nothing
    returning enrollment_id::text, goal_id::text, contact_id::text, event_id, achieved_at::text
"""

Goals: TypeAlias = dict[tuple[str, str, str], list[tuple[str, str]]]
"""By account, event type and wanted value: workflow and goal."""


class Event(msgspec.Struct):
    """What is read of an event."""

    event_id: str
    event_type: str
    account_id: str
    timestamp: str
    data: dict[str, Any]


def index_goals(rows: Iterable[Iterable[str]]) -> Goals:
    """From the rows of GOALS."""
    goals: Goals = {}
    for account_id, event_type, wanted, workflow_id, goal_id in rows:
        goals.setdefault((account_id, event_type, wanted), []).append((workflow_id, goal_id))
    return goals


def match(goals: Goals, events: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The rows that RECORD takes, as columns; events have the attributes of Event."""
    matches = []
    for event in events:
        key = event.account_id, event.event_type, event.data[FIELDS[event.event_type]]
        for workflow_id, goal_id in goals.get(key, ()):
            occurred_at = datetime.fromisoformat(event.timestamp)
            contact_id = event.data["contact_id"]
            matches.append((event.account_id, workflow_id, contact_id, goal_id, event.event_id, occurred_at))
    return list(zip(*matches, strict=True))

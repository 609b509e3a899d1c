"""Examples for the OpenAPI document: one answer of each kind, all about the same goal, and one problem for each status."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

_ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
_WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
_GOAL_ID = "dddddddd-0000-4000-8000-000000000001"
_CONTACT = "cccccccc-0000-4000-8000-000000000001"
_ENROLLMENT = "eeeeeeee-0000-4000-8000-000000000001"

_GOAL: dict[str, Any] = {
    "id": _GOAL_ID,
    "workflow_id": _WORKFLOW,
    "account_id": _ACCOUNT,
    "goal_type": "tag_added",
    "criteria": {"tag_name": "Purchased"},
    "is_active": True,
    "version": 1,
    "window": "P7D",
    "measure_after_exit": None,
    "effective_from": "2026-03-10T12:00:02Z",
    "created_at": "2026-03-10T12:00:00Z",
    "updated_at": "2026-03-10T12:00:00Z",
    "created_by": "ada",
    "updated_by": "ada",
}
_ENTRY: dict[str, Any] = {
    "at": "2026-03-10T12:00:00Z",
    "actor": "ada",
    "action": "goal_created",
    "goal_id": _GOAL_ID,
    "version": 1,
    "enrollment_id": None,
    "contact_id": None,
    "before": None,
    "after": _GOAL,
    "effective_from": "2026-03-10T12:00:02Z",
}
_ACHIEVEMENT: dict[str, Any] = {
    "achievement_id": "ffffffff-0000-4000-8000-000000000001",
    "account_id": _ACCOUNT,
    "workflow_id": _WORKFLOW,
    "workflow_enrollment_id": _ENROLLMENT,
    "contact_id": _CONTACT,
    "goal_config_id": _GOAL_ID,
    "goal_version": 1,
    "goal_type": "tag_added",
    "achieved_at": "2026-03-12T09:30:00Z",
    "recorded_at": "2026-03-12T09:30:00.040Z",
    "revision": 1,
    "trigger_event": {
        "event_id": "evt-4711",
        "source": "contact.tag.added",
        "event_type": "contact.tag.added",
        "occurred_at": "2026-03-12T09:30:00Z",
        "data": {"contact_id": _CONTACT, "tag_name": "Purchased"},
    },
    "metadata": {"late": False, "also_matched": [], "occurred_at_source": "event", "clock_ahead": False},
    "progress": {"met": 1, "required": 1},
    "should_exit_workflow": True,
    "revoked_at": None,
    "revoked_reason": None,
}
_LETTER: dict[str, Any] = {
    "id": "2:17",
    "topic": "contact.tag.added",
    "partition": 3,
    "offset": 981,
    "reason": "bad_time",
    "error": "timestamp is not RFC 3339",
    "attempts": 1,
    "at": "2026-03-10T12:00:00.040Z",
    "done": None,
}
_WORKFLOW_DOCUMENT = {
    "workflow_id": _WORKFLOW,
    "name": "Win back",
    "status": "active",
    "goal_logic": "any",
    "goals": 1,
    "enrolled": 5,
}
_EVENT: dict[str, Any] = {
    "event_id": "evt-4711",
    "source": "contact.tag.added",
    "event_type": "contact.tag.added",
    "occurred_at": "2026-03-12T09:30:00Z",
    "occurred_at_source": "event",
    "record_at": "2026-03-12T09:30:00.010Z",
    "data": {"contact_id": _CONTACT, "tag_name": "Purchased"},
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
_JUDGED: dict[str, Any] = {
    "enrollment_id": _ENROLLMENT,
    "verdict": "achieved",
    "wanted": None,
    "got": None,
    "text": "The goal was achieved by this event of 2026-03-12 09:30:00 UTC.",
    "achievement": {
        "achievement_id": _ACHIEVEMENT["achievement_id"],
        "revision": 1,
        "recorded_at": "2026-03-12T09:30:00.040Z",
        "revoked_at": None,
        "revoked_reason": None,
        "should_exit_workflow": True,
        "messages": [
            {"topic": "workflow.goal.achieved", "message_id": "99999999-0000-5000-8000-000000000001"},
            {"topic": "workflow.exit.goal", "message_id": "99999999-0000-5000-8000-000000000002"},
        ],
    },
}
_REFUSED: dict[str, Any] = {
    "enrollment_id": _ENROLLMENT,
    "verdict": "before_enrollment",
    "wanted": {"entered_at": "2026-03-10T13:00:00Z"},
    "got": {"occurred_at": "2026-03-10T12:30:00Z"},
    "text": "The event happened at 2026-03-10 12:30:00 UTC, before the contact entered the workflow at"
    " 2026-03-10 13:00:00 UTC.",
    "achievement": None,
}
_EARLIER = _EVENT | {
    "event_id": "evt-4100",
    "occurred_at": "2026-03-10T12:30:00Z",
    "record_at": "2026-03-10T12:30:00.010Z",
}
_OF_VERSION = {"goal_version": 1, "criteria": {"tag_name": "Purchased"}}
_OF_GOAL = {"workflow_id": _WORKFLOW, "goal_id": _GOAL_ID, "goal_type": "tag_added", "goal_version": 1}
_ENROLLED = {"enrollment_id": _ENROLLMENT, "workflow_id": _WORKFLOW}

EXAMPLES: dict[str, dict[str, Any]] = {
    "PrincipalDocument": {"account_id": _ACCOUNT, "subject": "ada", "scopes": ["goals:read", "goals:write"]},
    "GoalDocument": _GOAL,
    "GoalList": {"goals": [_GOAL], "total": 1, "offset": 0, "limit": 50, "next_cursor": None},
    "GoalVersions": {"versions": [_GOAL | {"is_deleted": False}], "next_cursor": None},
    "AuditPage": {"entries": [_ENTRY], "next_cursor": None},
    "WorkflowPage": {"workflows": [_WORKFLOW_DOCUMENT], "next_cursor": None},
    "AchievementPage": {"achievements": [_ACHIEVEMENT], "next_cursor": None},
    "ExplanationPage": {
        "contact_id": _CONTACT,
        "contact_ids": [_CONTACT],
        "goal": _GOAL | {"is_deleted": False},
        "verdicts": [{"event": _EVENT} | _OF_VERSION | _JUDGED, {"event": _EARLIER} | _OF_VERSION | _REFUSED],
        "next_cursor": None,
    },
    "TimelinePage": {
        "contact_id": _CONTACT,
        "entries": [
            {"at": "2026-03-12T09:31:00Z", "kind": "enrollment_ended"} | _ENROLLED | {"reason": "goal_achieved"},
            {"at": "2026-03-12T09:30:00Z", "kind": "event", "event": _EVENT} | _OF_GOAL | _JUDGED,
            {"at": "2026-03-12T09:30:00Z", "kind": "exited"} | _ENROLLED | {"goal_id": _GOAL_ID},
            {"at": "2026-03-10T13:00:00Z", "kind": "enrollment_started"} | _ENROLLED | {"trigger_event_id": None},
            {"at": "2026-03-10T12:30:00Z", "kind": "event", "event": _EARLIER} | _OF_GOAL | _REFUSED,
        ],
        "next_cursor": None,
    },
    "ActivationDocument": {"valid": True, "goals": 1},
    "AcceptedEvents": {
        "accepted": 1,
        "refused": 1,
        "events": [
            {"index": 0, "event_id": "order-17", "topic": "payment.completed", "status": "accepted", "errors": []},
            {
                "index": 1,
                "event_id": "order-18",
                "topic": "payment.completed",
                "status": "refused",
                "errors": [{"pointer": "/data/contact_id", "message": '"7" is not a UUID'}],
            },
        ],
    },
    "DeadLetterPage": {"dead_letters": [_LETTER], "by_reason": {"bad_time": 1}, "unread": 0, "next_cursor": None},
    "DeadLetterInFull": {
        **_LETTER,
        "done_at": None,
        "timestamp": "2026-03-10T12:00:00Z",
        "key": _CONTACT,
        "value": '{"timestamp": "noon"}',
        "headers": [{"name": "content-type", "value": "application/json"}, {"name": "n", "value": {"base64": "/w=="}}],
    },
    "RedrivenLetters": {
        "redriven": 1,
        "ids": ["2:17"],
        "refused": [{"id": "0:4", "message": "topic form.submitted does not exist any more"}],
        "remaining": 0,
        "dry_run": False,
    },
    "DroppedLetters": {"dropped": 1, "ids": ["2:17"], "remaining": 0, "dry_run": False},
    "Statistics": {
        "workflow_id": _WORKFLOW,
        "total_enrolled": 5,
        "goals_achieved": 2,
        "conversion_rate": 40.0,
        "avg_time_to_goal_hours": 60.0,
        "median_time_to_goal_hours": 60.0,
        "p90_time_to_goal_hours": 69.6,
        "fastest_time_to_goal_hours": 48.0,
        "slowest_time_to_goal_hours": 72.0,
        "by_goal_type": {"tag_added": {"achieved": 2, "conversion_rate": 40.0}},
        "by_goal": {_GOAL_ID: {"achieved": 2, "conversion_rate": 40.0}},
        "computed_at": "2026-03-20T12:00:00Z",
        "as_of": "2026-03-20T12:00:00Z",
    },
}
"""Answers by the names of their schemas."""

_PROBLEMS: dict[int, tuple[str, str, str]] = {
    400: ("criteria_empty", "/criteria", "Goal criteria cannot be empty"),
    401: ("unauthorized", "", "The token is not valid: it has expired"),
    403: ("forbidden", "", "The token lacks the scope goals:write"),
    404: ("not_found", "", "An id in the path is no UUID"),
    408: ("validation_error", "", "The body took too long"),
    409: ("duplicate_goal", "/criteria", "A goal with the same type and criteria exists"),
    412: ("precondition_failed", "", "The goal was changed in the meantime: its version is now 2"),
    413: ("too_large", "", "The body has more than 65536 bytes"),
    415: ("unsupported_media_type", "", "The body must be application/json"),
    422: ("validation_error", "/window", "must be at most P3650D"),
    428: ("precondition_required", "", "Send If-Match with the ETag that you last read"),
    429: ("rate_limited", "", "The account asks too often"),
    503: ("unavailable", "", "The database is away; try again in a moment"),
}


def problem_example(status: int) -> dict[str, Any]:
    """A problem with this status."""
    error, pointer, message = _PROBLEMS[status]
    return {
        "type": f"urn:goalstream:problem:{error}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "error": error,
        "message": message,
        "errors": [{"pointer": pointer, "message": message}],
    }

"""Topics: the names of those that are read."""

from __future__ import annotations

from goalstream.domain.goals import GoalType

ENROLLMENT_STARTED = "workflow.enrollment.started"
ENROLLMENT_ENDED = "workflow.enrollment.ended"
WORKFLOW_STATUS_CHANGED = "workflow.status.changed"
CONTACT_MERGED = "contact.merged"
CONTACT_DELETED = "contact.deleted"
REFERENCE_CHANGED = "crm.reference.changed"

EVENT_TOPICS = tuple(goal_type.event_type for goal_type in GoalType)
READ_TOPICS = (
    *EVENT_TOPICS,
    ENROLLMENT_STARTED,
    ENROLLMENT_ENDED,
    WORKFLOW_STATUS_CHANGED,
    CONTACT_MERGED,
    CONTACT_DELETED,
    REFERENCE_CHANGED,
)

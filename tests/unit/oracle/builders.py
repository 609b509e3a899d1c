"""Histories written by hand, with defaults for what an example is not about. Times are hours around one noon."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.oracle import history as told
from tests.oracle.history import Fact, GoalVersion, History, Record, Wrapping, milliseconds, on_the_wire
from tests.oracle.oracle import Achieved, valid_achievements, walks

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATENESS = timedelta(hours=10)

ACCOUNT, OTHER_ACCOUNT = (f"0a000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
ANNA, BERT, CARL, DORA = (f"0c000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3, 4))
WORKFLOW, OTHER_WORKFLOW = (f"0d000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
ENROLLMENT, OTHER_ENROLLMENT = (f"0e000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
GOAL, SECOND_GOAL, THIRD_GOAL = (f"0f000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))


def at(hours: float) -> datetime:
    """So many hours after noon."""
    return NOON + timedelta(hours=hours)


def goal(goal_id: str = GOAL, tag: str = "t", **changes: Any) -> GoalVersion:
    """A goal that a tag fulfils, in force since 100 hours before noon."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "workflow_id": WORKFLOW,
        "goal_id": goal_id,
        "version": 1,
        "goal_type": "tag_added",
        "criteria": {"tag_id": tag},
        "is_active": True,
        "is_deleted": False,
        "window": None,
        "measure_after_exit": timedelta(0),
        "effective_from": at(-100),
        "created_at": at(-100),
    }
    return GoalVersion(**(values | changes))


def fact(
    topic: str,
    hours: float,
    data: dict[str, Any],
    *,
    event_id: str | None = None,
    late: float = 0,
    account: str = ACCOUNT,
    source: str | None = None,
    **envelope: Any,
) -> Record:
    """A record that comes so many hours late; with a source it is a CloudEvent. What is None in the data is left out."""
    document = {
        "event_id": event_id,
        "event_type": topic,
        "account_id": account,
        "timestamp": at(hours).isoformat(),
        "data": {name: part for name, part in data.items() if part is not None},
    }
    return on_the_wire(
        Fact(
            topic=topic,
            timestamp=milliseconds(at(hours + late)),
            envelope={name: part for name, part in (document | envelope).items() if part is not None},
            wrapping=Wrapping.PLAIN if source is None else Wrapping.BINARY,
            source=source,
        )
    )


def tagged(hours: float, event_id: str = "e1", *, contact: str = ANNA, tag: str = "t", **changes: Any) -> Record:
    """Somebody got a tag."""
    return fact(told.TAG_ADDED, hours, {"contact_id": contact, "tag_id": tag}, event_id=event_id, **changes)


def started(
    hours: float = 0,
    event_id: str = "s1",
    *,
    enrollment: str = ENROLLMENT,
    contact: str = ANNA,
    workflow: str = WORKFLOW,
    trigger: str | None = None,
    entered_at: float | None = None,
    **changes: Any,
) -> Record:
    """Anna was enrolled at noon."""
    data = {"enrollment_id": enrollment, "workflow_id": workflow, "contact_id": contact, "trigger_event_id": trigger}
    explicit = {"entered_at": None if entered_at is None else at(entered_at).isoformat()}
    return fact(told.ENROLLMENT_STARTED, hours, data | explicit, event_id=event_id, **changes)


def ended(
    hours: float,
    reason: str | None = None,
    event_id: str = "x1",
    *,
    enrollment: str = ENROLLMENT,
    ended_at: float | None = None,
    **changes: Any,
) -> Record:
    """The enrollment ended."""
    explicit = None if ended_at is None else at(ended_at).isoformat()
    data = {"enrollment_id": enrollment, "reason": reason, "ended_at": explicit}
    return fact(told.ENROLLMENT_ENDED, hours, data, event_id=event_id, **changes)


def status(
    hours: float, text: str = "active", logic: str | None = None, event_id: str = "w1", **changes: Any
) -> Record:
    """The workflow's status from then on."""
    data = {"workflow_id": WORKFLOW, "status": text, "goal_logic": logic}
    return fact(told.STATUS_CHANGED, hours, data, event_id=event_id, **changes)


def merged(hours: float, contact: str, into: str, event_id: str = "m1", **changes: Any) -> Record:
    """One contact became another."""
    data = {"contact_id": contact, "into_contact_id": into}
    return fact(told.CONTACT_MERGED, hours, data, event_id=event_id, **changes)


def deleted(hours: float, contact: str, event_id: str = "d1", **changes: Any) -> Record:
    """A contact was deleted."""
    return fact(told.CONTACT_DELETED, hours, {"contact_id": contact}, event_id=event_id, **changes)


def history(*records: Record, goals: Iterable[GoalVersion] = (goal(),)) -> History:
    return History(goal_versions=tuple(goals), records=records, now=at(1_000))


def achieved(*records: Record, goals: Iterable[GoalVersion] = (goal(),)) -> dict[tuple[str, str], str]:
    """By (enrollment, goal): the event that achieved it."""
    found = valid_achievements(history(*records, goals=goals), LATENESS)
    return {(enrollment_id, goal_id): one.event_id for (_, enrollment_id, goal_id), one in found.items()}


def achievement(*records: Record, goals: Iterable[GoalVersion] = (goal(),)) -> Achieved:
    """The only achievement there is."""
    (found,) = valid_achievements(history(*records, goals=goals), LATENESS).values()
    return found


def verdicts(
    *records: Record, goals: Iterable[GoalVersion] = (goal(),), enrollment: str = ENROLLMENT
) -> list[tuple[str, str]]:
    """Event id and verdict of every match, in the order of the walk."""
    walk = walks(history(*records, goals=goals), LATENESS)[ACCOUNT, enrollment]
    return [(match.event_id, verdict) for match, verdict in walk.verdicts]


def verdict(*records: Record, goals: Iterable[GoalVersion] = (goal(),)) -> str:
    """The verdict on the only match there is."""
    ((_, found),) = verdicts(*records, goals=goals)
    return found

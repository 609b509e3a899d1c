"""Which goal an event fulfils: section 3 of the contract, every version looked at, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tests.oracle.history import TOPIC_OF_GOAL_TYPE, GoalVersion
from tests.oracle.reading import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An event fulfils the criteria of a goal.

    `version` is the version in force when it occurred; None where that one is not fulfilled, is inactive or deleted, or did
    not exist yet, and only another one of the goal would have been fulfilled.
    """

    account_id: str
    source: str
    event_id: str
    contact_id: str
    goal_id: str
    workflow_id: str
    created_at: datetime
    version: GoalVersion | None
    occurred_at: datetime
    record_at: datetime

    @property
    def identity(self) -> tuple[str, str, str, str, str, datetime]:
        """Point 13: copies equal in these are one match."""
        return self.account_id, self.source, self.event_id, self.contact_id, self.goal_id, self.occurred_at

    @property
    def place(self) -> tuple[datetime, datetime, str, str, str, str]:
        """Where it stands in the walk: occurred_at, goal created first, goal id, event id, source; then contact."""
        return self.occurred_at, self.created_at, self.goal_id, self.event_id, self.source, self.contact_id


def version_in_force(versions: Iterable[GoalVersion], moment: datetime) -> GoalVersion | None:
    """Point 14: of one goal's versions the last one that had taken effect; it may be inactive or deleted."""
    effective = [version for version in versions if version.effective_from <= moment]
    return max(effective, key=lambda version: version.version, default=None)


def can_be_achieved(version: GoalVersion | None) -> bool:
    """Whether a version admits matches at all."""
    return version is not None and version.is_active and not version.is_deleted


def matches_of(event: Told, goals: Mapping[str, list[GoalVersion]]) -> list[Match]:
    """An event's matches among the goals (by id, with all their versions) of its account."""
    found = []
    for goal_id, versions in goals.items():
        fulfilled = [version for version in versions if fulfils(version, event)]
        current = version_in_force(versions, event.occurred_at)
        if fulfilled:
            is_in_force = current in fulfilled and can_be_achieved(current)
            found.append(
                Match(
                    account_id=event.account_id,
                    source=event.source,
                    event_id=event.event_id,
                    contact_id=event.fields["contact_id"],
                    goal_id=goal_id,
                    workflow_id=versions[0].workflow_id,
                    created_at=versions[0].created_at,
                    version=current if is_in_force else None,
                    occurred_at=event.occurred_at,
                    record_at=event.record_at,
                )
            )
    return found


def fulfils(version: GoalVersion, event: Told) -> bool:
    """Whether all keys of the criteria that are present and not null hold; null means absent on both sides."""
    if TOPIC_OF_GOAL_TYPE[version.goal_type] != event.topic:
        return False
    wanted = {key: told for key, told in version.criteria.items() if told is not None and told is not False}
    if version.goal_type == "tag_added":
        return _is_tag(wanted, event)
    return all(_holds(key, told, event) for key, told in wanted.items())


def _is_tag(wanted: Mapping[str, object], event: Told) -> bool:
    """Where both sides have an id, it decides alone; otherwise the names do, stripped and case-folded."""
    tag_id, name = event.fields.get("tag_id"), event.fields.get("tag_name")
    if "tag_id" in wanted and tag_id is not None:
        return bool(wanted["tag_id"] == tag_id)
    if "tag_name" not in wanted or name is None:
        return False
    return str(wanted["tag_name"]).strip().casefold() == str(name).strip().casefold()


def _holds(key: str, wanted: object, event: Told) -> bool:
    got = event.fields.get(key)
    match key:
        case "any_purchase" | "any_appointment":
            return True
        case "min_amount":
            amount = event.fields.get("amount")
            return amount is not None and amount >= Decimal(str(wanted))
        case "currency":
            return got is not None and str(got).upper() == str(wanted).upper()
        case "product_id":
            return wanted == got or wanted in event.fields.get("product_ids", [])
        case _:
            return bool(wanted == got)

"""What is recorded about an enrollment, and how it follows what `settle` says should hold: new, moved, revoked, restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from goalstream.domain.facts import Match
from goalstream.domain.ids import achievement_id
from goalstream.domain.settlement import Holding, Settlement, Verdict
from goalstream.domain.values import value

SUPERSEDED = "superseded"
"""The reason of a revocation when an earlier achievement now satisfies the logic."""


@value
class Achievement:
    """Enrollment E achieved goal G by event X at time T; one row per (enrollment, goal), valid unless revoked.

    `match` is event X fulfilling the criteria. It stays an input of the walk where the stored match was cleaned away.
    """

    enrollment_id: str
    contact_id: str
    match: Match
    recorded_at: datetime
    revision: int
    late: bool
    also_matched: tuple[str, ...]
    met: int
    required: int
    should_exit_workflow: bool
    revoked_at: datetime | None = None
    revoked_reason: str | None = None

    @property
    def account_id(self) -> str:
        return self.match.account_id

    @property
    def workflow_id(self) -> str:
        return self.match.workflow_id

    @property
    def goal_id(self) -> str:
        return self.match.goal_id

    @property
    def achievement_id(self) -> str:
        return achievement_id(self.match.account_id, self.enrollment_id, self.match.goal_id)

    @property
    def achieved_at(self) -> datetime:
        return self.match.occurred_at

    @property
    def is_valid(self) -> bool:
        return self.revoked_at is None


class Action(StrEnum):
    """What happens to an achievement; each leaves an audit row, all but MOVED are published."""

    ACHIEVED = "achieved"
    MOVED = "moved"
    REVOKED = "revoked"
    RESTORED = "restored"


@value
class Change:
    """One difference between what is recorded and what should hold."""

    action: Action
    achievement: Achievement
    before: Achievement | None


def changes(
    recorded: Mapping[str, Achievement],
    settlement: Settlement,
    *,
    enrollment_id: str,
    recorded_at: datetime,
    end_is_known: bool,
    exit_is_due: bool,
) -> Iterator[Change]:
    """The differences between `recorded` (by goal id) and what should hold, each goal at most once.

    `end_is_known` marks what is recorded now as late; `exit_is_due` marks the achievement that satisfies the logic, or where
    that is recorded already, those that are new: whoever reads nothing else learns of the exit. What moves keeps what was said
    of it when it was recorded. A copy of its match that holds instead (a smaller record timestamp or
    payload) moves it too, so that it can stand for the match once that is cleaned away.
    """
    completing = settlement.satisfied_by
    is_recorded = completing is not None and _is_valid(recorded.get(completing.match.goal_id))
    for goal_id, holding in settlement.holdings.items():
        before = recorded.get(goal_id)
        if before is not None and before.is_valid and _is_recorded(before, holding):
            continue
        says_exit = exit_is_due and (holding.satisfies or (is_recorded and not _is_valid(before)))
        after = _achievement(holding, enrollment_id, recorded_at, end_is_known, says_exit)
        if before is None:
            yield Change(action=Action.ACHIEVED, achievement=after, before=None)
        elif before.is_valid:
            moved = replace(
                after,
                revision=before.revision,
                recorded_at=before.recorded_at,
                late=before.late,
                should_exit_workflow=before.should_exit_workflow or after.should_exit_workflow,
            )
            yield Change(action=Action.MOVED, achievement=moved, before=before)
        else:
            yield Change(
                action=Action.RESTORED, achievement=replace(after, revision=before.revision + 1), before=before
            )
    for goal_id, before in recorded.items():
        if before.is_valid and goal_id not in settlement.holdings:
            revoked = replace(
                before,
                revision=before.revision + 1,
                revoked_at=recorded_at,
                revoked_reason=_refusal_of(before, settlement),
            )
            yield Change(action=Action.REVOKED, achievement=revoked, before=before)


def _achievement(
    holding: Holding, enrollment_id: str, recorded_at: datetime, late: bool, should_exit_workflow: bool
) -> Achievement:
    return Achievement(
        enrollment_id=enrollment_id,
        contact_id=holding.contact_id,
        match=holding.match,
        recorded_at=recorded_at,
        revision=1,
        late=late,
        also_matched=tuple(holding.also_matched),
        met=holding.met,
        required=holding.required,
        should_exit_workflow=should_exit_workflow,
    )


def _is_valid(achievement: Achievement | None) -> bool:
    return achievement is not None and achievement.is_valid


def _is_recorded(achievement: Achievement, holding: Holding) -> bool:
    return (achievement.match, achievement.contact_id) == (holding.match, holding.contact_id)


def _refusal_of(achievement: Achievement, settlement: Settlement) -> str:
    """The verdict that now refuses the match by which the goal had been achieved."""
    verdict = settlement.verdict_on(achievement.match)
    return SUPERSEDED if verdict is Verdict.ALREADY_SATISFIED else verdict.value

"""The versions of goals, each with the interval in which it was in force."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from goalstream.domain.facts import Match
from goalstream.domain.goals import GoalVersion


class GoalHistory:
    """All versions of the goals that an enrollment's matches are of."""

    def __init__(self, versions: Iterable[GoalVersion]) -> None:
        self._versions: dict[str, list[GoalVersion]] = {}
        for version in sorted(versions, key=lambda version: version.version):
            self._versions.setdefault(version.goal_id, []).append(version)

    def position(self, match: Match) -> tuple[object, ...]:
        """Where a match stands in the walk."""
        created_at = self._versions[match.goal_id][0].created_at
        return match.occurred_at, created_at, match.goal_id, match.event_id, match.source, match.contact_id

    def version_of(self, match: Match) -> GoalVersion | None:
        """The version that the match fulfils, if it was in force when the event occurred.

        A record from a clock far ahead was judged by the configuration then known, which stands.
        """
        if match.clock_ahead:
            return next((v for v in self._versions[match.goal_id] if v.version == match.goal_version), None)
        version = self.at(match.goal_id, match.occurred_at)
        if version is None or version.version != match.goal_version or not version.can_be_achieved:
            return None
        return version

    def in_force(self, match: Match) -> set[str]:
        """The goals of the match's workflow that could be achieved at its time."""
        versions = (self.at(goal_id, match.occurred_at) for goal_id in self._versions)
        return {v.goal_id for v in versions if v and v.can_be_achieved and v.workflow_id == match.workflow_id}

    def at(self, goal_id: str, moment: datetime) -> GoalVersion | None:
        """The version of a goal that was the newest at a moment, whether or not it could be achieved then."""
        versions = self._versions[goal_id]
        return next((version for version in reversed(versions) if version.effective_from <= moment), None)

"""Storage in memory: facts once each, achievements by goal, settled after every fact, and a job that cleans matches away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from goalstream.domain.achievements import Achievement, Action, Change, changes
from goalstream.domain.facts import (
    ContactDeletion,
    ContactMerge,
    EnrollmentEnd,
    EnrollmentFacts,
    EnrollmentStart,
    Fact,
    Match,
    WorkflowStatus,
)
from goalstream.domain.goals import GoalVersion
from goalstream.domain.settlement import settle
from tests.unit.domain.builders import ACCOUNT, NOON

Published = tuple[str, int, bool]
"""Goal id, revision, and whether the message says that it is achieved."""


class Recorder:
    """What is stored about the enrollment n1."""

    def __init__(self, goal_versions: Sequence[GoalVersion], *, allowed_lateness: timedelta) -> None:
        self._goal_versions = goal_versions
        self._allowed_lateness = allowed_lateness
        self._facts: dict[object, Fact] = {}
        self.recorded: dict[str, Achievement] = {}
        self.published: list[Published] = []
        self.exits: list[str] = []

    def tell(self, *facts: Fact) -> list[Change]:
        """Stores facts, of copies the smallest record timestamp and payload; settles; returns what was written."""
        for fact in facts:
            key = fact.identity if isinstance(fact, Match) else replace(fact, record_at=NOON)
            known = self._facts.get(key)
            self._facts[key] = fact if known is None else _smallest(known, fact)
        return self._settle()

    def clean(self, clock: datetime) -> None:
        """Deletes the matches whose record is more than twice the allowed lateness old."""
        self._facts = {
            key: fact
            for key, fact in self._facts.items()
            if not isinstance(fact, Match) or clock - fact.record_at <= 2 * self._allowed_lateness
        }

    def valid(self) -> dict[str, object]:
        """The part of the state that depends on nothing but the facts."""
        return {
            goal_id: (found.achievement_id, found.contact_id, found.match)
            for goal_id, found in self.recorded.items()
            if found.is_valid
        }

    def _settle(self) -> list[Change]:
        stored = list(self._facts.values())
        facts = EnrollmentFacts(
            account_id=ACCOUNT,
            enrollment_id="n1",
            starts=[fact for fact in stored if isinstance(fact, EnrollmentStart)],
            ends=[fact for fact in stored if isinstance(fact, EnrollmentEnd)],
            matches=[fact for fact in stored if isinstance(fact, Match)],
            kept=[achievement.match for achievement in self.recorded.values() if achievement.is_valid],
            goal_versions=self._goal_versions,
            statuses=[fact for fact in stored if isinstance(fact, WorkflowStatus)],
            contacts=[fact for fact in stored if isinstance(fact, ContactMerge | ContactDeletion)],
        )
        settlement = settle(facts, allowed_lateness=self._allowed_lateness)
        end_is_known = settlement.known.ended_at is not None
        exit_is_due = settlement.satisfied_by is not None and not self.exits and not end_is_known
        found = list(
            changes(
                self.recorded,
                settlement,
                enrollment_id="n1",
                recorded_at=NOON,
                end_is_known=end_is_known,
                exit_is_due=exit_is_due,
            )
        )
        self.recorded |= {change.achievement.goal_id: change.achievement for change in found}
        self.published += [
            (change.achievement.goal_id, change.achievement.revision, change.action is not Action.REVOKED)
            for change in found
            if change.action is not Action.MOVED
        ]
        if exit_is_due and settlement.satisfied_by is not None:
            self.exits.append(settlement.satisfied_by.match.goal_id)
        return found


def _smallest(known: Fact, fact: Fact) -> Fact:
    record_at = min(known.record_at, fact.record_at)
    if isinstance(known, Match) and isinstance(fact, Match):
        return replace(known, record_at=record_at, data=min(known.data or "", fact.data or ""))
    return replace(known, record_at=record_at)

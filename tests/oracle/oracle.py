"""What must hold after a history: section 4 of the contract, rule by rule, each with the number of its point.

Slow on purpose: for every match everything is looked at again, from the facts that are in time for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.oracle.contacts import Contacts
from tests.oracle.envelope import BadRecord
from tests.oracle.history import (
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    EVENT_TOPICS,
    STATUS_CHANGED,
    GoalVersion,
    History,
)
from tests.oracle.matching import Match, can_be_achieved, matches_of, version_in_force
from tests.oracle.reading import Told, read

Enrollment = tuple[str, str]
"""(account id, enrollment id)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Achieved:
    """A valid achievement. `contact_id` is the survivor, which is published; `match_contact_id` is the event's own."""

    event_id: str
    source: str
    occurred_at: datetime
    goal_version: int
    contact_id: str
    match_contact_id: str


@dataclass(slots=True, kw_only=True)
class Walk:
    """What the walk of one enrollment finds: by goal what was achieved, by which goal the logic was satisfied, and a
    verdict on every match of the account."""

    achieved: dict[str, Achieved] = field(default_factory=dict)
    satisfied_by: str | None = None
    verdicts: list[tuple[Match, str]] = field(default_factory=list)


def valid_achievements(history: History, lateness: timedelta) -> dict[tuple[str, str, str], Achieved]:
    """By (account, enrollment, goal): all achievements that must be valid, and no other may be."""
    return {
        (account_id, enrollment_id, goal_id): achieved
        for (account_id, enrollment_id), walk in walks(history, lateness).items()
        for goal_id, achieved in walk.achieved.items()
    }


def satisfied(history: History, lateness: timedelta) -> dict[Enrollment, Achieved]:
    """The enrollments whose logic is satisfied, each with the achievement that did it."""
    return {
        enrollment: walk.achieved[walk.satisfied_by]
        for enrollment, walk in walks(history, lateness).items()
        if walk.satisfied_by is not None
    }


def enrolled(history: History) -> dict[Enrollment, tuple[str, datetime]]:
    """The enrollments with a known start, each with its workflow and when it was entered: by the start that holds of all."""
    starts: dict[Enrollment, list[Told]] = {}
    for fact in _told(history):
        if fact.topic == ENROLLMENT_STARTED:
            starts.setdefault((fact.account_id, fact.fields["enrollment_id"]), []).append(fact)
    held = {enrollment: _start_that_holds(_distinct(told)) for enrollment, told in starts.items()}
    return {
        enrollment: (start.fields["workflow_id"], start.fields["entered_at"])
        for enrollment, start in held.items()
        if start is not None
    }


def exits(history: History, lateness: timedelta) -> set[Enrollment]:
    """The enrollments that must have had their one exit, whatever the order of arrival: satisfied, and no end known ever.

    Others may have had one as well, while they were satisfied for a time (point 3) or before an end was known (point 7).
    """
    told = _told(history)
    ended = {(fact.account_id, fact.fields["enrollment_id"]) for fact in told if fact.topic == ENROLLMENT_ENDED}
    for start in told:
        if start.topic == ENROLLMENT_STARTED and _may_be_deleted(start.account_id, start.fields["contact_id"], told):
            ended.add((start.account_id, start.fields["enrollment_id"]))
    return set(satisfied(history, lateness)) - ended


def _may_be_deleted(account_id: str, contact_id: str, told: Iterable[Told]) -> bool:
    """Whether any deletion names the contact, or one that is connected with it by any merge, ignored ones included."""
    merges = [fact.fields for fact in told if fact.topic == CONTACT_MERGED and fact.account_id == account_id]
    connected = {contact_id}
    for _ in merges:
        for fields in merges:
            pair = {fields["contact_id"], fields["into_contact_id"]}
            connected |= pair if pair & connected else set()
    return any(
        fact.topic == CONTACT_DELETED and fact.account_id == account_id and fact.fields["contact_id"] in connected
        for fact in told
    )


def dead_letters(history: History) -> list[tuple[int, str]]:
    """The index of every bad record in `history.records`, and its reason; in the order of the records."""
    found = []
    for index, record in enumerate(history.records):
        try:
            read(record)
        except BadRecord as bad:
            found.append((index, bad.reason))
    return found


def walks(history: History, lateness: timedelta) -> dict[Enrollment, Walk]:
    """The walk of every enrollment of which a start or an end was told. Point 18: accounts never meet."""
    told = _told(history)
    found: dict[Enrollment, Walk] = {}
    for account_id in sorted({fact.account_id for fact in told}):
        versions = [version for version in history.goal_versions if version.account_id == account_id]
        account = _Account([fact for fact in told if fact.account_id == account_id], versions, lateness)
        for enrollment_id in account.enrollment_ids():
            found[account_id, enrollment_id] = account.walk(enrollment_id)
    return found


def _told(history: History) -> list[Told]:
    """What the records tell, bad ones left out."""
    told = []
    for record in history.records:
        try:
            told.append(read(record))
        except BadRecord:
            continue
    return told


def _distinct(facts: Iterable[Told]) -> list[Told]:
    """Point 13: of copies that are identical in everything that they say, the one with the smallest record timestamp."""
    smallest: dict[tuple[object, ...], Told] = {}
    for fact in sorted(facts, key=lambda fact: fact.record_at):
        key = (fact.topic, fact.account_id, fact.source, fact.event_id, fact.occurred_at, fact.said())
        smallest.setdefault(key, fact)
    return list(smallest.values())


class _Account:
    """The facts of one account."""

    def __init__(self, told: Sequence[Told], versions: Sequence[GoalVersion], lateness: timedelta) -> None:
        facts = _distinct(told)
        self._lateness = lateness
        self._goals: dict[str, list[GoalVersion]] = {}
        for version in versions:
            self._goals.setdefault(version.goal_id, []).append(version)
        self._starts = [fact for fact in facts if fact.topic == ENROLLMENT_STARTED]
        self._ends = [fact for fact in facts if fact.topic == ENROLLMENT_ENDED]
        self._statuses = [fact for fact in facts if fact.topic == STATUS_CHANGED]
        self._about_contacts = [fact for fact in facts if fact.topic in (CONTACT_MERGED, CONTACT_DELETED)]
        self._contacts_at: dict[datetime, Contacts] = {}
        copies: dict[tuple[object, ...], Match] = {}
        events = sorted((fact for fact in facts if fact.topic in EVENT_TOPICS), key=lambda fact: fact.record_at)
        for event in events:
            for match in matches_of(event, self._goals):
                copies.setdefault((match.version is None, *match.identity), match)
        self._matches = sorted(copies.values(), key=lambda match: (match.place, match.version is None))

    def enrollment_ids(self) -> list[str]:
        return sorted({fact.fields["enrollment_id"] for fact in (*self._starts, *self._ends)})

    def walk(self, enrollment_id: str) -> Walk:
        """Points 1 to 3: the matches in their order; the first that counts of a goal is its achievement."""
        starts = [fact for fact in self._starts if fact.fields["enrollment_id"] == enrollment_id]
        ends = [fact for fact in self._ends if fact.fields["enrollment_id"] == enrollment_id]
        walk = Walk()
        for match in self._matches:
            verdict = self._refusal(match, starts, ends)
            if verdict is None and match.goal_id in walk.achieved:
                verdict = "already_achieved"
            if verdict is None and walk.satisfied_by is not None:
                verdict = "already_satisfied"
            walk.verdicts.append((match, verdict or "achieved"))
            if verdict is None and match.version is not None:
                walk.achieved[match.goal_id] = Achieved(
                    event_id=match.event_id,
                    source=match.source,
                    occurred_at=match.occurred_at,
                    goal_version=match.version.version,
                    contact_id=self._contacts(match).survivor(match.contact_id),
                    match_contact_id=match.contact_id,
                )
                if self._is_satisfied(match, set(walk.achieved)):
                    walk.satisfied_by = match.goal_id
        return walk

    def _refusal(self, match: Match, starts: Iterable[Told], ends: Iterable[Told]) -> str | None:
        """The first rule by which a match does not count for the enrollment with these starts and ends."""
        if _is_too_late(match, self._lateness):
            return "too_late"
        start = _start_that_holds(self._in_time(starts, match))
        if start is None or start.fields["workflow_id"] != match.workflow_id:
            return "no_enrollment"
        contacts = self._contacts(match)
        contact_id = start.fields["contact_id"]
        if contacts.survivor(contact_id) != contacts.survivor(match.contact_id):
            return _why_another_contact(contacts, contact_id, match.contact_id)
        if match.version is None:
            return "goal_not_in_force"
        if not self._workflow(match)[0]:
            return "workflow_inactive"
        if match.occurred_at < start.fields["entered_at"]:
            return "before_enrollment"
        end = _end_that_holds(self._in_time(ends, match))
        if end is not None and not _is_before(match, start, end, match.version.measure_after_exit):
            return "after_enrollment"
        if any(contacts.is_deleted(one, match.occurred_at) for one in (match.contact_id, contact_id)):
            return "contact_deleted"
        if _is_outside_window(match, start, match.version.window):
            return "outside_window"
        return "own_trigger" if _is_own_trigger(match, start) else None

    def _is_satisfied(self, match: Match, achieved: set[str]) -> bool:
        """Point 2: `any` at once; `all` when every goal of the workflow then in force has been achieved."""
        if self._workflow(match)[1] == "any":
            return True
        then = {goal_id: version_in_force(versions, match.occurred_at) for goal_id, versions in self._goals.items()}
        return achieved >= {
            goal_id
            for goal_id, version in then.items()
            if version is not None and can_be_achieved(version) and version.workflow_id == match.workflow_id
        }

    def _workflow(self, match: Match) -> tuple[bool, str]:
        """Point 16: whether the workflow is active when the match occurs, and its logic."""
        told = [
            fact
            for fact in self._in_time(self._statuses, match)
            if fact.fields["workflow_id"] == match.workflow_id and fact.occurred_at <= match.occurred_at
        ]
        is_active, logic = True, "any"
        for fact in sorted(told, key=lambda fact: (fact.occurred_at, fact.event_id, fact.source, fact.said())):
            is_active = fact.fields["status"] == "active"
            logic = fact.fields.get("goal_logic", logic)
        return is_active, logic

    def _contacts(self, match: Match) -> Contacts:
        """Point 19, by the merges and deletions in time for the match; remembered, as nothing else of it depends on it."""
        if match.record_at not in self._contacts_at:
            self._contacts_at[match.record_at] = Contacts(self._in_time(self._about_contacts, match))
        return self._contacts_at[match.record_at]

    def _in_time(self, facts: Iterable[Told], match: Match) -> list[Told]:
        """Point 6: the facts whose records are at most the allowed lateness later than the match's own."""
        return [fact for fact in facts if fact.record_at <= match.record_at + self._lateness]


def _is_too_late(match: Match, lateness: timedelta) -> bool:
    """Point 6: the record is more than the allowed lateness later than what it tells."""
    return match.record_at > match.occurred_at + lateness


def _start_that_holds(starts: Iterable[Told]) -> Told | None:
    """Point 17: the smallest (`entered_at`, event id); remaining ties by point 13."""
    order = sorted(starts, key=lambda fact: (fact.fields["entered_at"], fact.event_id, fact.source, fact.said()))
    return order[0] if order else None


def _end_that_holds(ends: Iterable[Told]) -> Told | None:
    """Point 17: the smallest `ended_at`; point 11: at equal times the echo of our exit."""
    order = sorted(ends, key=lambda fact: (fact.fields["ended_at"], not _is_echo(fact)))
    return order[0] if order else None


def _is_echo(end: Told) -> bool:
    """Point 11: the engine let the contact out because of our exit."""
    return bool(end.fields.get("reason") == "goal_achieved")


def _is_before(match: Match, start: Told, end: Told, measure_after_exit: timedelta) -> bool:
    """Points 1, 11 and 17: before the end, and as long after it as the goal measures; an end before the start admits
    nothing; the last moment of an echo still counts."""
    ended_at: datetime = end.fields["ended_at"]
    if ended_at < start.fields["entered_at"]:
        return False
    limit = ended_at + measure_after_exit
    return match.occurred_at < limit or (match.occurred_at == limit and _is_echo(end))


def _is_outside_window(match: Match, start: Told, window: timedelta | None) -> bool:
    """Point 1: `occurred_at < entered_at + window`, if the goal has one."""
    entered_at: datetime = start.fields["entered_at"]
    return window is not None and match.occurred_at >= entered_at + window


def _is_own_trigger(match: Match, start: Told) -> bool:
    """Point 1: the event that enrolled the contact, whatever its source."""
    return bool(start.fields.get("trigger_event_id") == match.event_id)


def _why_another_contact(contacts: Contacts, enrolled: str, matched: str) -> str:
    """Point 19: nobody's match, or one that a merge took away from this enrollment."""
    return "contact_merged" if any(map(contacts.is_merged_away, (enrolled, matched))) else "no_enrollment"

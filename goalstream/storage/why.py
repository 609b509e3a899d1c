"""Why a contact has or has not achieved a goal, and what became of the contact altogether: page by page, newest first.

What is shown of a match is what the walk says of it. A page reads and judges no more enrollments than it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import dropwhile, islice
from typing import Any, NamedTuple

from goalstream.domain.explanation import Walk, not_enrolled
from goalstream.domain.facts import ContactMerge, Match
from goalstream.domain.goals import criteria_document
from goalstream.domain.messages import achievement_state, event_document
from goalstream.domain.spans import LAST
from goalstream.errors import GoalNotFound
from goalstream.storage import codecs
from goalstream.storage.codecs import digest
from goalstream.storage.enrollments import EnrollmentRow, KnownEnrollment, read
from goalstream.storage.goal_versions import goal_of
from goalstream.storage.persons import Person, matches_of_goal, matches_of_workflow, read_person
from goalstream.storage.pool import Connection, Database

_VERSIONS = """
select goal_versions.*, goals.created_by
  from goals
  join goal_versions on goal_versions.account_id = goals.account_id and goal_versions.goal_id = goals.goal_id
 where goals.account_id = $1 and goals.goal_id = $2
 order by version
"""


class Key(NamedTuple):
    """Where an entry stands: newest first, and among those of one moment by its mark."""

    at: datetime
    mark: str

    @property
    def order(self) -> tuple[timedelta, str]:
        return LAST - self.at, self.mark


class _Entry(NamedTuple):
    """Something to show: of a match and an enrollment of its contact (None where there is none), or another fact."""

    key: Key
    kind: str
    row: EnrollmentRow | None = None
    match: Match | None = None
    about: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is shown of a contact, and where it goes on, if it does."""

    contact_id: str
    entries: Sequence[dict[str, Any]]
    end: Key | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Page):
    """The verdicts on a goal's matches; `goal` is its newest version, `contact_ids` are all that stand for the contact."""

    contact_ids: Sequence[str]
    goal: dict[str, Any]


async def explanation(
    database: Database,
    account_id: str,
    contact_id: str,
    goal_id: str,
    *,
    allowed_lateness: timedelta,
    limit: int,
    after: Key | None,
) -> Explanation:
    """Every match of a contact and a goal, once for each enrollment of the contact in the goal's workflow.

    Raises GoalNotFound, or DatabaseUnavailable.
    """
    async with database.snapshot(account_id) as connection:
        rows = await connection.fetch(_VERSIONS, account_id, goal_id)
        if not rows:
            raise GoalNotFound(f"There is no goal {goal_id}")
        versions = {row["version"]: codecs.goal_version(row) for row in rows}
        newest = versions[rows[-1]["version"]]
        person = await read_person(connection, account_id, contact_id, newest.workflow_id)
        moment = None if after is None else after.at
        matches = await matches_of_goal(connection, person, goal_id, limit=limit + 1, moment=moment)
        judged = _judged(person, matches, lambda match: match.goal_id == goal_id)
        shown, end = _cut(judged, limit, after)
        walks = await _walks(connection, shown, allowed_lateness)
    goal = goal_of(rows[-1], created_by=rows[-1]["created_by"])
    entries = []
    for entry in shown:
        verdict = _verdict(entry, walks)
        version = versions.get(verdict["goal_version"])
        criteria = None if version is None else criteria_document(version.criteria)
        entries.append(
            {"event": verdict.pop("event"), "goal_version": verdict.pop("goal_version"), "criteria": criteria} | verdict
        )
    return Explanation(
        contact_id=person.contact_id,
        contact_ids=person.ids,
        goal=goal.document() | {"is_deleted": newest.is_deleted},
        entries=entries,
        end=end,
    )


async def timeline(
    database: Database,
    account_id: str,
    contact_id: str,
    workflow_id: str | None,
    *,
    allowed_lateness: timedelta,
    limit: int,
    after: Key | None,
) -> Page:
    """What happened to a contact, in event time: enrollments, matches with their verdicts, exits, merges, deletions.

    `workflow_id` leaves out other workflows. Raises DatabaseUnavailable.
    """
    async with database.snapshot(account_id) as connection:
        person = await read_person(connection, account_id, contact_id, workflow_id)
        moment = None if after is None else after.at
        matches = await matches_of_workflow(connection, person, workflow_id, limit=limit + 1, moment=moment)
        judged = _judged(person, matches, lambda match: workflow_id in (None, match.workflow_id))
        others = sorted([*_enrolled(person), *_told(person)], key=_order)
        shown, end = _cut(merge(judged, others, key=_order), limit, after)
        walks = await _walks(connection, shown, allowed_lateness)
    return Page(contact_id=person.contact_id, entries=[_timeline_entry(entry, walks) for entry in shown], end=end)


def _order(entry: _Entry) -> tuple[timedelta, str]:
    return entry.key.order


def _cut(entries: Iterable[_Entry], limit: int, after: Key | None) -> tuple[list[_Entry], Key | None]:
    """A page of sorted entries, and where it ends, if there is more."""
    left = entries if after is None else dropwhile(lambda entry: entry.key.order <= after.order, entries)
    found = list(islice(left, limit + 1))
    shown = found[:limit]
    return shown, shown[-1].key if len(found) > limit else None


def _judged(person: Person, matches: Sequence[Match], is_wanted: Callable[[Match], bool]) -> Iterator[_Entry]:
    """Matches with every enrollment of their contact in their workflow, in order.

    Also those by which something was achieved, of which the match itself was cleaned away, or is another contact's by now.
    """
    stored = {match.identity for match in matches}
    recorded = [
        _Entry(_key(achievement.match, row), "event", row, achievement.match)
        for row in person.rows.values()
        for achievement in person.recorded.get((row.account_id, row.enrollment_id), {}).values()
        if is_wanted(achievement.match)
        and achievement.match.identity not in stored
        and not {achievement.contact_id, achievement.match.contact_id}.isdisjoint(person.ids)
    ]
    ordered = sorted(matches, key=lambda match: _key(match, None).order)
    stored_entries = (
        _Entry(_key(match, row), "event", row, match)
        for match in ordered
        for row in person.enrollments.get(match.workflow_id) or (None,)
    )
    return merge(stored_entries, sorted(recorded, key=_order), key=_order)


def _key(match: Match, row: EnrollmentRow | None) -> Key:
    return Key(match.occurred_at, f"{digest(*match.identity)[:32]} {row.enrollment_id if row else ''}")


def _enrolled(person: Person) -> Iterator[_Entry]:
    """When enrollments of this contact started, ended, and were let out.

    At the moment of an event, whose mark is hexadecimal: an exit stands above it, which is newer, an entry below.
    """
    for row in person.rows.values():
        if row.contact_id in person.ids:
            for place, kind, moment in (
                ("~", "enrollment_started", row.entered_at),
                ("!", "enrollment_ended", row.ended_at),
                ("!", "exited", row.exited_at),
            ):
                if moment is not None:
                    yield _Entry(Key(moment, f"{place}{kind} {row.enrollment_id}"), kind, row)


def _told(person: Person) -> Iterator[_Entry]:
    """Merges that hold, and deletions, of every id; each once."""
    seen = set()
    for fact in sorted(person.told, key=lambda fact: (fact.occurred_at, fact.event_id)):
        if fact.contact_id not in person.ids:
            continue
        about = {"contact_id": fact.contact_id}
        kind = "contact_deleted"
        if isinstance(fact, ContactMerge):
            if person.contacts.into(fact.contact_id) != fact.into_contact_id:
                continue
            kind, about["into_contact_id"] = "contact_merged", fact.into_contact_id
        if (kind, fact.contact_id) not in seen:
            seen.add((kind, fact.contact_id))
            yield _Entry(Key(fact.occurred_at, f"{kind} {fact.contact_id}"), kind, about=about)


async def _walks(
    connection: Connection, entries: Sequence[_Entry], allowed_lateness: timedelta
) -> dict[str, tuple[KnownEnrollment, Walk]]:
    """The walks of the enrollments that are shown, by their ids."""
    rows = {entry.row.enrollment_id: entry.row for entry in entries if entry.row is not None}
    if not rows:
        return {}
    return {
        known.row.enrollment_id: (known, Walk(known.facts, known.recorded, allowed_lateness=allowed_lateness))
        for known in await read(connection, list(rows.values()))
    }


def _verdict(entry: _Entry, walks: Mapping[str, tuple[KnownEnrollment, Walk]]) -> dict[str, Any]:
    """What the walk says of a match, as the API shows it."""
    match = entry.match
    assert match is not None  # noqa: S101 - narrows: an entry of this kind has one
    achievement = None
    if entry.row is None:
        found = not_enrolled(match)
    else:
        _, walk = walks[entry.row.enrollment_id]
        match, achievement, found = walk.judged(match), walk.achievement_by(match), walk.explain(match)
    return {
        "event": event_document(match),
        "goal_version": match.goal_version,
        "enrollment_id": entry.row and entry.row.enrollment_id,
        "verdict": found.verdict,
        "wanted": found.wanted,
        "got": found.got,
        "text": found.text,
        "achievement": achievement and achievement_state(achievement),
    }


def _timeline_entry(entry: _Entry, walks: Mapping[str, tuple[KnownEnrollment, Walk]]) -> dict[str, Any]:
    document: dict[str, Any] = {"at": entry.key.at, "kind": entry.kind}
    match, row = entry.match, entry.row
    if match is not None:
        verdict = _verdict(entry, walks)
        goal = {"workflow_id": match.workflow_id, "goal_id": match.goal_id, "goal_type": match.goal_type.value}
        return document | {"event": verdict.pop("event")} | goal | verdict
    if row is None:
        return document | dict(entry.about)
    document |= {"enrollment_id": row.enrollment_id, "workflow_id": row.workflow_id}
    return document | _about_enrollment(entry, *walks[row.enrollment_id])


def _about_enrollment(entry: _Entry, known: KnownEnrollment, walk: Walk) -> dict[str, Any]:
    circumstances = walk.settlement.known
    match entry.kind:
        case "enrollment_started":
            return {"trigger_event_id": circumstances.start and circumstances.start.trigger_event_id}
        case "enrollment_ended":
            end = circumstances.end
            is_told = end is not None and end.ended_at == entry.key.at
            return {"reason": end.reason if end is not None and is_told else "contact_deleted"}
        case _:
            exits = sorted(
                known.recorded.values(),
                key=lambda achievement: (achievement.achieved_at != entry.key.at, not achievement.should_exit_workflow),
            )
            return {"goal_id": exits[0].goal_id if exits else None}

"""The feed: an account's audit as it grows, read again and again from where everything is known to have been read.

Entries are numbered before they are committed, so a smaller number may appear after a greater one. What was begun before a look
is over once every transaction that ran then has ended: up to the greatest number of that look nothing can appear any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from goalstream.storage.codecs import decode_json
from goalstream.storage.pool import Connection, Database

MOST_ENTRIES = 500
"""That one look shows; of more the newest are shown, and the others are counted."""

FIRST_ENTRIES = 50
"""From before the feed began, so that whoever opens it sees something."""

FURTHEST_BACK = 100_000
"""Numbers before the newest entry: no look reads further back, however long ago a stream was cut or rare what is asked for."""

_LOOK = """
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest_running,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next_to_run,
       (select coalesce(max(entry_id), 0) from audit where account_id = $1) as newest
"""

_WANTED = """
  from audit
 where account_id = $1 and entry_id > $2 and workflow_id is not null
   and ($3::uuid is null or workflow_id = $3) and ($4::uuid is null or goal_id = $4)
   and ($5::uuid is null or contact_id = $5) and ($6::text[] is null or action = any($6))
"""

_ENTRIES = f"""
select entry_id, at, actor, action, workflow_id::text, goal_id::text, version, enrollment_id::text, contact_id::text,
       effective_from, before, after
{_WANTED}
 order by entry_id desc
 limit $7
"""

_COUNT = f"select count(*) {_WANTED}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFilter:
    """Which entries: those about a workflow, a goal, a contact, or with one of these actions; None is any."""

    workflow_id: str | None = None
    goal_id: str | None = None
    contact_id: str | None = None
    actions: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is new, oldest first, and how many more there were. `resume_after` is what to go on from after a break."""

    entries: Sequence[dict[str, Any]]
    skipped: int
    resume_after: int


@dataclass(slots=True, kw_only=True)
class Feed:
    """One reader's place in the feed of an account; its memory is bounded by what may be in doubt."""

    database: Database
    account_id: str
    wanted: FeedFilter
    after: int | None
    """Everything up to this entry was read; None at the beginning."""

    most_entries: int = MOST_ENTRIES
    _told: set[int] = field(default_factory=set)
    _looks: deque[tuple[int, int]] = field(default_factory=deque)
    """Looks before which some transactions may still run: the greatest entry then, and the first transaction after it."""

    async def look(self) -> News:
        """What appeared since the last look; the first one shows what was there. Raises DatabaseUnavailable."""
        async with self.database.snapshot(self.account_id) as connection:
            look = await connection.fetchrow(_LOOK, self.account_id)
            assert look is not None  # noqa: S101 - narrows: it has no condition
            limit = FIRST_ENTRIES if self.after is None else self.most_entries
            after = max(self.after or 0, look["newest"] - FURTHEST_BACK)
            found, count = await self._entries(connection, after, limit)
        new = [entry for entry in found if entry["entry_id"] not in self._told]
        oldest = found[-1]["entry_id"] if found else look["newest"] + 1
        skipped = 0
        if self.after is None:
            after = oldest - 1
        elif count > len(found):
            skipped = count - len(found) - sum(entry_id < oldest for entry_id in self._told)
            after = oldest - 1  # what was skipped is not shown later either
        self.after = after
        self._told.update(entry["entry_id"] for entry in new)
        self._looks.append((look["newest"], look["next_to_run"]))
        while self._looks and self._looks[0][1] <= look["oldest_running"]:
            self.after = max(self.after, self._looks.popleft()[0])
        self._told = {entry_id for entry_id in self._told if entry_id > self.after}
        return News(entries=[_shown(entry) for entry in reversed(new)], skipped=skipped, resume_after=self.after)

    async def _entries(self, connection: Connection, after: int, limit: int) -> tuple[Sequence[Any], int]:
        """The newest entries after one, newest first, and how many there are."""
        one = self.wanted
        values = [self.account_id, after, one.workflow_id, one.goal_id, one.contact_id, one.actions]
        found = await connection.fetch(_ENTRIES, *values, limit)
        is_all = len(found) < limit
        return found, len(found) if is_all else await connection.fetchval(_COUNT, *values)


def _shown(entry: Any) -> dict[str, Any]:
    """An entry as it is told: what holds now of an achievement stands beside the rest, and a goal as it was and is."""
    before, after = (None if entry[name] is None else decode_json(entry[name]) for name in ("before", "after"))
    is_of_goal = entry["enrollment_id"] is None
    achievement = {} if is_of_goal or after is None else after
    return {
        **{name: value for name, value in entry.items() if name not in ("before", "after")},
        **{name: achievement.get(name) for name in ("event_id", "source", "achieved_at", "revision", "revoked_reason")},
        "before": before if is_of_goal else None,
        "after": after if is_of_goal else None,
    }

"""Whether everything is right: every expected achievement once in the table, its messages on the topics, nothing else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass

from benchmarks.services import Observer
from benchmarks.workload import Workload
from goalstream.storage.pool import Database

_MAY_DIFFER = frozenset({"expected", "messages_repeated", "committed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found beside what was expected; delivery is at least once, so that repeated messages are no fault."""

    expected: int
    rows_missing: int
    rows_unexpected: int
    achieved_missing: int
    exits_missing: int
    messages_unexpected: int
    messages_repeated: int
    repeated_but_different: int
    dead_letters: int
    left_in_outbox: int
    committed: int
    not_committed: int

    @property
    def is_right(self) -> bool:
        return not any(count for name, count in asdict(self).items() if name not in _MAY_DIFFER)


async def judge(workload: Workload, observer: Observer, database: Database) -> Verdict:
    """Reads the tables and the topics; the worker must be through."""
    expected = {(hit.enrollment_id, hit.goal.goal_id) for hit in workload.hits}
    async with database.connection() as connection:
        found = await connection.fetch(
            "select enrollment_id::text, goal_id::text from achievements where revoked_at is null"
        )
        outbox = await connection.fetchval("select count(*) from outbox")
    rows = [(enrollment, goal) for enrollment, goal in found]
    achieved = await _by_id(observer, workload.prefix + "workflow.goal.achieved")
    exits = await _by_id(observer, workload.prefix + "workflow.exit.goal")
    revoked = await _by_id(observer, workload.prefix + "workflow.goal.revoked")
    wanted_achieved = {hit.achieved_message_id for hit in workload.hits}
    wanted_exits = {hit.exit_message_id for hit in workload.hits}
    repeated = [values for found in (achieved, exits) for values in found.values() if len(values) > 1]
    committed, ends = await observer.committed(), await observer.log_ends()
    return Verdict(
        expected=len(expected),
        rows_missing=len(expected.difference(rows)),
        rows_unexpected=len(rows) - len(expected.intersection(rows)),
        achieved_missing=len(wanted_achieved.difference(achieved)),
        exits_missing=len(wanted_exits.difference(exits)),
        messages_unexpected=len(achieved.keys() - wanted_achieved) + len(exits.keys() - wanted_exits) + len(revoked),
        messages_repeated=sum(len(values) - 1 for values in repeated),
        repeated_but_different=sum(len(set(values)) > 1 for values in repeated),
        dead_letters=len(await observer.read_all(workload.prefix + "goalstream.dead-letter")),
        left_in_outbox=outbox,
        committed=sum(committed.values()),
        not_committed=sum(end - committed.get(partition, 0) for partition, end in ends.items()),
    )


async def _by_id(observer: Observer, topic: str) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for message_id, value in await observer.read_all(topic):
        found[message_id].append(value)
    return found

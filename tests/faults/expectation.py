"""What must hold after a run, told by the oracle from the goal versions and from the records that Kafka holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.faults.topics import Origin, Stored
from tests.oracle import oracle
from tests.oracle.envelope import BadRecord
from tests.oracle.history import REFERENCE_CHANGED, STATUS_CHANGED, GoalVersion, History, Record
from tests.oracle.oracle import Achieved, Enrollment
from tests.oracle.reading import Told, read

AchievementKey = tuple[str, str, str]
"""(account id, enrollment id, goal id)"""

_AFTER_ALL = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLetter:
    """A record that must be a dead letter, and its reason."""

    record: Record
    reason: str


@dataclass(slots=True, kw_only=True)
class Expected:
    """Everything that the contract promises of a run."""

    achievements: dict[AchievementKey, Achieved] = field(default_factory=dict)
    satisfied: dict[Enrollment, datetime] = field(default_factory=dict)
    exits: set[Enrollment] = field(default_factory=set)
    """The enrollments that must have had their exit; others may have had one."""

    dead_letters: dict[Origin, BadLetter] = field(default_factory=dict)


def expectation(versions: Iterable[GoalVersion], stored: Iterable[Stored], lateness: timedelta) -> Expected:
    """What must hold when all these records have been worked through, however often and in whatever order."""
    origins: dict[Record, list[Origin]] = defaultdict(list)
    for one in stored:
        origins[one.record].append(one.origin)
    good: list[tuple[Record, Told]] = []
    expected = Expected()
    for record, places in origins.items():
        try:
            good.append((record, read(record)))
        except BadRecord as bad:
            letter = BadLetter(record=record, reason=bad.reason)
            expected.dead_letters.update(dict.fromkeys(places, letter))
    of_account: dict[str, list[GoalVersion]] = defaultdict(list)
    for version in versions:
        of_account[version.account_id].append(version)
    for account_id, records in _islands(good):
        history = History(goal_versions=tuple(of_account[account_id]), records=tuple(records), now=_AFTER_ALL)
        _add(expected, history, lateness)
    return expected


def _add(expected: Expected, history: History, lateness: timedelta) -> None:
    is_satisfied = False
    for enrollment, walk in oracle.walks(history, lateness).items():
        expected.achievements |= {(*enrollment, goal_id): achieved for goal_id, achieved in walk.achieved.items()}
        if walk.satisfied_by is not None:
            expected.satisfied[enrollment] = walk.achieved[walk.satisfied_by].occurred_at
            is_satisfied = True
    if is_satisfied:  # otherwise nobody exits, and the oracle need not walk once more to say so
        expected.exits |= oracle.exits(history, lateness)


def _islands(good: Sequence[tuple[Record, Told]]) -> Iterable[tuple[str, list[Record]]]:
    """Records by account, and in it by who can have to do with each other: contacts and enrollments that any record names
    together. The oracle looks at every match for every enrollment, which in one piece would take it hours.
    """
    leader: dict[tuple[str, str], tuple[str, str]] = {}

    def find(one: tuple[str, str]) -> tuple[str, str]:
        while (above := leader.setdefault(one, one)) != one:
            leader[one] = one = leader[above]
        return one

    for _, told in good:
        names = _named(told)
        for other in names[1:]:
            leader[find(other)] = find(names[0])
    islands: dict[tuple[str, str], list[Record]] = defaultdict(list)
    statuses: dict[str, list[Record]] = defaultdict(list)
    for record, told in good:
        if told.topic == STATUS_CHANGED:
            statuses[told.account_id].append(record)
        elif told.topic != REFERENCE_CHANGED:
            islands[find(_named(told)[0])].append(record)
    for (account_id, _), records in islands.items():
        yield account_id, records + statuses[account_id]


def _named(told: Told) -> list[tuple[str, str]]:
    """The contacts and the enrollment that a record is about."""
    names = [f"contact {told.fields[name]}" for name in ("contact_id", "into_contact_id") if name in told.fields]
    names += [f"enrollment {told.fields['enrollment_id']}"] if "enrollment_id" in told.fields else []
    return [(told.account_id, name) for name in names]

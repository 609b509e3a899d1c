"""Accounts in which much happens: somebody who cannot leave the goals alone, and a crowd of contacts that are enrolled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import NAMESPACE_URL, UUID, uuid5

from goalstream.domain.goals import Criteria, FormCriteria, GoalType, PurchaseCriteria, TagCriteria, parse_criteria
from goalstream.errors import DuplicateGoal, GoalLimitExceeded, GoalNotFound, Unavailable
from goalstream.storage.goals import GoalBook
from goalstream.storage.pool import Database
from tests.oracle.history import (
    ENROLLMENT_STARTED,
    FORM_SUBMITTED,
    PAYMENT_COMPLETED,
    STATUS_CHANGED,
    TAG_ADDED,
    Fact,
    Record,
    milliseconds,
    on_the_wire,
)

MAX_GOALS = 3
ATTEMPTS = 20

TAGS, AMOUNTS, FORMS = ("Gold", "Silver"), ("50", "100.00"), ("form-1", "form-2")
PAID = (40, "50.00", 75, "99.99", 100, 120, "150.0", 200)
WINDOWS = (None, timedelta(minutes=90), timedelta(hours=3), timedelta(days=2))
"""Contacts entered one to four hours ago: some are beyond one window and within another."""


def _workflow(account_id: str) -> str:
    """The one workflow of an account."""
    return str(uuid5(NAMESPACE_URL, account_id))


def status(chance: Random, account_id: str) -> Record:
    """The workflow has been active since yesterday, with either logic."""
    now = datetime.now(UTC)
    data = {"workflow_id": _workflow(account_id), "status": "active", "goal_logic": chance.choice(["any", "all"])}
    return _record(STATUS_CHANGED, account_id, "status-1", now - timedelta(days=1), now, data)


def _record(
    topic: str, account_id: str, event_id: str, moment: datetime, recorded: datetime, data: Mapping[str, object]
) -> Record:
    envelope = {"event_id": event_id, "account_id": account_id, "timestamp": moment.isoformat(), "data": data}
    return on_the_wire(Fact(topic=topic, timestamp=milliseconds(recorded), envelope=envelope))


class Changer:
    """Somebody who cannot leave the goals alone."""

    def __init__(self, database: Database, delay: timedelta, chance: Random) -> None:
        self._database = database
        self._delay = delay
        self._chance = chance
        self._goals: dict[str, list[tuple[str, GoalType]]] = defaultdict(list)

    async def change(self, account_id: str) -> int:
        """One change that is accepted; returns how many were refused before."""
        book = GoalBook(
            self._database, account_id=account_id, activation_delay=self._delay, max_goals_per_workflow=MAX_GOALS
        )
        for refused in range(ATTEMPTS):
            with suppress(DuplicateGoal, GoalLimitExceeded, GoalNotFound, Unavailable):
                if await self._attempt(book, account_id):
                    return refused
        return ATTEMPTS

    async def _attempt(self, book: GoalBook, account_id: str) -> bool:
        """False when nothing would have changed."""
        chance, goals, workflow_id = self._chance, self._goals[account_id], _workflow(account_id)
        kind = chance.choice(["criteria"] * 4 + ["pause"] * 3 + ["window"] * 2 + ["after", "delete"])
        if len(goals) < chance.randint(1, MAX_GOALS):
            goal_type = chance.choice([GoalType.TAG_ADDED, GoalType.PURCHASE_MADE, GoalType.FORM_SUBMITTED])
            created = await book.create(
                workflow_id,
                goal_type=goal_type,
                criteria=_criteria(chance, goal_type),
                window=chance.choice(WINDOWS),
                measure_after_exit=timedelta(0),
                actor="fault",
            )
            goals.append((created.version.goal_id, goal_type))
            return True
        goal_id, goal_type = chance.choice(goals)
        if kind == "delete":
            await book.delete(workflow_id, goal_id, expected_version=None, actor="fault")
            goals.remove((goal_id, goal_type))
            return True
        before = (await book.get(workflow_id, goal_id)).version
        changes: dict[str, object] = {"is_active": not before.is_active}
        if kind == "criteria":
            changes = {"criteria": _criteria(chance, goal_type), "is_active": before.is_active or chance.random() < 0.5}
        elif kind == "window":
            changes = {"window": chance.choice(WINDOWS)}
        elif kind == "after":
            changes = {"measure_after_exit": timedelta(hours=chance.randrange(4))}
        after = await book.change(workflow_id, goal_id, changes, expected_version=before.version, actor="fault")
        return after.version.version > before.version


def _criteria(chance: Random, goal_type: GoalType) -> Criteria:
    match goal_type:
        case GoalType.TAG_ADDED:
            return TagCriteria(tag_name=chance.choice(TAGS))
        case GoalType.FORM_SUBMITTED:
            return FormCriteria(form_id=chance.choice(FORMS))
        case _:
            criteria = parse_criteria(GoalType.PURCHASE_MADE, {"min_amount": chance.choice(AMOUNTS)})
            assert isinstance(criteria, PurchaseCriteria)
            return criteria


class Crowd:
    """Enrolled contacts who do things: mostly somebody new, so that most events decide something."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._contacts: dict[str, list[str]] = defaultdict(list)

    def event(self, account_id: str, now: datetime) -> list[Record]:
        """An event that occurs now; with somebody new the start of the enrollment, before or after it."""
        chance = self._chance
        known = self._contacts[account_id]
        is_new = not known or chance.random() < 0.7
        contact_id = self._uuid() if is_new else chance.choice(known[-20:])
        done: list[tuple[str, dict[str, object]]] = [
            (TAG_ADDED, {"tag_name": chance.choice(TAGS)}),
            (PAYMENT_COMPLETED, {"amount": chance.choice(PAID)}),
            (FORM_SUBMITTED, {"form_id": chance.choice(FORMS)}),
        ]
        topic, data = chance.choice(done)
        # A record's timestamp has no microseconds: half of the events occur a little after it, and are dated by it.
        recorded = now + timedelta(milliseconds=chance.choice([0, 1]))
        records = [_record(topic, account_id, self._uuid(), now, recorded, {"contact_id": contact_id, **data})]
        if is_new:
            known.append(contact_id)
            entered_at = now - timedelta(seconds=chance.uniform(3_600, 4 * 3_600))
            enrolled = {"enrollment_id": self._uuid(), "workflow_id": _workflow(account_id), "contact_id": contact_id}
            records.append(_record(ENROLLMENT_STARTED, account_id, self._uuid(), entered_at, now, enrolled))
            chance.shuffle(records)
        return records

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

"""Goals in PostgreSQL: versions, limits and duplicates under concurrency, and the clock that proves every change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from goalstream.domain.goals import FormCriteria, GoalType, PurchaseCriteria, TagCriteria, parse_criteria
from goalstream.domain.ids import goal_message_id
from goalstream.errors import DatabaseUnavailable, DuplicateGoal, GoalLimitExceeded, GoalNotFound, StaleVersion
from goalstream.storage.goal_changes import LOCK, changes_since
from goalstream.storage.goal_versions import Goal
from goalstream.storage.goals import GoalBook
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Connection, Database

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000002"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
DELAY = timedelta(seconds=2)
PATIENCE_SECONDS = 10


def book(database: Database, account_id: str = ACCOUNT, *, delay: timedelta = DELAY, limit: int = 3) -> GoalBook:
    return GoalBook(database, account_id=account_id, activation_delay=delay, max_goals_per_workflow=limit)


async def a_goal(goals: GoalBook, form_id: str = "form-1", workflow_id: str = WORKFLOW) -> Goal:
    return await goals.create(
        workflow_id,
        goal_type=GoalType.FORM_SUBMITTED,
        criteria=FormCriteria(form_id=form_id),
        window=None,
        measure_after_exit=timedelta(),
        actor="ada",
    )


async def a_goal_of(goals: GoalBook, goal_type: GoalType, **criteria: Any) -> Goal:
    return await goals.create(
        WORKFLOW,
        goal_type=goal_type,
        criteria=parse_criteria(goal_type, criteria),
        window=None,
        measure_after_exit=timedelta(),
        actor="ada",
    )


async def outcomes(*attempts: Awaitable[Goal]) -> list[Goal | BaseException]:
    return list(await asyncio.gather(*attempts, return_exceptions=True))


async def database_clock(database: Database) -> datetime:
    async with database.transaction() as connection:
        clock = await connection.fetchval("select clock_timestamp()")
        assert isinstance(clock, datetime)
        return clock


async def within_deadline(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - the condition lies in the database
            await asyncio.sleep(0.01)


async def test_a_goal_takes_effect_the_activation_delay_after_it_was_accepted(
    api_database: Database, database: Database
) -> None:
    before = await database_clock(database)
    goal = await a_goal(book(api_database))
    after = await database_clock(database)
    assert before + DELAY <= goal.version.effective_from <= after + DELAY
    assert goal.version.effective_from == goal.version.created_at + DELAY


async def test_a_goal_reads_back_as_it_was_answered(api_database: Database) -> None:
    goals = book(api_database)
    goal = await goals.create(
        WORKFLOW,
        goal_type=GoalType.PURCHASE_MADE,
        criteria=parse_criteria(GoalType.PURCHASE_MADE, {"min_amount": "150.00", "currency": "eur"}),
        window=timedelta(days=7),
        measure_after_exit=timedelta(hours=36),
        actor="ada",
    )
    assert await goals.get(WORKFLOW, goal.version.goal_id) == goal
    assert goal.document() == {
        "id": goal.version.goal_id,
        "workflow_id": WORKFLOW,
        "account_id": ACCOUNT,
        "goal_type": "purchase_made",
        "criteria": {"min_amount": "150", "currency": "EUR"},
        "is_active": True,
        "version": 1,
        "window": "P7D",
        "measure_after_exit": "PT36H",
        "effective_from": goal.version.effective_from,
        "created_at": goal.version.created_at,
        "updated_at": goal.version.created_at,
        "created_by": "ada",
        "updated_by": "ada",
    }


async def test_a_change_makes_a_new_version_and_keeps_who_created_the_goal(api_database: Database) -> None:
    goals = book(api_database)
    goal = await a_goal(goals)
    changed = await goals.change(
        WORKFLOW, goal.version.goal_id, {"is_active": False}, expected_version=1, actor="grace"
    )
    assert changed.version.version == 2
    assert not changed.version.is_active
    assert changed.version.effective_from > goal.version.effective_from
    assert changed.version.created_at == goal.version.created_at
    assert (changed.created_by, changed.updated_by) == ("ada", "grace")
    assert changed.updated_at > goal.updated_at


async def test_a_change_that_changes_nothing_leaves_the_version_and_writes_nothing(
    api_database: Database, database: Database
) -> None:
    goals = book(api_database)
    goal = await a_goal_of(goals, GoalType.PURCHASE_MADE, min_amount="150.00")
    same = await goals.change(
        WORKFLOW,
        goal.version.goal_id,
        {"criteria": parse_criteria(GoalType.PURCHASE_MADE, {"min_amount": 150}), "is_active": True, "window": None},
        expected_version=1,
        actor="grace",
    )
    assert same == goal
    assert await counts(database) == {"goals": 1, "goal_versions": 1, "audit": 1, "outbox": 1}


async def test_effective_from_grows_with_every_version_even_when_the_delay_was_lowered(api_database: Database) -> None:
    slow, fast = book(api_database, delay=timedelta(seconds=60)), book(api_database, delay=timedelta())
    goal = await a_goal(slow)
    changed = await fast.change(WORKFLOW, goal.version.goal_id, {"is_active": False}, expected_version=1, actor="ada")
    assert changed.version.effective_from == goal.version.effective_from + timedelta(microseconds=1)


async def test_of_ten_writers_of_one_version_exactly_one_wins(api_database: Database) -> None:
    goals = book(api_database)
    goal = await a_goal(goals)
    found = await outcomes(
        *(
            goals.change(
                WORKFLOW,
                goal.version.goal_id,
                {"criteria": FormCriteria(form_id=f"form-{writer}")},
                expected_version=1,
                actor=f"writer-{writer}",
            )
            for writer in range(10, 20)
        )
    )
    winners = [outcome for outcome in found if isinstance(outcome, Goal)]
    losers = [outcome for outcome in found if isinstance(outcome, StaleVersion)]
    assert (len(winners), len(losers)) == (1, 9)
    assert {loser.current_version for loser in losers} == {2}
    assert await goals.get(WORKFLOW, goal.version.goal_id) == winners[0]


async def test_the_limit_holds_when_many_create_at_once(api_database: Database) -> None:
    goals = book(api_database, limit=3)
    found = await outcomes(*(a_goal(goals, f"form-{number}") for number in range(10)))
    assert len([outcome for outcome in found if isinstance(outcome, Goal)]) == 3
    refused = [outcome for outcome in found if isinstance(outcome, GoalLimitExceeded)]
    assert len(refused) == 7
    assert str(refused[0]) == "Maximum of 3 goals per workflow exceeded"
    assert (await goals.page(WORKFLOW, limit=10)).total == 3


async def test_of_those_who_create_the_same_goal_at_once_one_succeeds(api_database: Database) -> None:
    goals = book(api_database)
    found = await outcomes(*(a_goal(goals) for _ in range(8)))
    winners = [outcome for outcome in found if isinstance(outcome, Goal)]
    assert len(winners) == 1
    duplicates = [outcome for outcome in found if isinstance(outcome, DuplicateGoal)]
    assert len(duplicates) == 7
    assert all(winners[0].version.goal_id in str(duplicate) for duplicate in duplicates)


async def test_tag_names_that_differ_in_case_and_blanks_are_the_same_criteria(api_database: Database) -> None:
    goals = book(api_database)
    await a_goal_of(goals, GoalType.TAG_ADDED, tag_name="Purchased")
    with pytest.raises(DuplicateGoal):
        await a_goal_of(goals, GoalType.TAG_ADDED, tag_name="  PURCHASED ")


async def test_the_same_criteria_in_another_workflow_are_no_duplicate(api_database: Database) -> None:
    goals = book(api_database)
    await a_goal(goals)
    assert (await a_goal(goals, workflow_id=str(uuid4()))).version.version == 1


async def test_a_change_into_the_criteria_of_another_goal_is_a_duplicate(api_database: Database) -> None:
    goals = book(api_database)
    first, second = await a_goal(goals, "form-1"), await a_goal(goals, "form-2")
    with pytest.raises(DuplicateGoal):
        await goals.change(
            WORKFLOW,
            second.version.goal_id,
            {"criteria": first.version.criteria},
            expected_version=1,
            actor="ada",
        )


async def test_the_same_criteria_spelled_differently_may_replace_a_goals_own(api_database: Database) -> None:
    goals = book(api_database)
    goal = await a_goal_of(goals, GoalType.TAG_ADDED, tag_name="purchased")
    changed = await goals.change(
        WORKFLOW,
        goal.version.goal_id,
        {"criteria": TagCriteria(tag_name="Purchased")},
        expected_version=1,
        actor="ada",
    )
    assert changed.version.version == 2


async def test_an_inactive_goal_counts_towards_the_limit_and_a_deleted_one_does_not(api_database: Database) -> None:
    goals = book(api_database, limit=1)
    goal = await a_goal(goals)
    await goals.change(WORKFLOW, goal.version.goal_id, {"is_active": False}, expected_version=1, actor="ada")
    with pytest.raises(GoalLimitExceeded):
        await a_goal(goals, "form-2")
    await goals.delete(WORKFLOW, goal.version.goal_id, expected_version=2, actor="ada")
    assert (await a_goal(goals)).version.goal_id != goal.version.goal_id


async def test_a_deleted_goal_is_found_no_more_and_leaves_its_last_version(
    api_database: Database, database: Database
) -> None:
    goals = book(api_database)
    goal = await a_goal(goals)
    deleted = await goals.delete(WORKFLOW, goal.version.goal_id, expected_version=None, actor="grace")
    assert deleted.version.is_deleted
    assert not deleted.version.can_be_achieved
    for attempt in (
        goals.get(WORKFLOW, goal.version.goal_id),
        goals.delete(WORKFLOW, goal.version.goal_id, expected_version=None, actor="ada"),
        goals.change(WORKFLOW, goal.version.goal_id, {}, expected_version=None, actor="ada"),
    ):
        with pytest.raises(GoalNotFound):
            await attempt
    assert (await goals.page(WORKFLOW, limit=10)).goals == []
    versions = (await changes_since(database, 0)).versions
    assert [(version.version, version.is_deleted) for version in versions] == [(1, False), (2, True)]


async def test_a_delete_of_a_stale_version_is_refused(api_database: Database) -> None:
    goals = book(api_database)
    goal = await a_goal(goals)
    with pytest.raises(StaleVersion) as refusal:
        await goals.delete(WORKFLOW, goal.version.goal_id, expected_version=7, actor="ada")
    assert refusal.value.current_version == 1


async def test_every_write_is_audited_and_announced_in_the_same_transaction(
    api_database: Database, database: Database
) -> None:
    goals = book(api_database)
    goal = await a_goal(goals)
    goal_id = goal.version.goal_id
    changed = await goals.change(WORKFLOW, goal_id, {"window": timedelta(days=7)}, expected_version=1, actor="grace")
    deleted = await goals.delete(WORKFLOW, goal_id, expected_version=2, actor="linus")
    async with database.transaction() as connection:
        audit = await connection.fetch("select * from audit order by entry_id")
        assert await connection.fetchval("select bool_and(publish_after <= clock_timestamp()) from outbox")
    assert [(row["action"], row["actor"], row["version"]) for row in audit] == [
        ("goal_created", "ada", 1),
        ("goal_changed", "grace", 2),
        ("goal_deleted", "linus", 3),
    ]
    assert audit[0]["before"] is None
    assert (json.loads(audit[1]["before"])["window"], json.loads(audit[1]["after"])["window"]) == (None, "P7D")
    assert audit[2]["effective_from"] == deleted.version.effective_from
    async with Outbox(database).due(10) as due:
        announced = sorted(due.messages, key=lambda message: message.time)
    assert [message.message_id for message in announced] == [goal_message_id(goal_id, number) for number in (1, 2, 3)]
    assert {message.topic for message in announced} == {"workflow.goal.configured"}
    assert {message.subject for message in announced} == {goal_id}
    assert [message.time for message in announced] == [goal.updated_at, changed.updated_at, deleted.updated_at]
    first, second, third = (json.loads(message.body) for message in announced)
    assert set(first) == set(goal.document())
    assert (second["window"], "deleted" in second) == ("P7D", False)
    assert (third["deleted"], third["version"]) == (True, 3)


async def test_two_accounts_that_share_all_ids_never_see_each_other(api_database: Database, database: Database) -> None:
    mine, theirs = book(api_database), book(api_database, OTHER_ACCOUNT)
    goal = await a_goal(mine)
    async with database.transaction() as connection:  # the same goal id in the other account
        for table in ("goals", "goal_versions"):
            columns = await connection.fetchval(
                """select string_agg(quote_ident(column_name), ',') from information_schema.columns
                    where table_name = $1 and column_name not in ('account_id', 'change_id')""",
                table,
            )
            await connection.execute(
                f"insert into {table} (account_id, {columns}) select $1, {columns} from {table}", OTHER_ACCOUNT
            )
    goal_id = goal.version.goal_id
    await theirs.change(WORKFLOW, goal_id, {"is_active": False}, expected_version=1, actor="eve")
    await theirs.delete(WORKFLOW, goal_id, expected_version=2, actor="eve")
    assert await mine.get(WORKFLOW, goal_id) == goal
    assert (await mine.page(WORKFLOW, limit=10)).total == 1
    assert (await theirs.page(WORKFLOW, limit=10)).total == 0


@pytest.mark.parametrize("table", ["goals", "goal_versions", "audit", "outbox"])
async def test_a_select_without_a_condition_shows_nothing_of_another_account(
    api_database: Database, database: Database, table: str
) -> None:
    await a_goal(book(api_database))
    seen = {}
    for account_id in (ACCOUNT, OTHER_ACCOUNT, None):
        async with api_database.transaction(account_id) as connection:
            seen[account_id] = await connection.fetchval(f"select count(*) from {table}")
    async with database.transaction() as connection:
        seen["worker"] = await connection.fetchval(f"select count(*) from {table}")
    assert seen == {ACCOUNT: 1, OTHER_ACCOUNT: 0, None: 0, "worker": 1}


async def test_row_security_also_refuses_to_write_for_another_account(api_database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="row-level security"):
        async with api_database.transaction(ACCOUNT) as connection:
            await connection.execute(
                """insert into goals (account_id, goal_id, workflow_id, goal_type, criteria_key, version, created_at,
                                      created_by)
                   values ($1, gen_random_uuid(), gen_random_uuid(), 'form_submitted', '', 1, now(), 'eve')""",
                OTHER_ACCOUNT,
            )


async def test_pages_by_cursor_show_every_goal_once_while_others_come_and_go(api_database: Database) -> None:
    goals = book(api_database, limit=20)
    created = [await a_goal(goals, f"form-{number}") for number in range(7)]
    first = await goals.page(WORKFLOW, limit=3)
    last = first.goals[-1].version
    await goals.delete(WORKFLOW, created[0].version.goal_id, expected_version=None, actor="ada")
    late = await a_goal(goals, "form-late")
    rest = await goals.page(WORKFLOW, limit=10, after=(last.created_at, last.goal_id))
    assert [*first.goals, *rest.goals] == [*created, late]
    assert (first.has_more, first.total, rest.has_more, rest.total) == (True, 7, False, 7)


async def test_pages_by_offset_count_from_the_first_goal(api_database: Database) -> None:
    goals = book(api_database)
    created = [await a_goal(goals, f"form-{number}") for number in range(3)]
    assert (await goals.page(WORKFLOW, limit=1, offset=1)).goals == [created[1]]
    assert (await goals.page(WORKFLOW, limit=1, offset=9)).goals == []


async def test_changes_come_in_the_order_of_their_acceptance_and_only_once(
    api_database: Database, database: Database
) -> None:
    goals = book(api_database)
    goal = await a_goal(goals)
    seen = await changes_since(database, 0)
    assert seen.versions == [goal.version]
    changed = await goals.change(
        WORKFLOW,
        goal.version.goal_id,
        {"criteria": FormCriteria(form_id="form-9")},
        expected_version=1,
        actor="ada",
    )
    news = await changes_since(database, seen.last_change_id)
    assert news.versions == [changed.version]
    assert (await changes_since(database, news.last_change_id)).versions == []
    assert (await changes_since(database, news.last_change_id)).last_change_id == news.last_change_id


async def test_changes_come_in_portions_and_the_last_one_says_so(api_database: Database, database: Database) -> None:
    goals = book(api_database, limit=5)
    written = [await a_goal(goals, f"form-{number}") for number in range(4)]
    first = await changes_since(database, 0, limit=3)
    second = await changes_since(database, first.last_change_id, limit=3)
    assert [*first.versions, *second.versions] == [goal.version for goal in written]
    assert (len(first.versions), first.is_complete, second.is_complete) == (3, False, True)
    assert not (await changes_since(database, 0, limit=4)).is_complete
    assert (await changes_since(database, second.last_change_id, limit=4)).is_complete


async def test_a_refresh_waits_for_a_writer_and_then_proves_its_change(
    api_database: Database, database: Database
) -> None:
    """A writer that has read the clock and not yet committed must be seen by a refresh with a later clock."""
    asked = asyncio.Event()
    async with database.transaction() as writer:
        await writer.execute("select pg_advisory_xact_lock($1)", LOCK)

        async def refresh() -> datetime:
            asked.set()
            return (await changes_since(database, 0)).clock

        refreshing = asyncio.create_task(refresh())
        await asked.wait()
        await within_deadline(lambda: somebody_waits(writer))
        assert not refreshing.done()
        written_at = await writer.fetchval("select clock_timestamp()")
    assert await refreshing > written_at


async def test_whoever_waits_too_long_for_other_writers_is_told_to_try_again(
    api_database: Database, database: Database
) -> None:
    async with database.transaction() as holder:
        await holder.execute("select pg_advisory_xact_lock($1)", LOCK)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(DatabaseUnavailable, match="LockNotAvailable"):
                await a_goal(book(api_database))
    assert (await a_goal(book(api_database))).version.version == 1


async def test_every_change_accepted_before_a_refreshs_clock_is_in_it(
    api_database: Database, database: Database
) -> None:
    goals = book(api_database, limit=100)
    refreshes = []

    async def refresh_often() -> None:
        last = 0
        while True:
            changes = await changes_since(database, last)
            last = changes.last_change_id
            refreshes.append(changes)
            await asyncio.sleep(0)

    refreshing = asyncio.create_task(refresh_often())
    written = await asyncio.gather(*(a_goal(goals, f"form-{number}") for number in range(30)))
    end = await database_clock(database)
    await within_deadline(lambda: reached(refreshes, end))
    refreshing.cancel()
    known: set[str] = set()
    for changes in refreshes:
        known.update(version.goal_id for version in changes.versions)
        accepted = {goal.version.goal_id for goal in written if goal.updated_at <= changes.clock}
        assert accepted <= known
    assert len(known) == len(written)


async def reached(refreshes: list[Any], moment: datetime) -> bool:
    return bool(refreshes) and refreshes[-1].clock > moment


async def somebody_waits(connection: Connection) -> bool:
    waiting = await connection.fetchval("select count(*) from pg_locks where locktype = 'advisory' and not granted")
    return bool(waiting)


async def counts(database: Database) -> dict[str, int]:
    async with database.transaction() as connection:
        return {
            table: await connection.fetchval(f"select count(*) from {table}")
            for table in ("goals", "goal_versions", "audit", "outbox")
        }


async def test_criteria_keep_their_digits_in_the_database(api_database: Database, database: Database) -> None:
    goal = await a_goal_of(book(api_database), GoalType.PURCHASE_MADE, min_amount="0.100000000000000000000000000001")
    (version,) = (await changes_since(database, 0)).versions
    assert version == goal.version
    assert isinstance(version.criteria, PurchaseCriteria)
    assert str(version.criteria.min_amount) == "0.100000000000000000000000000001"

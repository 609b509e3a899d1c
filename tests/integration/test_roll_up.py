"""The roll-up of statistics: the same numbers as counting everything, whatever is told, and of the moment that it says."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from goalstream.domain.facts import Fact
from goalstream.storage import roll_up
from goalstream.storage.cleaning import Cleaner
from goalstream.storage.cohorts import Cohort, Granularity
from goalstream.storage.pool import Database
from goalstream.storage.roll_up import RollUp
from goalstream.storage.stats import statistics
from tests.integration.builders import World, new_id

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns")
PERCENTILES = ("median_time_to_goal_hours", "p90_time_to_goal_hours")


@pytest.fixture
def rollup(database: Database) -> RollUp:
    """Of every workflow that anybody has entered."""
    return RollUp(database, live_enrollments=0)


async def refresh(rollup: RollUp, **changes: float) -> None:
    assert await rollup.refresh(**{"between_seconds": 0, **changes}) is not None


async def rolled_up(world: World, cohort: Cohort | None = None, **wanted: Any) -> dict[str, Any]:
    return await ask(world, cohort, live_enrollments=-1, **wanted)


async def live(world: World, cohort: Cohort | None = None, **wanted: Any) -> dict[str, Any]:
    return await ask(world, cohort, live_enrollments=1_000_000, **wanted)


async def ask(world: World, cohort: Cohort | None, **wanted: Any) -> dict[str, Any]:
    cohort = cohort or Cohort(workflow_id=world.workflow_id)
    values: dict[str, Any] = {"granularity": None, "tz": "UTC"} | wanted
    return await statistics(world.database, world.account_id, cohort, **values)


def is_rolled_up(document: dict[str, Any]) -> bool:
    return bool(document["as_of"] < document["computed_at"])


async def compare(world: World, cohort: Cohort, granularity: Granularity | None, tz: str) -> None:
    """Everything is the same, but percentiles may differ by 0.1 hours."""
    found = await rolled_up(world, cohort, granularity=granularity, tz=tz)
    expected = await live(world, cohort, granularity=granularity, tz=tz)
    assert is_rolled_up(found) or not expected["total_enrolled"]
    for document in (found, expected):
        document.pop("computed_at"), document.pop("as_of")
    for name in PERCENTILES:
        told, counted = found.pop(name), expected.pop(name)
        assert (told is None) == (counted is None)
        assert told is None or abs(told - counted) < 0.1001
    assert found == expected


async def compare_cohorts(world: World, chance: random.Random, since: datetime, *, days: float, count: int) -> None:
    """All that entered, and random cohorts whose ends cut quarters of an hour in two, or lie where nobody entered."""
    await compare(world, Cohort(workflow_id=world.workflow_id), "day", chance.choice(ZONES))
    for _ in range(count):
        start, end = sorted(since + timedelta(seconds=chance.uniform(-0.1, 1.1) * days * 86_400) for _ in range(2))
        cohort = Cohort(
            workflow_id=world.workflow_id,
            start=chance.choice([None, start, start]),
            end=chance.choice([None, end, end]),
        )
        await compare(world, cohort, chance.choice(["hour", "day", "week"]), chance.choice(ZONES))


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_told_in_whatever_order_the_numbers_are_those_of_counting_everything(
    world: World, rollup: RollUp, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contradicting starts, late events, merges, deletions, statuses that revoke, and what retention removes."""
    monkeypatch.setattr(roll_up, "MARKS_AT_ONCE", (3, 50_000)[seed % 2])
    chance = random.Random(seed)
    goals = [await world.add_goal(), await world.add_goal()]
    people = [(new_id(), new_id()) for _ in range(15)]
    since = world.now - timedelta(days=4)

    def moment() -> datetime:
        return since + timedelta(seconds=chance.uniform(0, 3.9) * 86_400)

    def told(number: int) -> Fact:
        contact, enrollment = chance.choice(people)
        name = f"event-{number}"
        kind = chance.choices(["start", "match", "end", "status", "merge", "deletion"], [5, 9, 3, 2, 1, 1])[0]
        match kind:
            case "start":
                return world.start(
                    enrollment_id=enrollment,
                    contact_id=contact,
                    entered_at=moment(),
                    event_id=name,
                    workflow_id=world.workflow_id if chance.random() < 0.9 else new_id(),
                )
            case "match":
                goal = chance.choice(goals)
                return world.match(goal, contact_id=contact, occurred_at=moment(), event_id=name)
            case "end":
                return world.end(enrollment_id=enrollment, ended_at=moment(), event_id=name)
            case "status":
                status = chance.choice(["active", "active", "inactive"])
                return world.status(status, chance.choice(["any", "all"]), occurred_at=moment(), event_id=name)
            case "merge":
                return world.merge(contact, chance.choice(people)[0], occurred_at=moment(), event_id=name)
            case _:
                return world.deletion(contact, occurred_at=moment(), event_id=name)

    await world.tell(*(world.start(enrollment_id=e, contact_id=c, entered_at=moment()) for c, e in people[:8]))
    for number in range(40):
        await world.tell(*(told(10 * number + each) for each in range(chance.randrange(1, 4))))
        if chance.random() < 0.2:
            await refresh(rollup, check_seconds=chance.choice([0, 86_400]))
        if chance.random() < 0.05:
            await Cleaner(world.database).remove_enrollments(since + timedelta(days=1))
    await refresh(rollup)
    await compare_cohorts(world, chance, since, days=4, count=12)


async def enter(world: World, chance: random.Random, count: int, *, days: int) -> datetime:
    """So many enter over as many days, some of them satisfied after seconds or after months; when the first could."""
    since = world.now - timedelta(days=days)
    rows = []
    for _ in range(count):
        entered_at = since + timedelta(microseconds=chance.randrange(days * 86_400 * 10**6))
        took = timedelta(seconds=round(chance.choice([1, 60, 86_400]) * chance.expovariate(0.5), 6))
        rows.append(
            (world.account_id, new_id(), world.workflow_id, entered_at, took if chance.random() < 0.4 else None)
        )
    async with world.database.transaction() as connection:
        await connection.executemany(
            """insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at, satisfied_at)
               values ($1, $2, $3, gen_random_uuid(), $4::timestamptz, $4::timestamptz + $5::interval)""",
            rows,
        )
    return since


async def test_what_was_there_before_is_counted_in_portions(
    world: World, rollup: RollUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_up, "CHECKED_AT_ONCE", 150)
    monkeypatch.setattr(roll_up, "CHECKED_PORTIONS", 3)
    monkeypatch.setattr(roll_up, "SPANS_AT_ONCE", 7)
    chance = random.Random(1)
    since = await enter(world, chance, 1_500, days=90)
    await world.tell(world.start())
    await refresh(rollup)
    assert not is_rolled_up(await rolled_up(world)), "not before everything was counted"
    for _ in range(5):
        await refresh(rollup)
    assert is_rolled_up(await rolled_up(world))
    await compare_cohorts(world, chance, since, days=90, count=20)


async def test_only_workflows_with_more_than_are_counted_live_are_rolled_up(world: World) -> None:
    rollup = RollUp(world.database, live_enrollments=10)
    other = World(world.database, account_id=world.account_id)
    for one, count in ((world, 10), (other, 11)):
        await one.tell(*(one.start(enrollment_id=new_id(), contact_id=new_id()) for _ in range(count)))
    await refresh(rollup)
    assert not is_rolled_up(await rolled_up(world))
    assert is_rolled_up(await rolled_up(other))
    await world.tell(world.start(enrollment_id=new_id()))
    await refresh(rollup)
    assert is_rolled_up(await rolled_up(world))


async def test_a_cohort_that_is_small_is_counted_live_in_a_large_workflow(world: World, rollup: RollUp) -> None:
    await world.tell(*(world.start(enrollment_id=new_id(), contact_id=new_id()) for _ in range(3)))
    await refresh(rollup)
    await world.tell(world.start(enrollment_id=new_id()))
    found = await ask(world, None, live_enrollments=3)
    assert (found["total_enrolled"], is_rolled_up(found)) == (4, False)
    found = await ask(world, None, live_enrollments=2)
    assert (found["total_enrolled"], is_rolled_up(found)) == (3, True)


async def test_everything_committed_before_as_of_is_counted(world: World, rollup: RollUp) -> None:
    """Writers tell all the while: how many had returned at any moment is known, and an answer never has fewer."""
    await world.tell(world.start())
    returned: list[datetime] = []
    is_enough = asyncio.Event()

    async def write() -> None:
        while not is_enough.is_set():
            await world.ledger.store([world.start(enrollment_id=new_id(), contact_id=new_id())])
            returned.append((await world.rows("select clock_timestamp() as now"))[0]["now"])

    writers = [asyncio.create_task(write()) for _ in range(4)]
    found = []
    for _ in range(10):
        await refresh(rollup)
        found.append(await rolled_up(world))
    is_enough.set()
    await asyncio.gather(*writers)
    for document in found:
        assert is_rolled_up(document)
        assert document["total_enrolled"] - 1 >= sum(moment <= document["as_of"] for moment in returned)
    await refresh(rollup)
    assert (await rolled_up(world))["total_enrolled"] == 1 + len(returned)


async def test_a_portion_that_fails_leaves_those_before_it_counted(
    world: World, rollup: RollUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.tell(world.start())
    await refresh(rollup)
    before = (await rolled_up(world))["as_of"]
    monkeypatch.setattr(roll_up, "MARKS_AT_ONCE", 2)
    await world.tell(*(world.start(enrollment_id=new_id(), contact_id=new_id()) for _ in range(5)))
    taken, sum_up = 0, roll_up._sum_up

    async def fail_in_the_second(*values: Any, **options: Any) -> None:
        nonlocal taken
        taken += options["level"] == 1
        if taken == 2:
            raise ZeroDivisionError
        await sum_up(*values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(roll_up, "_sum_up", fail_in_the_second)
        with pytest.raises(ZeroDivisionError):
            await rollup.refresh(between_seconds=0)
    (left,) = await world.rows("select count(*) as marks from statistics_marks")
    assert left["marks"] == 3
    assert (await rolled_up(world))["as_of"] == before, "not all that was committed by then is counted"
    await refresh(rollup)
    assert (await rolled_up(world))["total_enrolled"] == 6


async def test_what_commits_during_a_roll_up_is_counted_by_the_next_one(world: World, rollup: RollUp) -> None:
    await world.tell(world.start())
    async with world.database.transaction() as connection:
        await connection.execute(
            """with entered as (
                   insert into enrollments (account_id, enrollment_id, workflow_id, entered_at)
                   values ($1, gen_random_uuid(), $2, now()) returning account_id, workflow_id, entered_at)
               insert into statistics_marks select * from entered""",
            world.account_id,
            world.workflow_id,
        )
        await refresh(rollup)
        (clock,) = await world.rows("select clock_timestamp() as now")
    found = await rolled_up(world)
    assert found["total_enrolled"] == 1
    assert found["as_of"] < clock["now"]
    await refresh(rollup)
    assert (await rolled_up(world))["total_enrolled"] == 2


async def test_what_was_rolled_up_more_than_a_minute_ago_is_not_shown(world: World, rollup: RollUp) -> None:
    await world.tell(world.start())
    await refresh(rollup)
    await world.tell(world.start(enrollment_id=new_id()))
    async with world.database.transaction() as connection:
        await connection.execute("update rollups set as_of = as_of - interval '59 seconds'")
    assert (await rolled_up(world))["total_enrolled"] == 1
    async with world.database.transaction() as connection:
        await connection.execute("update rollups set as_of = as_of - interval '2 seconds'")
    found = await rolled_up(world)
    assert (found["total_enrolled"], found["as_of"]) == (2, found["computed_at"])


async def test_the_oldest_of_all_that_is_rolled_up_tells_the_age(world: World, rollup: RollUp) -> None:
    assert await rollup.as_of() is None
    other = World(world.database)
    await world.tell(world.start())
    await other.tell(other.start())
    await refresh(rollup)
    async with world.database.transaction() as connection:
        await connection.execute(
            "update rollups set as_of = as_of - interval '1 hour' where account_id = $1", other.account_id
        )
        oldest = await connection.fetchval("select as_of from rollups where account_id = $1", other.account_id)
    assert await rollup.as_of() == oldest
    await refresh(rollup)
    assert oldest + timedelta(hours=1) < (await rollup.as_of() or oldest)


async def test_a_roll_up_that_breaks_off_is_simply_repeated(
    world: World, rollup: RollUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    await refresh(rollup)
    await world.tell(world.match(goal))

    async def break_off(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(roll_up, "_sum_up", break_off)
        with pytest.raises(ZeroDivisionError):
            await rollup.refresh(between_seconds=0)
    assert (await rolled_up(world))["goals_achieved"] == 0
    await refresh(rollup)
    assert (await rolled_up(world))["goals_achieved"] == 1


async def test_one_worker_at_a_time_rolls_up_and_not_at_once_after_another(world: World, rollup: RollUp) -> None:
    await world.tell(world.start())
    async with world.database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", roll_up.LOCK)
        assert await rollup.refresh(between_seconds=0) is None
    assert await rollup.refresh(between_seconds=5) is not None
    assert await rollup.refresh(between_seconds=5) is None
    assert await rollup.refresh(between_seconds=0) is not None


async def test_what_left_no_mark_is_counted_when_everything_is_checked(world: World, rollup: RollUp) -> None:
    """As a previous release changes it, which runs for a while after the migration."""
    await world.tell(*(world.start(enrollment_id=new_id(), contact_id=new_id()) for _ in range(3)))
    await refresh(rollup)
    async with world.database.transaction() as connection:
        await connection.execute("update enrollments set entered_at = entered_at - interval '40 days'")
    await refresh(rollup)
    cohort = Cohort(workflow_id=world.workflow_id, end=world.now - timedelta(days=30))
    assert (await rolled_up(world, cohort))["total_enrolled"] == 3, "nothing was rolled up of it: counted live"
    await refresh(rollup, check_seconds=0)
    await compare(world, cohort, "day", "UTC")
    await compare(world, Cohort(workflow_id=world.workflow_id), "day", "UTC")


async def test_two_accounts_that_share_all_ids_have_their_own_roll_ups(world: World, rollup: RollUp) -> None:
    other = World(
        world.database,
        workflow_id=world.workflow_id,
        contact_id=world.contact_id,
        enrollment_id=world.enrollment_id,
    )
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    await other.tell(other.start(), other.start(enrollment_id=new_id()))
    await refresh(rollup)
    mine, theirs = await rolled_up(world), await rolled_up(other)
    assert (mine["total_enrolled"], mine["goals_achieved"], mine["by_goal"][goal.goal_id]["achieved"]) == (1, 1, 1)
    assert (theirs["total_enrolled"], theirs["goals_achieved"], theirs["by_goal"]) == (2, 0, {})

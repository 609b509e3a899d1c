"""Statistics of a workflow: the worked examples of the contract, cohorts, time zones, and rounding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from goalstream.storage.cohorts import Cohort
from goalstream.storage.pool import Database
from goalstream.storage.stats import statistics

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000002"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
TAG_GOAL = "cccccccc-0000-4000-8000-000000000001"
FORM_GOAL = "cccccccc-0000-4000-8000-000000000002"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


class Facts:
    """Puts enrollments, goals and achievements where statistics look for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enrolled(
        self,
        *,
        entered_at: datetime | None = NOON,
        satisfied_after: timedelta | None = None,
        account_id: str = ACCOUNT,
        workflow_id: str = WORKFLOW,
        enrollment_id: str | None = None,
    ) -> str:
        enrollment_id = enrollment_id or str(uuid4())
        satisfied_at = None if satisfied_after is None or entered_at is None else entered_at + satisfied_after
        async with self._database.transaction() as connection:
            await connection.execute(
                """insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at, satisfied_at)
                   values ($1, $2, $3, gen_random_uuid(), $4, $5)""",
                account_id,
                enrollment_id,
                workflow_id,
                entered_at,
                satisfied_at,
            )
        return enrollment_id

    async def goal(self, goal_id: str, goal_type: str, *, is_deleted: bool = False, account_id: str = ACCOUNT) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                """insert into goals (account_id, goal_id, workflow_id, goal_type, criteria_key, version, created_at,
                                      created_by, deleted_at)
                   values ($1, $2::uuid, $3, $4, $2::uuid::text, 1, now(), 'ada', case when $5 then now() end)""",
                account_id,
                goal_id,
                WORKFLOW,
                goal_type,
                is_deleted,
            )

    async def achieved(
        self,
        enrollment_id: str,
        goal_id: str,
        goal_type: str,
        *,
        is_revoked: bool = False,
        account_id: str = ACCOUNT,
        late: bool = False,
    ) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                """insert into achievements (account_id, enrollment_id, goal_id, workflow_id, contact_id, goal_version,
                     goal_type, achieved_at, recorded_at, revision, source, event_id, event_type, occurred_at_source,
                     clock_ahead, record_at, late, also_matched, met, required, should_exit_workflow, revoked_at,
                     revoked_reason)
                   values ($1, $2, $3, $4, gen_random_uuid(), 1, $5, now(), now(), 1, 's', 'e', 't', 'event', false,
                     now(), $7, '{}', 1, 1, false, case when $6 then now() end, case when $6 then 'superseded' end)""",
                account_id,
                enrollment_id,
                goal_id,
                WORKFLOW,
                goal_type,
                is_revoked,
                late,
            )


@pytest.fixture
def facts(database: Database) -> Facts:
    return Facts(database)


async def stats_of(database: Database, **wanted: Any) -> dict[str, Any]:
    account_id = wanted.pop("account_id", ACCOUNT)
    granularity, tz = wanted.pop("granularity", None), wanted.pop("tz", "UTC")
    cohort = Cohort(workflow_id=WORKFLOW, **wanted)
    return await statistics(database, account_id, cohort, granularity=granularity, tz=tz)


async def test_two_of_five_who_enrolled_and_achieved_are_forty_percent(api_database: Database, facts: Facts) -> None:
    for _ in range(3):
        await facts.enrolled()
    for hours in (48, 72):
        await facts.enrolled(satisfied_after=timedelta(hours=hours))
    found = await stats_of(api_database)
    assert (found["total_enrolled"], found["goals_achieved"], found["conversion_rate"]) == (5, 2, 40.0)


async def test_times_of_two_and_three_days_average_to_sixty_hours(api_database: Database, facts: Facts) -> None:
    for hours in (48, 72):
        await facts.enrolled(satisfied_after=timedelta(hours=hours))
    found = await stats_of(api_database)
    assert found["avg_time_to_goal_hours"] == 60.0
    assert found["median_time_to_goal_hours"] == 60.0
    assert found["p90_time_to_goal_hours"] == 69.6
    assert (found["fastest_time_to_goal_hours"], found["slowest_time_to_goal_hours"]) == (48.0, 72.0)


async def test_where_nobody_is_enrolled_the_rate_is_zero_and_the_times_are_null(api_database: Database) -> None:
    found = await stats_of(api_database, granularity="day")
    computed_at = found.pop("computed_at")
    assert found.pop("as_of") == computed_at
    assert found == {
        "workflow_id": WORKFLOW,
        "total_enrolled": 0,
        "goals_achieved": 0,
        "conversion_rate": 0.0,
        "avg_time_to_goal_hours": None,
        "median_time_to_goal_hours": None,
        "p90_time_to_goal_hours": None,
        "fastest_time_to_goal_hours": None,
        "slowest_time_to_goal_hours": None,
        "by_goal_type": {},
        "by_goal": {},
        "series": [],
    }


async def test_an_enrollment_whose_start_is_not_known_does_not_count(api_database: Database, facts: Facts) -> None:
    await facts.enrolled(entered_at=None)
    assert (await stats_of(api_database))["total_enrolled"] == 0


@pytest.mark.parametrize(
    ("achieved", "enrolled", "rate"), [(1, 3, 33.3), (2, 3, 66.7), (1, 8, 12.5), (1, 16, 6.3), (3, 16, 18.8)]
)
async def test_percent_have_one_decimal_rounded_half_up(
    api_database: Database, facts: Facts, achieved: int, enrolled: int, rate: float
) -> None:
    for number in range(enrolled):
        await facts.enrolled(satisfied_after=timedelta(hours=1) if number < achieved else None)
    assert (await stats_of(api_database))["conversion_rate"] == rate


@pytest.mark.parametrize(
    ("seconds", "median"),
    [
        ((360, 4_320), 0.7),  # 0.65: interpolated in floats of hours it lies below
        ((720, 2_520), 0.5),  # 0.45
        ((180, 180), 0.1),  # 0.05
        ((539.999999, 539.999999), 0.1),  # a microsecond below 0.15
        ((540, 540), 0.2),
        ((4 * 3600 + 540, 4 * 3600 + 540), 4.2),  # 4.15
    ],
)
async def test_hours_are_rounded_half_up_from_exact_times(
    api_database: Database, facts: Facts, seconds: tuple[float, float], median: float
) -> None:
    for each in seconds:
        await facts.enrolled(satisfied_after=timedelta(microseconds=round(each * 1_000_000)))
    found = await stats_of(api_database)
    assert found["median_time_to_goal_hours"] == median
    assert found["avg_time_to_goal_hours"] == median


async def test_the_mean_of_thirds_of_an_hour_is_exact(api_database: Database, facts: Facts) -> None:
    for seconds in (1_200, 1_320, 1_260, 1_260, 1_260, 1_260, 1_260):  # 0.35 hours on average
        await facts.enrolled(satisfied_after=timedelta(seconds=seconds))
    assert (await stats_of(api_database))["avg_time_to_goal_hours"] == 0.4


async def test_a_goal_counts_each_enrollment_once_and_all_of_them_are_the_denominator(
    api_database: Database, facts: Facts
) -> None:
    await facts.goal(TAG_GOAL, "tag_added")
    await facts.goal(FORM_GOAL, "form_submitted")
    both, one, _ = [await facts.enrolled() for _ in range(3)]
    await facts.achieved(both, TAG_GOAL, "tag_added")
    await facts.achieved(both, FORM_GOAL, "form_submitted")
    await facts.achieved(one, TAG_GOAL, "tag_added", late=True)
    found = await stats_of(api_database)
    assert found["by_goal_type"] == {
        "tag_added": {"achieved": 2, "conversion_rate": 66.7},
        "form_submitted": {"achieved": 1, "conversion_rate": 33.3},
    }
    assert found["by_goal"] == {
        TAG_GOAL: {"achieved": 2, "conversion_rate": 66.7},
        FORM_GOAL: {"achieved": 1, "conversion_rate": 33.3},
    }


async def test_two_goals_of_one_type_achieved_by_one_enrollment_are_one_for_the_type(
    api_database: Database, facts: Facts
) -> None:
    await facts.goal(TAG_GOAL, "tag_added")
    await facts.goal(FORM_GOAL, "tag_added")
    enrollment = await facts.enrolled()
    for goal_id in (TAG_GOAL, FORM_GOAL):
        await facts.achieved(enrollment, goal_id, "tag_added")
    found = await stats_of(api_database)
    assert found["by_goal_type"] == {"tag_added": {"achieved": 1, "conversion_rate": 100.0}}


async def test_a_revoked_achievement_does_not_count(api_database: Database, facts: Facts) -> None:
    await facts.goal(TAG_GOAL, "tag_added")
    enrollment = await facts.enrolled()
    await facts.achieved(enrollment, TAG_GOAL, "tag_added", is_revoked=True)
    assert (await stats_of(api_database))["by_goal"] == {TAG_GOAL: {"achieved": 0, "conversion_rate": 0.0}}


async def test_the_type_of_a_deleted_goal_is_still_shown(api_database: Database, facts: Facts) -> None:
    await facts.goal(TAG_GOAL, "tag_added", is_deleted=True)
    enrollment = await facts.enrolled()
    await facts.achieved(enrollment, TAG_GOAL, "tag_added")
    assert (await stats_of(api_database))["by_goal_type"] == {"tag_added": {"achieved": 1, "conversion_rate": 100.0}}


async def test_a_cohort_begins_with_its_start_and_ends_before_its_end(api_database: Database, facts: Facts) -> None:
    await facts.goal(TAG_GOAL, "tag_added")
    hour = timedelta(hours=1)
    for entered_at in (NOON - hour, NOON, NOON + hour, NOON + 2 * hour):
        enrollment = await facts.enrolled(entered_at=entered_at, satisfied_after=hour)
        await facts.achieved(enrollment, TAG_GOAL, "tag_added")
    found = await stats_of(api_database, start=NOON, end=NOON + 2 * hour)
    assert (found["total_enrolled"], found["goals_achieved"]) == (2, 2)
    assert found["by_goal"][TAG_GOAL]["achieved"] == 2
    assert (await stats_of(api_database, start=NOON))["total_enrolled"] == 3
    assert (await stats_of(api_database, end=NOON))["total_enrolled"] == 1
    assert (await stats_of(api_database, start=NOON + hour, end=NOON))["total_enrolled"] == 0


async def test_days_are_those_of_the_time_zone_across_the_change_of_clocks(
    api_database: Database, facts: Facts
) -> None:
    """On 29 March 2026 a day in Berlin has 23 hours, on 25 October 2026 it has 25."""
    for local in (
        datetime(2026, 3, 28, 23, 59),  # noqa: DTZ001 - the zone is put on below
        datetime(2026, 3, 29, 0, 0),  # noqa: DTZ001
        datetime(2026, 3, 29, 23, 59),  # noqa: DTZ001
        datetime(2026, 3, 30, 0, 0),  # noqa: DTZ001
        datetime(2026, 10, 25, 0, 0),  # noqa: DTZ001
        datetime(2026, 10, 25, 23, 59),  # noqa: DTZ001
    ):
        await facts.enrolled(entered_at=local.replace(tzinfo=BERLIN))
    series = (await stats_of(api_database, granularity="day", tz="Europe/Berlin"))["series"]
    assert [(point["start"], point["total_enrolled"]) for point in series] == [
        (datetime(2026, 3, 27, 23, tzinfo=UTC), 1),
        (datetime(2026, 3, 28, 23, tzinfo=UTC), 2),
        (datetime(2026, 3, 29, 22, tzinfo=UTC), 1),
        (datetime(2026, 10, 24, 22, tzinfo=UTC), 2),
    ]


async def test_the_hour_that_comes_twice_is_two_hours(api_database: Database, facts: Facts) -> None:
    for minute in (30, 90):  # 02:30 summer time, then 02:30 winter time
        await facts.enrolled(entered_at=datetime(2026, 10, 25, tzinfo=UTC) + timedelta(minutes=minute))
    series = (await stats_of(api_database, granularity="hour", tz="Europe/Berlin"))["series"]
    assert [point["start"] for point in series] == [
        datetime(2026, 10, 25, 0, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
    ]


async def test_weeks_begin_on_monday_in_the_time_zone(api_database: Database, facts: Facts) -> None:
    await facts.enrolled(entered_at=datetime(2026, 3, 8, 23, 30, tzinfo=UTC), satisfied_after=timedelta(hours=1))
    await facts.enrolled(entered_at=datetime(2026, 3, 15, 22, 30, tzinfo=UTC))
    series = (await stats_of(api_database, granularity="week", tz="Europe/Berlin"))["series"]
    assert series == [
        {
            "start": datetime(2026, 3, 8, 23, tzinfo=UTC),
            "total_enrolled": 2,
            "goals_achieved": 1,
            "conversion_rate": 50.0,
        }
    ]


async def test_two_accounts_that_share_all_ids_have_their_own_statistics(api_database: Database, facts: Facts) -> None:
    enrollment = str(UUID(int=7))
    for account_id in (ACCOUNT, OTHER_ACCOUNT):
        await facts.goal(TAG_GOAL, "tag_added", account_id=account_id)
        await facts.enrolled(enrollment_id=enrollment, account_id=account_id)
    await facts.achieved(enrollment, TAG_GOAL, "tag_added", account_id=OTHER_ACCOUNT)
    mine, theirs = await stats_of(api_database), await stats_of(api_database, account_id=OTHER_ACCOUNT)
    assert (mine["total_enrolled"], mine["by_goal"][TAG_GOAL]["achieved"]) == (1, 0)
    assert (theirs["total_enrolled"], theirs["by_goal"][TAG_GOAL]["achieved"]) == (1, 1)


async def test_enrollments_of_another_workflow_do_not_count(api_database: Database, facts: Facts) -> None:
    await facts.enrolled(workflow_id=str(uuid4()))
    assert (await stats_of(api_database))["total_enrolled"] == 0

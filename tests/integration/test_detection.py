"""The in-process face on a real PostgreSQL: what an event would do, and achievements that a program records itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import goalstream
from goalstream import GoalAchievement, GoalAchievementService, GoalDetectionService, GoalType, NotEligible
from goalstream.detection import Storage
from goalstream.domain.evaluation import Evaluation
from goalstream.domain.goals import GoalVersion, PurchaseCriteria, TagCriteria
from goalstream.errors import DatabaseUnavailable
from goalstream.storage.goal_changes import LOCK
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Connection
from tests.integration.builders import World, new_id
from tests.integration.test_interleavings import until_somebody_waits

ACHIEVED, EXIT = "workflow.goal.achieved", "workflow.exit.goal"
SECRET = "claude@example.com"
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[Storage]:
    async with goalstream.connect(database_url) as found:
        yield found


async def evaluate(storage: Storage, world: World, **changes: Any) -> Evaluation:
    """The contact got the tag of the first goal an hour ago."""
    values: dict[str, Any] = {
        "workflow_id": world.workflow_id,
        "contact_id": world.contact_id,
        "account_id": world.account_id,
        "event_type": "contact.tag.added",
        "event_data": {"tag_name": "tag-0"},
        "occurred_at": world.now - timedelta(hours=1),
    }
    return await GoalDetectionService(storage).evaluate_event(**(values | changes))


async def record(storage: Storage, world: World, goal: GoalVersion, **changes: Any) -> GoalAchievement:
    """The contact achieved the goal an hour ago."""
    values: dict[str, Any] = {
        "workflow_id": world.workflow_id,
        "workflow_enrollment_id": world.enrollment_id,
        "contact_id": world.contact_id,
        "goal_config_id": goal.goal_id,
        "account_id": world.account_id,
        "goal_type": goal.goal_type,
        "trigger_event": {
            "event_id": "api-1",
            "occurred_at": world.now - timedelta(hours=1),
            "data": {"seen_by": "Ada"},
        },
        "metadata": None,
    }
    return await GoalAchievementService(storage).record_achievement(**(values | changes))


def at(moment: datetime) -> dict[str, Any]:
    """A trigger event of some moment."""
    return {"event_id": "api-1", "occurred_at": moment}


async def refusal(storage: Storage, world: World, goal: GoalVersion, **changes: Any) -> str:
    """Why a record is refused."""
    with pytest.raises(NotEligible) as refused:
        await record(storage, world, goal, **changes)
    return refused.value.reason


async def published(world: World) -> list[str]:
    """The topics of what is to be published about the contact."""
    return [
        row["topic"]
        for row in await world.rows("select topic from outbox where topic not like '%configured' order by 1")
    ]


async def everything(world: World) -> list[Any]:
    tables = ("matches", "enrollments", "achievements", "outbox", "audit")
    return [await world.rows(f"select * from {table} order by 1, 2") for table in tables]


# What an event would do


async def test_an_event_that_achieves_a_goal_is_told_with_the_exit_that_would_follow(
    storage: Storage, world: World
) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    evaluation = await evaluate(storage, world)
    assert (evaluation.goal_achieved, evaluation.should_exit_workflow) == (True, True)
    assert evaluation.exiting_enrollment_ids == (world.enrollment_id,)
    assert evaluation.reasons == ("achieved",)
    (found,) = evaluation.goals
    assert (found.goal_config_id, found.goal_type, found.matched, found.achieved) == (
        goal.goal_id,
        "tag_added",
        True,
        True,
    )
    assert found.verdicts == {world.enrollment_id: "achieved"}


async def test_evaluating_writes_nothing_and_waits_for_nobody(storage: Storage, world: World) -> None:
    await world.add_goal()
    await world.tell(world.start())
    before = await everything(world)
    async with world.database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
        await connection.execute("select from enrollments for update")
        async with asyncio.timeout(5):
            assert (await evaluate(storage, world)).goal_achieved
    assert await everything(world) == before


async def test_evaluating_needs_no_more_than_a_read_only_connection(database_url: str, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    async with goalstream.connect(f"{database_url}?options=-c%20default_transaction_read_only%3Don") as storage:
        assert (await evaluate(storage, world)).goal_achieved
        with pytest.raises(DatabaseUnavailable):
            await record(storage, world, goal)


async def test_the_transaction_of_an_evaluation_can_only_read(
    storage: Storage, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(connection: Connection, _: object) -> None:
        await connection.execute("delete from matches")

    monkeypatch.setattr("goalstream.detection.find_touched", write)
    with pytest.raises(DatabaseUnavailable, match="read-only transaction"):
        await evaluate(storage, world)


async def test_an_event_that_is_not_what_a_goal_asks_for_says_so(storage: Storage, world: World) -> None:
    await world.add_goal()
    await world.tell(world.start())
    evaluation = await evaluate(storage, world, event_data={"tag_name": "another"})
    assert (evaluation.goal_achieved, evaluation.should_exit_workflow) == (False, False)
    assert (evaluation.goals[0].matched, evaluation.goals[0].verdicts) == (False, {})
    assert evaluation.reasons == ("wrong_criteria",)


async def test_every_goal_of_the_workflow_is_told_of(storage: Storage, world: World) -> None:
    wanted = await world.add_goal()
    purchase = await world.add_goal(PurchaseCriteria(min_amount=Decimal(100)))
    inactive = await world.add_goal()
    await world.book.change(world.workflow_id, inactive.goal_id, {"is_active": False}, expected_version=1, actor="test")
    await world.tell(world.start())
    evaluation = await evaluate(
        storage, world, event_type="payment.completed", event_data={"amount": "100.00"}, occurred_at=None
    )
    reasons = {goal.goal_config_id: goal.reasons for goal in evaluation.goals}
    assert reasons == {
        wanted.goal_id: ("wrong_criteria",),
        purchase.goal_id: ("achieved",),
        inactive.goal_id: ("goal_not_in_force",),
    }
    assert evaluation.reasons == ("wrong_criteria", "achieved", "goal_not_in_force")


async def test_a_deleted_goal_is_told_of_only_where_it_was_in_force(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    await world.book.delete(world.workflow_id, goal.goal_id, expected_version=None, actor="test")
    assert (await evaluate(storage, world)).goal_achieved
    assert (await evaluate(storage, world, occurred_at=None)).reasons == ("no_goal",)


async def test_a_workflow_without_goals_says_so(storage: Storage, world: World) -> None:
    assert (await evaluate(storage, world)).reasons == ("no_goal",)


async def test_a_contact_that_is_not_enrolled_achieves_nothing(storage: Storage, world: World) -> None:
    await world.add_goal()
    evaluation = await evaluate(storage, world)
    assert (evaluation.goal_achieved, evaluation.goals[0].matched) == (False, True)
    assert evaluation.reasons == ("no_enrollment",)


async def test_the_walk_gives_the_verdicts(storage: Storage, world: World) -> None:
    await world.add_goal()
    await world.tell(world.start(trigger_event_id="trigger"), world.end(ended_at=world.now - timedelta(hours=2)))
    early = await evaluate(storage, world, occurred_at=world.now - timedelta(days=2, seconds=1))
    own = await evaluate(storage, world, occurred_at=world.now - timedelta(hours=3), event_id="trigger")
    stale = await evaluate(storage, world, occurred_at=world.now - timedelta(hours=73))
    late = await evaluate(storage, world, occurred_at=world.now - timedelta(hours=3))
    after = await evaluate(storage, world)
    assert [found.reasons for found in (early, own, stale, late, after)] == [
        ("before_enrollment",),
        ("own_trigger",),
        ("too_late",),
        ("achieved",),
        ("after_enrollment",),
    ]
    assert (late.goal_achieved, late.should_exit_workflow) == (True, False)


async def test_an_inactive_workflow_is_known_although_nothing_ever_matched(storage: Storage, world: World) -> None:
    await world.add_goal()
    await world.tell(world.start(), world.status("inactive"))
    assert (await evaluate(storage, world)).reasons == ("workflow_inactive",)


async def test_with_all_goals_wanted_only_the_last_one_lets_the_contact_out(storage: Storage, world: World) -> None:
    first, _ = await world.add_goal(), await world.add_goal()
    await world.tell(world.start(), world.status("active", "all"))
    alone = await evaluate(storage, world)
    assert (alone.goal_achieved, alone.should_exit_workflow) == (True, False)
    await world.tell(world.match(first))
    last = await evaluate(storage, world, event_data={"tag_name": "tag-1"})
    assert (last.goal_achieved, last.should_exit_workflow) == (True, True)
    earlier = await evaluate(
        storage, world, event_data={"tag_name": "tag-1"}, occurred_at=world.now - timedelta(hours=5)
    )
    assert (earlier.goal_achieved, earlier.should_exit_workflow) == (True, True)


async def test_every_parallel_enrollment_has_its_verdict(storage: Storage, world: World) -> None:
    await world.add_goal()
    later = new_id()
    await world.tell(world.start(), world.start(enrollment_id=later, entered_at=world.now - timedelta(minutes=5)))
    evaluation = await evaluate(storage, world)
    assert evaluation.goals[0].verdicts == {world.enrollment_id: "achieved", later: "before_enrollment"}
    assert evaluation.exiting_enrollment_ids == (world.enrollment_id,)
    assert set(evaluation.reasons) == {"achieved", "before_enrollment"}


async def test_an_event_of_a_merged_contact_is_judged_for_the_survivor(storage: Storage, world: World) -> None:
    await world.add_goal()
    old, older = new_id(), new_id()
    await world.tell(world.start(), world.merge(old, world.contact_id), world.merge(older, old, event_id="merge-0"))
    evaluation = await evaluate(storage, world, contact_id=older)
    assert evaluation.goals[0].verdicts == {world.enrollment_id: "achieved"}
    assert evaluation.should_exit_workflow


async def test_an_event_from_the_future_is_judged_as_of_now(storage: Storage, world: World) -> None:
    await world.add_goal()
    await world.tell(world.start(), world.end(ended_at=world.now + timedelta(hours=1)))
    assert (await evaluate(storage, world, occurred_at=world.now + timedelta(days=1))).reasons == ("achieved",)


async def test_what_the_stream_does_with_an_event_is_what_was_foretold(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    foretold = await evaluate(storage, world, event_id="event-1")
    settled = await world.tell(world.match(goal))
    assert foretold.should_exit_workflow == settled.changes[0].achievement.should_exit_workflow
    told = await evaluate(storage, world, event_id="event-1")
    assert (told.goal_achieved, told.should_exit_workflow) == (True, False)
    another = await evaluate(storage, world, occurred_at=world.now - timedelta(minutes=1))
    assert (another.goal_achieved, another.reasons) == (False, ("already_achieved",))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"workflow_id": "w1"}, "workflow_id is no UUID"),
        ({"contact_id": 7}, "contact_id is no UUID"),
        ({"account_id": None}, "account_id is no UUID"),
        ({"event_type": "contact.deleted"}, "event_type is none of contact.tag.added, payment.completed"),
        ({"event_data": {"tag_id": 7}}, "tag_id is no string"),
        ({"event_data": []}, "event_data is no object"),
        ({"event_data": {"tag_name": "\x00"}}, "event_data.tag_name holds U\\+0000"),
        ({"event_type": "payment.completed", "event_data": {"amount": "-1"}}, "amount is no amount"),
        ({"event_type": "payment.completed", "event_data": {"amount": float("nan")}}, "event_data.amount is no number"),
        ({"occurred_at": "yesterday"}, "occurred_at is not RFC 3339"),
        ({"event_id": ""}, "event_id is empty"),
        ({"event_id": "e" * 256}, "event_id has more than 255 characters"),
    ],
)
async def test_what_is_wrong_with_an_event_is_said_in_a_sentence(
    storage: Storage, world: World, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        await evaluate(storage, world, **changes)


async def test_ids_may_be_uuids_or_text_in_either_case_and_times_text(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    moment = (world.now - timedelta(hours=1)).isoformat()
    ids = {"workflow_id": UUID(world.workflow_id), "contact_id": world.contact_id.upper()}
    evaluation = await evaluate(storage, world, **ids, event_id=UUID(new_id()), occurred_at=moment)
    assert evaluation.goal_achieved
    enrollment = {"workflow_enrollment_id": UUID(world.enrollment_id), "goal_config_id": goal.goal_id.upper()}
    achievement = await record(storage, world, goal, **ids, **enrollment, trigger_event={"timestamp": moment})
    assert achievement["contact_id"] == world.contact_id
    assert achievement["achieved_at"] == moment.replace("+00:00", "Z")


async def test_an_amount_as_a_program_writes_it_is_an_amount(storage: Storage, world: World) -> None:
    await world.add_goal(PurchaseCriteria(min_amount=Decimal("100.10")))
    await world.tell(world.start())
    for amount, achieves in ((100.1, True), (Decimal("100.10"), True), ("100.1", True), (100.09, False), (101, True)):
        evaluation = await evaluate(storage, world, event_type="payment.completed", event_data={"amount": amount})
        assert evaluation.goal_achieved is achieves


# What a program records


async def test_a_recorded_achievement_is_what_the_topic_says_and_waits_for_the_sweepers(
    storage: Storage, world: World
) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    achievement = await record(storage, world, goal, metadata={"campaign": "spring", "score": 0.5})
    assert achievement["workflow_enrollment_id"] == world.enrollment_id
    assert (achievement["revision"], achievement["should_exit_workflow"]) == (1, True)
    assert achievement["trigger_event"] == {
        "event_id": "api-1",
        "source": "api",
        "event_type": "contact.tag.added",
        "occurred_at": achievement["achieved_at"],
        "data": {
            "seen_by": "Ada",
            "contact_id": world.contact_id,
            "metadata": {"campaign": "spring", "score": Decimal("0.5")},
        },
    }
    assert await published(world) == [EXIT, ACHIEVED]
    async with Outbox(world.database).due(10) as due:
        body = next(message.body for message in due.messages if message.topic == ACHIEVED)
    assert json.loads(body, parse_float=Decimal) == achievement
    assert list(GoalAchievement.__annotations__) == list(achievement)
    foretold = await evaluate(storage, world, occurred_at=None)
    assert (foretold.goal_achieved, foretold.reasons) == (False, ("already_achieved",))


async def test_the_criteria_are_not_asked(storage: Storage, world: World) -> None:
    goal = await world.add_goal(PurchaseCriteria(min_amount=Decimal(100)))
    await world.tell(world.start())
    trigger = {"event_id": "api-1", "event_type": "till.closed", "amount": "0.99"}
    achievement = await record(storage, world, goal, goal_type="purchase_made", trigger_event=trigger)
    assert achievement["trigger_event"]["event_type"] == "till.closed"
    assert achievement["trigger_event"]["data"] == {"amount": "0.99", "contact_id": world.contact_id}
    assert achievement["metadata"]["occurred_at_source"] == "record"


@pytest.mark.parametrize("trigger_event", [{"event_id": "api-1"}, {"noted": "by hand"}, {}])
async def test_recording_again_gives_the_same_achievement_and_no_second_message(
    storage: Storage, world: World, trigger_event: dict[str, Any]
) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    first = await record(storage, world, goal, trigger_event=trigger_event)
    await world.tell(world.end(ended_at=first["achieved_at"], reason="goal_achieved"))
    again = await record(storage, world, goal, trigger_event=trigger_event)
    assert again == first
    assert await published(world) == [EXIT, ACHIEVED]
    assert len(await world.rows("select from matches")) == 1


async def test_a_goal_that_another_event_achieved_gives_that_achievement(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    achievement = await record(storage, world, goal, trigger_event=at(world.now - timedelta(minutes=1)))
    assert (achievement["trigger_event"]["source"], achievement["revision"]) == ("contact.tag.added", 1)
    assert await published(world) == [EXIT, ACHIEVED]


async def test_an_earlier_record_moves_the_achievement_of_the_stream(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    achievement = await record(storage, world, goal, trigger_event=at(world.now - timedelta(hours=5)))
    assert (achievement["trigger_event"]["source"], achievement["revision"]) == ("api", 1)
    assert await published(world) == [EXIT, ACHIEVED]


async def test_two_records_at_once_are_one_achievement_with_one_exit(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    trigger_events = [{"event_id": f"api-{number % 2}"} for number in range(8)]
    found = await asyncio.gather(*(record(storage, world, goal, trigger_event=one) for one in trigger_events))
    assert len({achievement["achievement_id"] for achievement in found}) == 1
    assert len(await world.rows("select from achievements")) == 1
    assert await published(world) == [EXIT, ACHIEVED]


async def test_a_record_and_an_event_of_the_stream_at_once_are_one_exit(storage: Storage, world: World) -> None:
    first, second = await world.add_goal(), await world.add_goal()
    await world.tell(world.start(), world.status("active", "all"))
    await asyncio.gather(record(storage, world, first), world.tell(world.match(second)))
    assert await published(world) == [EXIT, ACHIEVED, ACHIEVED]


async def test_parallel_enrollments_each_get_theirs_by_the_same_event(storage: Storage, world: World) -> None:
    goal, other = await world.add_goal(), new_id()
    await world.tell(world.start(), world.start(enrollment_id=other))
    mine = await record(storage, world, goal)
    assert [row[0] for row in await world.state()] == [world.enrollment_id]
    theirs = await record(storage, world, goal, workflow_enrollment_id=other)
    assert mine["achievement_id"] != theirs["achievement_id"]
    assert mine["trigger_event"]["event_id"] == theirs["trigger_event"]["event_id"]
    assert await published(world) == [EXIT, EXIT, ACHIEVED, ACHIEVED]


async def test_an_enrollment_that_is_not_known_yet_achieves_it_when_its_start_arrives(
    storage: Storage, world: World
) -> None:
    goal = await world.add_goal()
    assert await refusal(storage, world, goal) == "no_enrollment"
    settled = await world.tell(world.start(), world.start(enrollment_id=new_id()))
    (change,) = settled.changes
    assert change.achievement.enrollment_id == world.enrollment_id
    again = await record(storage, world, goal)
    assert again["achievement_id"] == change.achievement.achievement_id


async def test_the_enrollment_of_somebody_else_achieves_nothing(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    assert await refusal(storage, world, goal, contact_id=new_id()) == "no_enrollment"
    assert await world.state() == []


async def test_what_section_4_refuses_is_refused_with_its_verdict(storage: Storage, world: World) -> None:
    goal, other = await world.add_goal(), await world.add_goal()
    await world.tell(world.start(trigger_event_id="trigger"), world.end(ended_at=world.now - timedelta(minutes=30)))
    moments = {
        "before_enrollment": world.now - timedelta(days=2, seconds=1),
        "after_enrollment": world.now - timedelta(minutes=30),
        "too_late": world.now - timedelta(hours=73),
    }
    for reason, moment in moments.items():
        assert await refusal(storage, world, goal, trigger_event=at(moment)) == reason
    own = {"event_id": "trigger", "occurred_at": world.now - timedelta(hours=3)}
    assert await refusal(storage, world, goal, trigger_event=own) == "own_trigger"
    achievement = await record(storage, world, goal)
    assert (achievement["metadata"]["late"], achievement["should_exit_workflow"]) == (True, False)
    assert (
        await refusal(storage, world, other, trigger_event=at(world.now - timedelta(minutes=40))) == "already_satisfied"
    )
    assert len(await world.state()) == 1


async def test_what_was_refused_stays_a_fact_and_counts_when_its_ground_is_told(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.status("inactive"))
    assert await refusal(storage, world, goal) == "workflow_inactive"
    settled = await world.tell(world.status(event_id="status-2", occurred_at=world.now - timedelta(hours=2)))
    assert [change.achievement.match.source for change in settled.changes] == ["api"]


async def test_a_goal_that_was_not_in_force_or_is_not_there_is_refused_and_nothing_is_stored(
    storage: Storage, world: World
) -> None:
    goal, elsewhere = await world.add_goal(), World(world.database, account_id=world.account_id)
    foreign = await elsewhere.add_goal()
    await world.tell(world.start())
    before_it_was_made = at(world.now - timedelta(days=30))
    assert await refusal(storage, world, goal, trigger_event=before_it_was_made) == "goal_not_in_force"
    assert await refusal(storage, world, goal, goal_config_id=new_id()) == "no_goal"
    assert await refusal(storage, world, goal, goal_type=GoalType.FORM_SUBMITTED) == "no_goal"
    assert await refusal(storage, world, foreign) == "no_goal"
    await world.book.delete(world.workflow_id, goal.goal_id, expected_version=None, actor="test")
    assert await refusal(storage, world, goal, trigger_event={}) == "goal_not_in_force"
    assert await world.rows("select from matches") == []


async def test_it_is_recorded_of_the_version_in_force_when_it_happened(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    criteria = TagCriteria(tag_name="new")
    await world.book.change(world.workflow_id, goal.goal_id, {"criteria": criteria}, expected_version=1, actor="test")
    now = await record(storage, world, goal, trigger_event={})
    assert now["goal_version"] == 2
    earlier = await record(storage, world, goal)
    assert (earlier["achievement_id"], earlier["goal_version"]) == (now["achievement_id"], 1)


async def test_a_record_waits_for_whoever_is_changing_goals(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    async with world.database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
        recording = asyncio.create_task(record(storage, world, goal))
        await until_somebody_waits(world)
    assert (await recording)["goal_config_id"] == goal.goal_id


async def test_a_time_that_lies_ahead_is_now(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    achievement = await record(storage, world, goal, trigger_event=at(datetime.now(UTC) + timedelta(days=1)))
    assert datetime.fromisoformat(achievement["achieved_at"]) <= datetime.now(UTC) + timedelta(minutes=1)
    assert achievement["metadata"]["occurred_at_source"] == "record"


async def test_a_record_under_a_merged_id_is_the_survivors(storage: Storage, world: World) -> None:
    goal, old = await world.add_goal(), new_id()
    await world.tell(world.start(), world.merge(old, world.contact_id))
    assert (await record(storage, world, goal, contact_id=old))["contact_id"] == world.contact_id


async def test_personal_data_of_a_deleted_contact_is_not_kept(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    trigger = at(world.now - timedelta(hours=1)) | {"data": {"email": SECRET}}
    first = await record(storage, world, goal, trigger_event=trigger)
    assert first["trigger_event"]["data"] == {"email": SECRET, "contact_id": world.contact_id}
    await world.tell(world.deletion(world.contact_id))
    again = await record(storage, world, goal, trigger_event=trigger)
    assert again["trigger_event"]["data"] is None
    assert again["achievement_id"] == first["achievement_id"]
    after = at(world.now - timedelta(minutes=10)) | {"data": {"email": SECRET}}
    assert await refusal(storage, world, goal, trigger_event=after) == "contact_deleted"
    assert SECRET not in str(await everything(world))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"workflow_enrollment_id": "n1"}, "workflow_enrollment_id is no UUID"),
        ({"goal_config_id": ""}, "goal_config_id is no UUID"),
        ({"goal_type": "email_opened"}, "goal_type is none of tag_added, purchase_made"),
        ({"trigger_event": "event"}, "trigger_event is no object"),
        ({"trigger_event": {"data": "text"}}, "trigger_event.data is no object"),
        ({"trigger_event": {"event_id": 7}}, "trigger_event.event_id is no string"),
        ({"trigger_event": {"occurred_at": "25:00"}}, "trigger_event.occurred_at is not RFC 3339"),
        ({"trigger_event": {"timestamp": 1}}, "trigger_event.timestamp is not RFC 3339"),
        ({"trigger_event": {"event_type": 1}}, "trigger_event.event_type is no string"),
        ({"trigger_event": {"by": object()}}, "trigger_event.by is nothing that JSON knows: object"),
        ({"metadata": ["a"]}, "metadata is no object"),
    ],
)
async def test_what_is_wrong_with_a_record_is_said_in_a_sentence(
    storage: Storage, world: World, changes: dict[str, Any], sentence: str
) -> None:
    goal = await world.add_goal()
    with pytest.raises(ValueError, match=f"^{sentence}"):
        await record(storage, world, goal, **changes)


async def test_the_example_of_the_readme_runs(database_url: str, world: World) -> None:
    await world.add_goal(PurchaseCriteria(min_amount=Decimal(100)))
    await world.tell(world.start())
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, README, "exec"), names)
    ids = {"account_id": world.account_id, "workflow_id": world.workflow_id, "contact_id": world.contact_id}
    small, large = ({"payment_id": "pay-1", "amount": amount} for amount in ("99.99", "100.00"))
    on_payment = names["on_payment"]
    assert await on_payment(database_url, ids, small) == "nothing would be achieved: wrong_criteria"
    assert re.fullmatch(r"achieved at \S+Z, exit: True", await on_payment(database_url, ids, large))
    assert await on_payment(database_url, ids, large) == "nothing would be achieved: already_achieved"
    assert await published(world) == [EXIT, ACHIEVED]


# Whose rows are seen


async def test_another_account_sees_nothing_even_with_all_the_ids(storage: Storage, world: World) -> None:
    goal, foreign = await world.add_goal(), new_id()
    await world.tell(world.start())
    assert (await evaluate(storage, world, account_id=foreign)).reasons == ("no_goal",)
    assert await refusal(storage, world, goal, account_id=foreign) == "no_goal"
    assert await world.rows("select from matches") == []


async def test_two_accounts_may_share_every_other_id(storage: Storage, world: World) -> None:
    other = World(world.database, workflow_id=world.workflow_id, contact_id=world.contact_id)
    other.enrollment_id = world.enrollment_id
    mine, theirs = await world.add_goal(), await other.add_goal()
    await world.tell(world.start(), other.start())
    await record(storage, world, mine)
    assert [row["account"] for row in await world.rows("select account_id::text as account from achievements")] == [
        world.account_id
    ]
    assert (await evaluate(storage, other)).goal_achieved
    await record(storage, other, theirs)
    assert len(await world.state()) == 2


async def test_connections_see_no_row_unless_they_name_the_account(storage: Storage, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    async with storage.database.connection() as connection:
        assert await connection.fetchval("select count(*) from matches") == 0
    async with storage.database.snapshot(new_id()) as connection:
        assert await connection.fetchval("select count(*) from matches") == 0


async def test_a_database_that_is_not_migrated_is_told_at_once(empty_database_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="run `goalstream migrate`"):
        async with goalstream.connect(empty_database_url):
            raise AssertionError


async def test_connections_are_closed_at_the_end(database_url: str, world: World) -> None:
    async with goalstream.connect(database_url) as storage:
        await evaluate(storage, world)
        pool = await storage.database.open()
    with pytest.raises(asyncpg.InterfaceError):
        await pool.acquire()

"""Why a contact has or has not achieved a goal, and what happened to it, over HTTP on a real PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

import httpx
import pytest

from goalstream.domain.goals import FormCriteria, TagCriteria
from tests.integration.builders import World, new_id
from tests.integration.test_api_listings import every_page

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def explained(client: httpx.AsyncClient, world: World, contact_id: str | None = None) -> dict[str, Any]:
    path = f"/contacts/{contact_id or world.contact_id}/goals/{world.goals[0].goal_id}/explanation"
    document: dict[str, Any] = (await client.get(path)).raise_for_status().json()
    return document


async def test_every_event_has_its_verdict_with_both_values_newest_first(
    client: httpx.AsyncClient, world: World
) -> None:
    goal = await world.add_goal(window=timedelta(hours=30))
    entered_at = world.now - timedelta(days=2)

    def match(name: str, hours: float, **changes: Any) -> Any:
        moment = entered_at + timedelta(hours=hours)
        return world.match(goal, event_id=name, occurred_at=moment, record_at=moment, **changes)

    await world.tell(
        world.start(entered_at=entered_at, trigger_event_id="form"),
        match("early", -1),
        match("form", 1),
        match("first", 2, traceparent=TRACE),
        match("second", 3),
        match("late", 31),
    )
    document = await explained(client, world)
    assert document["contact_id"] == world.contact_id
    assert (document["goal"]["id"], document["goal"]["is_deleted"]) == (goal.goal_id, False)
    found = {one["event"]["event_id"]: one for one in document["verdicts"]}
    assert [one["event"]["event_id"] for one in document["verdicts"]] == ["late", "second", "first", "form", "early"]
    assert {name: one["verdict"] for name, one in found.items()} == {
        "late": "outside_window",
        "second": "already_achieved",
        "first": "achieved",
        "form": "own_trigger",
        "early": "before_enrollment",
    }
    assert {one["enrollment_id"] for one in found.values()} == {world.enrollment_id}
    assert all(one["criteria"] == {"tag_name": "tag-0"} and one["goal_version"] == 1 for one in found.values())
    assert found["early"]["wanted"] == {"entered_at": rfc3339(entered_at)}
    assert found["early"]["got"] == {"occurred_at": rfc3339(entered_at - timedelta(hours=1))}
    assert found["late"]["wanted"] == {"before": rfc3339(entered_at + timedelta(hours=30)), "window": "PT30H"}
    assert found["late"]["got"] == {"occurred_at": rfc3339(entered_at + timedelta(hours=31)), "after": "PT31H"}
    assert (found["form"]["wanted"], found["form"]["got"]) == ({"trigger_event_id": "form"}, {"event_id": "form"})
    assert found["second"]["got"]["event_id"] == "first"
    event = found["first"]["event"]
    assert event["trace_id"] == TRACE.split("-")[1]
    assert event["data"] == {"contact_id": world.contact_id}

    achievement = found["first"]["achievement"]
    assert [name for name, one in found.items() if one["achievement"]] == ["first"]
    published = await world.rows("select message_id::text, topic from outbox where topic <> 'workflow.goal.configured'")
    assert sorted(achievement["messages"], key=itemgetter("topic")) == sorted(published, key=itemgetter("topic"))
    assert len(published) == 2
    assert (achievement["revision"], achievement["revoked_at"]) == (1, None)


async def test_an_event_counts_for_every_enrollment_by_itself_and_for_nobody_where_there_is_none(
    client: httpx.AsyncClient, world: World
) -> None:
    goal = await world.add_goal()
    await world.tell(world.match(goal))
    (alone,) = (await explained(client, world))["verdicts"]
    assert (alone["verdict"], alone["enrollment_id"], alone["achievement"]) == ("no_enrollment", None, None)
    assert alone["wanted"] == {"workflow_id": world.workflow_id}
    again = new_id()
    later = world.start(enrollment_id=again, entered_at=world.now, event_id="start-2")
    await world.tell(world.start(), later)
    verdicts = (await explained(client, world))["verdicts"]
    assert {one["enrollment_id"]: one["verdict"] for one in verdicts} == {
        world.enrollment_id: "achieved",
        again: "before_enrollment",
    }
    assert len(verdicts) == 2


async def test_what_an_earlier_event_took_the_place_of_is_superseded(client: httpx.AsyncClient, world: World) -> None:
    tag, form = await world.add_goal(TagCriteria(tag_name="a")), await world.add_goal(FormCriteria(form_id="b"))
    await world.tell(world.start(), world.match(tag, event_id="tag"))
    earlier = world.now - timedelta(hours=2)
    await world.tell(world.match(form, event_id="form", occurred_at=earlier))
    await world.tell(world.match(tag, event_id="tag-2", occurred_at=world.now))
    second, first = (await explained(client, world))["verdicts"]
    assert (second["verdict"], first["verdict"]) == ("already_satisfied", "superseded")
    wanted = {"goal_id": form.goal_id, "event_id": "form", "occurred_at": rfc3339(earlier)}
    assert (first["wanted"], first["got"], second["got"]) == (None, wanted, wanted)
    assert first["achievement"]["revoked_reason"] == "superseded"
    assert [one["topic"] for one in first["achievement"]["messages"]][:2] == [
        "workflow.goal.achieved",
        "workflow.goal.revoked",
    ]
    assert second["achievement"] is None


async def test_an_achievement_whose_event_was_cleaned_away_is_shown_all_the_same(
    client: httpx.AsyncClient, world: World
) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    async with world.database.transaction() as connection:
        await connection.execute("delete from matches")
    (kept,) = (await explained(client, world))["verdicts"]
    assert (kept["verdict"], kept["event"]["event_id"]) == ("achieved", "event-1")
    async with world.database.transaction() as connection:
        await connection.execute("update achievements set revoked_at = now(), revoked_reason = 'own_trigger'")
    (revoked,) = (await explained(client, world))["verdicts"]
    assert (revoked["verdict"], revoked["achievement"]["revoked_reason"]) == ("own_trigger", "own_trigger")


async def test_merged_ids_stand_for_the_survivor_and_deleted_contacts_have_no_data(
    client: httpx.AsyncClient, world: World
) -> None:
    goal, old = await world.add_goal(), new_id()
    await world.tell(world.start(), world.match(goal, contact_id=old), world.merge(old, world.contact_id))
    for contact in (old, world.contact_id):
        document = await explained(client, world, contact)
        assert document["contact_id"] == world.contact_id
        assert document["contact_ids"] == sorted([old, world.contact_id])
        assert [one["verdict"] for one in document["verdicts"]] == ["achieved"]
        assert document["verdicts"][0]["event"]["data"] is not None
    await world.tell(
        world.deletion(world.contact_id), world.match(goal, event_id="after", occurred_at=world.now, contact_id=old)
    )
    after, before = (await explained(client, world))["verdicts"]
    assert (after["verdict"], before["verdict"]) == ("contact_deleted", "achieved")
    assert after["event"]["data"] is before["event"]["data"] is None


async def test_an_event_of_a_contact_that_turned_out_to_be_another_is_shown_where_it_had_counted(
    client: httpx.AsyncClient, world: World
) -> None:
    goal, old, other = await world.add_goal(), new_id(), new_id()
    await world.tell(world.start(), world.match(goal, contact_id=old), world.merge(old, world.contact_id))
    await world.tell(world.merge(old, other, occurred_at=world.now - timedelta(hours=3), event_id="merge-0"))
    (revoked,) = (await explained(client, world))["verdicts"]
    assert (revoked["verdict"], revoked["achievement"]["revoked_reason"]) == ("contact_merged", "contact_merged")
    assert (revoked["wanted"], revoked["got"]) == ({"contact_id": world.contact_id}, {"contact_id": other})
    (own,) = (await explained(client, world, old))["verdicts"]
    assert (own["verdict"], own["enrollment_id"]) == ("no_enrollment", None)


async def test_pages_go_on_where_the_one_before_ended_also_among_events_of_one_moment(
    client: httpx.AsyncClient, world: World
) -> None:
    goal = await world.add_goal()
    others = [new_id() for _ in range(2)]
    await world.tell(world.start(), *(world.start(enrollment_id=one, event_id=one) for one in others))
    moments = [world.now - timedelta(minutes=number // 4) for number in range(10)]
    await world.tell(
        *(world.match(goal, event_id=f"e{n}", occurred_at=moment) for n, moment in enumerate(moments)),
    )
    path = f"/contacts/{world.contact_id}/goals/{goal.goal_id}/explanation"
    found = await every_page(client, path, "verdicts")
    keys = [(one["event"]["event_id"], one["enrollment_id"]) for one in found]
    assert len(set(keys)) == len(keys) == 30
    times = [one["event"]["occurred_at"] for one in found]
    assert times == sorted(times, reverse=True)
    whole = (await client.get(path)).json()
    assert whole["verdicts"] == found
    entries = await every_page(client, f"/contacts/{world.contact_id}/timeline", "entries")
    assert (
        entries == (await client.get(f"/contacts/{world.contact_id}/timeline", params={"limit": 200})).json()["entries"]
    )
    assert len(entries) == 30 + 3 + 3


async def test_a_goal_that_nobody_has_is_not_found_and_a_contact_that_nobody_knows_has_no_verdicts(
    client: httpx.AsyncClient, world: World
) -> None:
    goal = await world.add_goal()
    for contact, unknown in ((new_id(), new_id()), ("nobody", goal.goal_id), (new_id(), "goal")):
        answer = await client.get(f"/contacts/{contact}/goals/{unknown}/explanation")
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    nobody = new_id()
    document = await explained(client, world, nobody)
    assert (document["contact_id"], document["verdicts"], document["next_cursor"]) == (nobody, [], None)


async def test_a_deleted_goal_is_explained_too(client: httpx.AsyncClient, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    await world.book.delete(world.workflow_id, goal.goal_id, expected_version=None, actor="ada")
    document = await explained(client, world)
    assert (document["goal"]["is_deleted"], document["goal"]["version"]) == (True, 2)
    assert [one["verdict"] for one in document["verdicts"]] == ["achieved"]


async def test_the_timeline_tells_everything_in_event_time(client: httpx.AsyncClient, world: World) -> None:
    goal, old = await world.add_goal(), new_id()
    elsewhere = World(world.database, account_id=world.account_id, contact_id=world.contact_id)
    minutes = [world.now - timedelta(minutes=number) for number in range(100)]
    await world.tell(
        world.start(entered_at=minutes[90], trigger_event_id="form"),
        world.merge(old, world.contact_id, occurred_at=minutes[80]),
        world.merge(old, new_id(), occurred_at=minutes[79], event_id="ignored"),
        world.match(goal, contact_id=old, occurred_at=minutes[70]),
    )
    await world.tell(world.deletion(world.contact_id, occurred_at=minutes[50]), elsewhere.start(entered_at=minutes[60]))
    ended = new_id()
    await world.tell(
        world.start(enrollment_id=ended, entered_at=minutes[95], event_id="start-2"),
        world.end(enrollment_id=ended, ended_at=minutes[94], reason="moved"),
    )
    document = (await client.get(f"/contacts/{old}/timeline")).raise_for_status().json()
    assert document["contact_id"] == world.contact_id
    found = document["entries"]
    assert [one["at"] for one in found] == sorted((one["at"] for one in found), reverse=True)
    own, other = world.enrollment_id, elsewhere.enrollment_id
    assert [(one["kind"], one.get("enrollment_id")) for one in found[3:]] == [
        ("enrollment_started", other),
        ("exited", own),
        *sorted([("event", own), ("event", ended)], key=lambda one: found_at(found, one)),
        ("contact_merged", None),
        ("enrollment_started", own),
        ("enrollment_ended", ended),
        ("enrollment_started", ended),
    ]
    assert {(one["kind"], one.get("enrollment_id"), one.get("reason")) for one in found[:3]} == {
        ("enrollment_ended", own, "contact_deleted"),
        ("enrollment_ended", other, "contact_deleted"),
        ("contact_deleted", None, None),
    }
    by_kind = {(one["kind"], one.get("enrollment_id")): one for one in found}
    assert by_kind["enrollment_started", own]["trigger_event_id"] == "form"
    assert by_kind["enrollment_ended", ended]["reason"] == "moved"
    assert by_kind["exited", own]["goal_id"] == goal.goal_id
    merged = by_kind["contact_merged", None]
    assert (merged["contact_id"], merged["into_contact_id"]) == (old, world.contact_id)
    event = by_kind["event", own]
    assert (event["verdict"], event["workflow_id"], event["goal_id"]) == ("achieved", world.workflow_id, goal.goal_id)
    assert (event["goal_type"], event["event"]["data"]) == ("tag_added", None)
    assert by_kind["event", ended]["verdict"] == "after_enrollment"

    path = f"/contacts/{world.contact_id}/timeline"
    assert (await client.get(path)).json()["entries"] == found
    narrowed = (await client.get(path, params={"workflow_id": elsewhere.workflow_id.upper()})).json()["entries"]
    assert {(one["kind"], one.get("workflow_id")) for one in narrowed} == {
        ("enrollment_started", elsewhere.workflow_id),
        ("enrollment_ended", elsewhere.workflow_id),
        ("contact_merged", None),
        ("contact_deleted", None),
    }


def found_at(found: list[dict[str, Any]], which: tuple[str, str | None]) -> int:
    return [(one["kind"], one.get("enrollment_id")) for one in found].index(which)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"cursor": "!"}, "/query/cursor"),
        ({"cursor": "WyJ0aW1lbGluZSIsIDEsIDJd"}, "/query/cursor"),
        ({"workflow_id": "goal"}, "/query/workflow_id"),
        ({"limit": 0}, "/query/limit"),
    ],
)
async def test_a_query_that_is_wrong_is_told_with_its_place(
    client: httpx.AsyncClient, query: dict[str, Any], pointer: str
) -> None:
    answer = await client.get(f"/contacts/{new_id()}/timeline", params=query)
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]

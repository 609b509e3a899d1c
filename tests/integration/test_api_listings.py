"""Workflows, achievements, versions and audit over HTTP on a real PostgreSQL: complete, newest first, page by page."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from goalstream.domain.goals import FormCriteria, TagCriteria
from goalstream.storage.roll_up import RollUp
from tests.integration.builders import World, new_id


async def every_page(client: httpx.AsyncClient, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
    """All entries, by following the links."""
    found: list[dict[str, Any]] = []
    answer = await client.get(path, params={"limit": 2} | query)
    while True:
        document = answer.raise_for_status().json()
        assert len(document[name]) <= 2
        found += document[name]
        links = answer.links
        assert links["first"]["url"].endswith("limit=2")
        assert ("next" in links) is (document["next_cursor"] is not None)
        if "next" not in links:
            return found
        answer = await client.get(f"http://api{links['next']['url']}")


async def test_versions_are_listed_newest_first_also_of_a_deleted_goal(client: httpx.AsyncClient, world: World) -> None:
    goals = f"/workflows/{world.workflow_id}/goals"
    goal = (await client.post(goals, json={"goal_type": "tag_added", "criteria": {"tag_name": "a"}})).json()
    for number, name in enumerate("bcd", start=1):
        body = {"criteria": {"tag_name": name}}
        await client.patch(f"{goals}/{goal['id']}", json=body, headers={"if-match": f'"{number}"'})
    await client.delete(f"{goals}/{goal['id']}")
    versions = await every_page(client, f"{goals}/{goal['id']}/versions", "versions")
    assert [version["version"] for version in versions] == [5, 4, 3, 2, 1]
    assert [version["criteria"]["tag_name"] for version in versions] == ["d", "d", "c", "b", "a"]
    assert [version["is_deleted"] for version in versions] == [True, False, False, False, False]
    first = versions[-1]
    assert {name: first[name] for name in goal} == goal
    moments = [version["effective_from"] for version in versions]
    assert moments == sorted(moments, reverse=True)


async def test_versions_of_what_is_no_goal_of_the_workflow_are_not_found(
    client: httpx.AsyncClient, world: World
) -> None:
    goal = await world.add_goal()
    for workflow, goal_id in ((world.workflow_id, new_id()), (new_id(), goal.goal_id), (world.workflow_id, "goal")):
        answer = await client.get(f"/workflows/{workflow}/goals/{goal_id}/versions")
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_everything_that_was_changed_or_decided_is_in_the_audit(client: httpx.AsyncClient, world: World) -> None:
    path = f"/workflows/{world.workflow_id}/goals"
    created = (await client.post(path, json={"goal_type": "tag_added", "criteria": {"tag_name": "x"}})).json()
    goal = await world.add_goal()
    await world.tell(world.start(entered_at=world.now - timedelta(hours=1)))
    for minutes in (10, 20):
        await world.tell(
            world.match(goal, event_id=f"event {minutes}", occurred_at=world.now - timedelta(minutes=minutes))
        )
    await world.tell(world.status("inactive", occurred_at=world.now - timedelta(hours=1)))
    await client.patch(f"{path}/{created['id']}", json={"is_active": False}, headers={"if-match": "*"})
    await client.delete(f"{path}/{created['id']}")
    entries = await every_page(client, f"{path}/audit", "entries")
    told = [(entry["action"], entry["actor"]) for entry in entries if entry["goal_id"] == created["id"]]
    assert told == [("goal_deleted", "ada"), ("goal_changed", "ada"), ("goal_created", "ada")]
    decided = [entry for entry in entries if entry["actor"] == "goalstream"]
    assert [entry["action"] for entry in decided] == ["revoked", "moved", "achieved"]
    assert {entry["enrollment_id"] for entry in decided} == {world.enrollment_id}
    changed = next(entry for entry in entries if entry["action"] == "goal_changed")
    assert (changed["before"]["is_active"], changed["after"]["is_active"]) == (True, False)
    assert changed["effective_from"] == changed["after"]["effective_from"]
    assert changed["version"] == 2
    moments = [entry["at"] for entry in entries]
    assert moments == sorted(moments, reverse=True)

    configuration = await every_page(client, f"{path}/audit", "entries", kind="configuration")
    achievements = await every_page(client, f"{path}/audit", "entries", kind="achievements")
    assert configuration == [entry for entry in entries if entry["effective_from"] is not None]
    assert achievements == decided
    assert len(configuration) + len(achievements) == len(entries)


async def test_workflows_are_known_by_goals_statuses_or_enrollments(client: httpx.AsyncClient, world: World) -> None:
    by_goal, by_status, by_start = (World(world.database, account_id=world.account_id) for _ in range(3))
    await by_goal.add_goal(TagCriteria(tag_name="a"))
    await by_goal.add_goal(FormCriteria(form_id="b"))
    early, late = world.now - timedelta(hours=2), world.now - timedelta(hours=1)
    await by_status.tell(
        by_status.status("paused", occurred_at=late, name="Newer"),
        by_status.status("active", "all", occurred_at=early, name="Older"),
    )
    await by_start.tell(*(by_start.start(enrollment_id=new_id(), contact_id=new_id()) for _ in range(3)))
    await by_start.tell(by_start.end(enrollment_id=new_id()))  # of somebody whose start is not known yet
    found = await every_page(client, "/workflows", "workflows")
    unknown: dict[str, Any] = {"name": None, "status": None, "goal_logic": "any", "goals": 0, "enrolled": 0}
    wanted = {
        by_goal.workflow_id: unknown | {"goals": 2},
        by_status.workflow_id: unknown | {"name": "Newer", "status": "paused", "goal_logic": "all"},
        by_start.workflow_id: unknown | {"enrolled": 3},
    }
    assert found == [{"workflow_id": name} | wanted[name] for name in sorted(wanted)]


async def test_enrollments_of_a_large_workflow_are_those_rolled_up(client: httpx.AsyncClient, world: World) -> None:
    await world.tell(*(world.start(enrollment_id=new_id(), contact_id=new_id()) for _ in range(3)))
    await RollUp(world.database, live_enrollments=2).refresh()
    await world.tell(world.start(enrollment_id=new_id()))
    (workflow,) = (await client.get("/workflows")).json()["workflows"]
    assert workflow["enrolled"] == 3


async def achieve(world: World, count: int) -> None:
    """So many contacts achieve two goals each, several of them at the same moments."""
    await world.tell(world.status("active", "all", occurred_at=world.now - timedelta(days=1)))
    tag, form = await world.add_goal(TagCriteria(tag_name="a")), await world.add_goal(FormCriteria(form_id="b"))
    for number in range(count):
        enrollment, contact = new_id(), new_id()
        moment = world.now - timedelta(minutes=number // 2)
        await world.tell(
            world.start(enrollment_id=enrollment, contact_id=contact, entered_at=world.now - timedelta(hours=1)),
            world.match(tag, contact_id=contact, occurred_at=moment, event_id=f"tag {number}"),
            world.match(form, contact_id=contact, occurred_at=moment, event_id=f"form {number}"),
        )


async def test_achievements_are_listed_newest_first_each_once(client: httpx.AsyncClient, world: World) -> None:
    await achieve(world, 5)
    path = f"/workflows/{world.workflow_id}/achievements"
    found = await every_page(client, path, "achievements")
    keys = [(one["workflow_enrollment_id"], one["goal_config_id"]) for one in found]
    assert len(set(keys)) == len(keys) == 10
    moments = [one["achieved_at"] for one in found]
    assert moments == sorted(moments, reverse=True)
    published = [
        json.loads(row["body"]) for row in await world.rows("select body from outbox where topic like '%achieved'")
    ]
    wanted = {one["achievement_id"]: one for one in published}
    for one in found:
        assert (one.pop("revoked_at"), one.pop("revoked_reason")) == (None, None)
        assert one == wanted[one["achievement_id"]]


async def test_achievements_are_filtered(client: httpx.AsyncClient, world: World) -> None:
    await achieve(world, 4)
    path = f"/workflows/{world.workflow_id}/achievements"
    everything = await every_page(client, path, "achievements")
    goal = everything[0]["goal_config_id"]
    of_goal = await every_page(client, path, "achievements", goal_id=goal.upper())
    assert of_goal == [one for one in everything if one["goal_config_id"] == goal]
    of_type = await every_page(client, path, "achievements", goal_type="tag_added")
    assert of_type == [one for one in everything if one["goal_type"] == "tag_added"]
    newest, oldest = everything[0]["achieved_at"], everything[-1]["achieved_at"]
    assert newest != oldest
    since = await every_page(client, path, "achievements", start=newest)
    until = await every_page(client, path, "achievements", end=newest)
    assert [one["achieved_at"] for one in since] == [newest] * len(since)
    assert since + until == everything
    assert (await client.get(path, params={"start": oldest, "end": oldest})).json()["achievements"] == []


async def test_what_does_not_hold_any_more_is_listed_when_asked_for(client: httpx.AsyncClient, world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    await world.tell(world.status("inactive", occurred_at=world.now - timedelta(days=1)))
    path = f"/workflows/{world.workflow_id}/achievements"
    assert (await client.get(path)).json()["achievements"] == []
    (revoked,) = (await client.get(path, params={"include_revoked": "true"})).json()["achievements"]
    assert revoked["revoked_at"] is not None
    assert revoked["revoked_reason"]


async def test_a_contacts_achievements_are_those_of_all_its_workflows(client: httpx.AsyncClient, world: World) -> None:
    other = World(world.database, account_id=world.account_id, contact_id=world.contact_id)
    for one in (world, other):
        await one.tell(one.start(), one.match(await one.add_goal()))
    await achieve(world, 2)
    found = await every_page(client, f"/contacts/{world.contact_id}/achievements", "achievements")
    assert {one["workflow_id"] for one in found} == {world.workflow_id, other.workflow_id}
    assert len(found) == 2
    assert {one["contact_id"] for one in found} == {world.contact_id}


@pytest.mark.parametrize(
    "path", ["/workflows/{}/achievements", "/contacts/{}/achievements", "/workflows/{}/goals/audit"]
)
async def test_of_an_unknown_workflow_or_contact_lists_are_empty(client: httpx.AsyncClient, path: str) -> None:
    document = (await client.get(path.format(new_id()))).raise_for_status().json()
    assert document.pop("next_cursor") is None
    assert list(document.values()) == [[]]
    assert (await client.get(path.format("nobody"))).status_code == 404


async def test_a_merged_contact_has_the_achievements_of_the_one_it_stands_for(
    client: httpx.AsyncClient, world: World
) -> None:
    old, other = new_id(), new_id()
    goal = await world.add_goal()
    people = {world.contact_id: new_id(), old: new_id(), other: new_id()}
    for contact, enrollment in people.items():
        await world.tell(
            world.start(contact_id=contact, enrollment_id=enrollment, event_id=f"start {enrollment}"),
            world.match(goal, contact_id=contact, event_id=f"event {contact}"),
        )
    await world.tell(world.merge(old, world.contact_id))
    for contact in (world.contact_id, old):
        found = await every_page(client, f"/contacts/{contact}/achievements", "achievements")
        assert {one["workflow_enrollment_id"] for one in found} == {people[world.contact_id], people[old]}
    found = await every_page(client, f"/contacts/{other}/achievements", "achievements")
    assert {one["workflow_enrollment_id"] for one in found} == {people[other]}


def cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    ("path", "query", "pointer"),
    [
        ("/workflows", {"cursor": "!"}, "/query/cursor"),
        ("/workflows", {"cursor": cursor("workflows", "nobody")}, "/query/cursor"),
        ("/workflows", {"cursor": cursor("workflows")}, "/query/cursor"),
        ("/workflows", {"cursor": cursor("audit", new_id())}, "/query/cursor"),
        ("/workflows", {"cursor": cursor("workflows", new_id()) + "!!"}, "/query/cursor"),
        ("/workflows", {"limit": 201}, "/query/limit"),
        ("/workflows/{}/achievements", {"cursor": cursor("achievements", new_id())}, "/query/cursor"),
        ("/workflows/{}/achievements", {"cursor": cursor("achievements", 1, new_id(), new_id())}, "/query/cursor"),
        ("/workflows/{}/achievements", {"goal_id": "goal"}, "/query/goal_id"),
        ("/workflows/{}/achievements", {"goal_type": "none"}, "/query/goal_type"),
        ("/contacts/{}/achievements", {"start": "yesterday"}, "/query/start"),
        ("/contacts/{}/achievements", {"include_revoked": "perhaps"}, "/query/include_revoked"),
        ("/workflows/{}/goals/audit", {"cursor": cursor("audit", 1 << 63)}, "/query/cursor"),
        ("/workflows/{}/goals/audit", {"cursor": cursor("audit", True)}, "/query/cursor"),
        ("/workflows/{}/goals/audit", {"kind": "all"}, "/query/kind"),
    ],
)
async def test_a_query_that_is_wrong_is_told_with_its_place(
    client: httpx.AsyncClient, path: str, query: dict[str, Any], pointer: str
) -> None:
    answer = await client.get(path.format(new_id()), params=query)
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]

"""Goals that name what the CRM does not have, over HTTP: refused when they are made or changed, told before activation."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from goalstream.api.app import create_app
from goalstream.api.tokens import issue_token
from goalstream.config import Settings
from goalstream.storage.pool import Database
from tests.conftest import JWT_SECRET
from tests.integration.builders import World, new_id

GOAL_TYPES = {
    "tag": ("tag_added", {"tag_id": "tag-1"}),
    "form": ("form_submitted", {"form_id": "form-1"}),
    "calendar": ("appointment_booked", {"calendar_id": "calendar-1"}),
    "service": ("appointment_booked", {"service_id": "service-1"}),
    "product": ("purchase_made", {"product_id": "product-1"}),
    "pipeline": ("pipeline_stage_reached", {"pipeline_id": "pipeline-1", "stage_id": "s"}),
    "stage": ("pipeline_stage_reached", {"pipeline_id": "p", "stage_id": "stage-1"}),
}
"""A goal that names a reference of each kind."""

STAGE = ("pipeline_stage_reached", {"pipeline_id": "sales", "stage_id": "won"})


class Caller:
    """Somebody of an account who speaks HTTP."""

    def __init__(self, client: httpx.AsyncClient, world: World) -> None:
        self._client = client
        self._workflow = f"/api/v1/workflows/{world.workflow_id}"

    async def create(self, goal: tuple[str, dict[str, Any]]) -> httpx.Response:
        body = {"goal_type": goal[0], "criteria": goal[1]}
        return await self._client.post(f"{self._workflow}/goals", json=body)

    async def created(self, goal: tuple[str, dict[str, Any]]) -> str:
        """The id of a goal that is accepted."""
        response = await self.create(goal)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    async def change(self, goal_id: str, **changes: Any) -> httpx.Response:
        path = f"{self._workflow}/goals/{goal_id}"
        return await self._client.patch(path, json=changes, headers={"if-match": "*"})

    async def delete(self, goal_id: str) -> None:
        assert (await self._client.delete(f"{self._workflow}/goals/{goal_id}")).status_code == 204

    async def check(self) -> httpx.Response:
        return await self._client.post(f"{self._workflow}/activation-check")

    async def goals(self) -> int:
        return int((await self._client.get(f"{self._workflow}/goals")).json()["total"])


@asynccontextmanager
async def calling(database: Database, world: World, scope: str) -> AsyncIterator[Caller]:
    app = create_app(Settings.model_validate({"jwt_secret": JWT_SECRET}), database)
    token = issue_token(
        JWT_SECRET,
        account_id=world.account_id,
        subject="ada",
        scope=scope,
        expires_in_seconds=600,
        now=int(time.time()),
    )
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as client:
        yield Caller(client, world)


@pytest.fixture
async def api(api_database: Database, world: World) -> AsyncIterator[Caller]:
    async with calling(api_database, world, "goals:read goals:write") as caller:
        yield caller


def refused(response: httpx.Response, error: str = "reference_not_found") -> list[tuple[str, str]]:
    """The pointers and messages of a problem, whose own message is the first of them."""
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert (document["error"], document["type"]) == (error, f"urn:goalstream:problem:{error}")
    assert document["message"] == document["errors"][0]["message"]
    return [(item["pointer"], item["message"]) for item in document["errors"]]


@pytest.mark.parametrize("kind", GOAL_TYPES)
async def test_a_goal_that_names_what_does_not_exist_is_refused(world: World, api: Caller, kind: str) -> None:
    await world.tell(world.reference(kind, "another"))
    response = await api.create(GOAL_TYPES[kind])
    assert refused(response) == [(f"/criteria/{kind}_id", f"Referenced {kind} does not exist")]
    assert await api.goals() == 0


@pytest.mark.parametrize("kind", GOAL_TYPES)
async def test_a_goal_that_names_what_exists_is_accepted(world: World, api: Caller, kind: str) -> None:
    await world.tell(world.reference(kind, f"{kind}-1"))
    await api.created(GOAL_TYPES[kind])


@pytest.mark.parametrize("kind", GOAL_TYPES)
async def test_nothing_is_refused_while_nothing_of_its_kind_was_received(world: World, api: Caller, kind: str) -> None:
    await world.tell(*(world.reference(other, "x") for other in GOAL_TYPES if other not in (kind, "pipeline", "stage")))
    await api.created(GOAL_TYPES[kind])


async def test_what_another_account_received_refuses_and_admits_nothing(world: World, api: Caller) -> None:
    other = new_id()
    await world.tell(world.reference("form", "form-9", account_id=other))
    await api.created(GOAL_TYPES["form"])
    await world.tell(world.reference("tag", "tag-1", account_id=other), world.reference("tag", "tag-2"))
    assert refused(await api.create(GOAL_TYPES["tag"])) == [("/criteria/tag_id", "Referenced tag does not exist")]


async def test_everything_that_is_missing_is_told_at_once(world: World, api: Caller) -> None:
    await world.tell(*(world.reference(kind, "x") for kind in GOAL_TYPES))
    appointment = ("appointment_booked", {"service_id": "service-1", "calendar_id": "calendar-1"})
    assert refused(await api.create(appointment)) == [
        ("/criteria/calendar_id", "Referenced calendar does not exist"),
        ("/criteria/service_id", "Referenced service does not exist"),
    ]
    assert refused(await api.create(STAGE)) == [
        ("/criteria/pipeline_id", "Referenced pipeline does not exist"),
        ("/criteria/stage_id", "Referenced stage does not exist"),
    ]


async def test_what_is_deleted_does_not_exist_and_may_come_back(world: World, api: Caller) -> None:
    await world.tell(world.reference("form", "form-1"))
    deleted = world.reference("form", "form-1", is_deleted=True, occurred_at=world.now)
    await world.tell(deleted)
    assert refused(await api.create(GOAL_TYPES["form"])) == [("/criteria/form_id", "Referenced form does not exist")]
    await world.tell(world.reference("form", "form-1", occurred_at=world.now + timedelta(seconds=1)))
    await api.created(GOAL_TYPES["form"])


async def test_an_old_change_that_arrives_late_brings_nothing_back(world: World, api: Caller) -> None:
    await world.tell(world.reference("form", "form-1", is_deleted=True, occurred_at=world.now))
    await world.tell(world.reference("form", "form-1", occurred_at=world.now - timedelta(days=1)))
    assert refused(await api.create(GOAL_TYPES["form"])) == [("/criteria/form_id", "Referenced form does not exist")]


async def test_ids_are_compared_exactly(world: World, api: Caller) -> None:
    await world.tell(world.reference("form", "Form-1"), world.reference("form", "form-1 "))
    assert refused(await api.create(GOAL_TYPES["form"])) == [("/criteria/form_id", "Referenced form does not exist")]


async def test_tag_names_amounts_and_any_need_no_reference(world: World, api: Caller) -> None:
    await world.tell(*(world.reference(kind, "x") for kind in GOAL_TYPES))
    await api.created(("tag_added", {"tag_name": "Purchased"}))
    await api.created(("purchase_made", {"product_id": None, "min_amount": 100, "currency": "EUR"}))
    await api.created(("appointment_booked", {"any_appointment": True}))


@pytest.mark.parametrize(("parent_id", "exists"), [("sales", True), (None, True), ("support", False)])
async def test_a_stage_must_belong_to_its_pipeline(
    world: World, api: Caller, parent_id: str | None, exists: bool
) -> None:
    await world.tell(
        world.reference("pipeline", "sales"),
        world.reference("pipeline", "support"),
        world.reference("stage", "won", parent_id=parent_id),
    )
    response = await api.create(STAGE)
    if exists:
        assert response.status_code == 201
    else:
        assert refused(response) == [("/criteria/stage_id", "Referenced stage does not exist")]


async def test_a_stage_that_moves_to_another_pipeline_is_found_there(world: World, api: Caller) -> None:
    await world.tell(world.reference("stage", "won", parent_id="support"))
    await world.tell(world.reference("stage", "won", parent_id="sales", event_id="reference-2"))
    await api.created(STAGE)


async def test_what_does_not_exist_is_told_before_the_limit_and_before_a_duplicate(world: World, api: Caller) -> None:
    for number in range(3):
        await api.created(("form_submitted", {"form_id": f"form-{number}"}))
    await world.tell(world.reference("form", "another"))
    refused(await api.create(("form_submitted", {"form_id": "form-1"})))
    response = await api.create(("form_submitted", {"form_id": "another"}))
    assert refused(response, "goal_limit_exceeded") == [("", "Maximum of 3 goals per workflow exceeded")]


async def test_a_change_to_what_does_not_exist_is_refused_and_leaves_the_goal_alone(world: World, api: Caller) -> None:
    await world.tell(world.reference("form", "form-1"), world.reference("form", "form-2"))
    goal_id = await api.created(GOAL_TYPES["form"])
    response = await api.change(goal_id, criteria={"form_id": "form-3"}, window="P7D")
    assert refused(response) == [("/criteria/form_id", "Referenced form does not exist")]
    changed = (await api.change(goal_id, criteria={"form_id": "form-2"})).json()
    assert (changed["version"], changed["criteria"], changed["window"]) == (2, {"form_id": "form-2"}, None)


async def test_a_change_that_leaves_the_criteria_alone_may_name_what_was_deleted(world: World, api: Caller) -> None:
    goal_id = await api.created(GOAL_TYPES["form"])
    await world.tell(world.reference("form", "form-1", is_deleted=True))
    assert (await api.change(goal_id, window="P7D")).json()["version"] == 2
    assert (await api.change(goal_id, criteria={"form_id": "form-1"}, is_active=False)).json()["version"] == 3
    assert (await api.change(goal_id, criteria={"form_id": "form-1"})).json()["version"] == 3


async def test_a_workflow_whose_goals_name_what_exists_may_be_activated(world: World, api: Caller) -> None:
    await world.tell(world.reference("tag", "tag-1"), world.reference("form", "form-1"))
    await api.created(GOAL_TYPES["tag"])
    await api.created(GOAL_TYPES["form"])
    await api.created(GOAL_TYPES["product"])
    response = await api.check()
    assert (response.status_code, response.json()) == (200, {"valid": True, "goals": 3})


async def test_a_workflow_that_nobody_knows_has_no_goals_and_nothing_wrong(api: Caller) -> None:
    response = await api.check()
    assert (response.status_code, response.json()) == (200, {"valid": True, "goals": 0})


async def test_before_activation_everything_that_is_wrong_is_told_with_its_goal(world: World, api: Caller) -> None:
    tag, stage = await api.created(GOAL_TYPES["tag"]), await api.created(STAGE)
    fine = await api.created(GOAL_TYPES["form"])
    await world.tell(
        world.reference("tag", "tag-1", is_deleted=True),
        world.reference("pipeline", "another"),
        world.reference("stage", "won", parent_id="another"),
        world.reference("form", "form-1"),
    )
    found = refused(await api.check(), "invalid_configuration")
    assert found == [
        (f"/goals/{tag}/criteria/tag_id", "Invalid goal configuration: tag does not exist"),
        (f"/goals/{stage}/criteria/pipeline_id", "Invalid goal configuration: pipeline does not exist"),
        (f"/goals/{stage}/criteria/stage_id", "Invalid goal configuration: stage does not exist"),
    ]
    assert not any(fine in pointer for pointer, _ in found)


async def test_goals_that_are_inactive_or_deleted_neither_count_nor_hinder_activation(
    world: World, api: Caller
) -> None:
    inactive, deleted = await api.created(GOAL_TYPES["tag"]), await api.created(GOAL_TYPES["form"])
    await api.created(GOAL_TYPES["product"])
    await world.tell(world.reference("tag", "x"), world.reference("form", "x"))
    assert len(refused(await api.check(), "invalid_configuration")) == 2
    await api.change(inactive, is_active=False)
    await api.delete(deleted)
    assert (await api.check()).json() == {"valid": True, "goals": 1}


async def test_the_newest_version_of_a_goal_is_checked_though_it_is_not_in_force_yet(world: World, api: Caller) -> None:
    goal_id = await api.created(GOAL_TYPES["form"])
    await world.tell(world.reference("form", "form-2"))
    refused(await api.check(), "invalid_configuration")
    assert (await api.change(goal_id, criteria={"form_id": "form-2"})).status_code == 200
    assert (await api.check()).json() == {"valid": True, "goals": 1}


async def test_a_check_sees_one_account_alone(world: World, api: Caller, api_database: Database) -> None:
    await api.created(GOAL_TYPES["form"])
    other = World(world.database, workflow_id=world.workflow_id)
    await other.tell(other.reference("form", "another"))
    async with calling(api_database, other, "goals:read") as stranger:
        assert (await stranger.check()).json() == {"valid": True, "goals": 0}
    assert (await api.check()).json() == {"valid": True, "goals": 1}


async def test_a_check_needs_no_more_than_reading(world: World, api_database: Database) -> None:
    async with calling(api_database, world, "goals:read") as reader:
        assert (await reader.check()).status_code == 200
    async with calling(api_database, world, "goals:write") as writer:
        assert (await writer.check()).status_code == 403

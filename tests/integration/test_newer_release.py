"""What a newer release has written and this one does not understand: it waits to be replaced, and decides nothing without it."""

from __future__ import annotations

import json

import httpx
import pytest

from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.domain.goals import TagCriteria
from goalstream.errors import DatabaseUnavailable
from goalstream.storage.goal_changes import changes_since
from goalstream.storage.pool import Database
from tests.conftest import JWT_SECRET
from tests.integration.builders import World
from tests.integration.serving import bearer

NEWER = {
    "a goal type": {"goal_type": "survey_answered"},
    "a criteria key": {"criteria": json.dumps({"tag_id": "t", "least_score": 5})},
}


@pytest.fixture(params=list(NEWER.values()), ids=list(NEWER))
async def world(request: pytest.FixtureRequest, database: Database) -> World:
    """With one goal that a newer release made."""
    found = World(database)
    goal = await found.add_goal(TagCriteria(tag_id="t"))
    async with database.transaction() as connection:
        for column, value in request.param.items():
            await connection.execute(f"update goal_versions set {column} = $1 where goal_id = $2", value, goal.goal_id)
    return found


async def test_a_worker_judges_nothing_while_there_is_a_goal_that_it_does_not_understand(
    database: Database, world: World
) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"goal .* was made by a newer release \(.*\)"):
        await changes_since(database, 0)


async def test_nothing_is_settled_for_such_a_workflow(database: Database, world: World) -> None:
    with pytest.raises(DatabaseUnavailable, match="newer release"):
        await world.tell(world.start(), world.match(world.goals[0]))


async def test_the_api_says_that_it_cannot_show_such_a_goal_now(api_database: Database, world: World) -> None:
    app = create_app(Settings.model_validate({"jwt_secret": JWT_SECRET}), api_database)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get(f"/api/v1/workflows/{world.workflow_id}/goals", headers=bearer(world.account_id))
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")

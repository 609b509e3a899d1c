"""What many tests stand on: a world in the test's database, and the API as its account sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.storage.pool import Database
from tests.conftest import JWT_SECRET
from tests.integration.builders import World
from tests.integration.serving import bearer


@pytest.fixture
async def world(database: Database) -> World:
    return World(database)


@pytest.fixture
async def client(api_database: Database, world: World) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings.model_validate({"jwt_secret": JWT_SECRET}), api_database)
    headers = bearer(world.account_id)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api/api/v1", headers=headers) as found:
        yield found

"""What many tests stand on: an API that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.serving import serving, settings_of, until_ready


@pytest.fixture
async def api_url(database_url: str) -> AsyncIterator[str]:
    async with serving(settings_of(database_url)) as (client, _):
        await until_ready(client, lambda answer: answer.is_success)
        yield str(client.base_url)

"""One API, one worker and one browser for all tests of the console; each test has accounts and pages of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.acceptance.console.browser import Visits, find_chromium, running_browser
from tests.acceptance.console.stack import Account, Stack, running_stack
from tests.conftest import cloned, make_topics, settings_for
from tests.services import tiers
from tests.services.tiers import RunningKafka


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(kafka: RunningKafka, postgres_url: str, template: str) -> AsyncIterator[Stack]:
    async with cloned(postgres_url, template) as url:
        settings = settings_for(kafka.bootstrap_servers, url, await make_topics(kafka))
        async with running_stack(settings) as found:
            yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if find_chromium() is None and tiers.MODE != "real":
        pytest.skip("needs Chromium: apt-get install chromium")
    async with running_browser() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser, stack: Stack) -> AsyncIterator[Visits]:
    """Nothing that anybody looks at may be blocked by the policy, ask another machine, or fail."""
    found = Visits(browser=browser, stack=stack)
    yield found
    for context in browser.contexts:
        await context.close()
    assert found.wrong == []


@pytest.fixture
def account(stack: Stack) -> Account:
    return Account(stack=stack)

"""Chromium on the console: pages that note what they must not do, and pictures of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Request, ViewportSize, async_playwright, expect

from tests.acceptance.console.stack import Account, Stack, token_of

SCREENSHOTS = os.environ.get("GOALSTREAM_TEST_SCREENSHOTS")
"""A folder for pictures of what the tests see; none are made without it."""

DESK, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=360, height=740)

REFRESH_MS = 6_000
"""More than any page leaves between two looks."""

expect.set_options(timeout=15_000)  # a page may begin to wait only after what it does now and then was called for

_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


def find_chromium() -> str | None:
    """The browser of this machine; none is ever downloaded."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """A browser for all tests; each opens a context of its own in it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium())
        yield browser
        await browser.close()


@dataclass(slots=True, kw_only=True)
class Visits:
    """Everybody who looks at the console in a test, and what was wrong with it."""

    browser: Browser
    stack: Stack
    wrong: list[str] = field(default_factory=list)
    tolerated: list[str] = field(default_factory=list)
    """Parts of what the browser says of answers that a test wants to see refused."""

    async def sign_in(self, account: Account, where: str = "", *, scope: str | None = None, **options: Any) -> Page:
        """The console of an account, signed in by a link as `goalstream dev` prints it, at a place."""
        token = account.token if scope is None else token_of(account.account_id, scope=scope)
        page = await self.open(f"/#token={token}", **options)
        await page.locator("main h1").wait_for(state="attached")
        if where:
            await self.go(page, where)
        return page

    async def open(self, path: str, *, url: str | None = None, **options: Any) -> Page:
        """A page of a browser that has never been here; `options` are Playwright's."""
        usual = {"viewport": DESK, "locale": "en-GB", "timezone_id": "Europe/Berlin", "reduced_motion": "reduce"}
        context = await self.browser.new_context(**usual | options)
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        await context.add_init_script(_VIOLATIONS)
        base = url or self.stack.url
        page = await context.new_page()
        page.on("request", lambda request: self._watch(request, base))
        page.on("console", lambda message: self._hear(message))
        page.on("pageerror", lambda error: self.wrong.append(f"defect: {error}"))
        await page.clock.install()
        await page.goto(base + path)
        return page

    async def wait(self, page: Page) -> None:
        """What the page does now and then, it does at once."""
        await page.clock.fast_forward(REFRESH_MS)

    async def go(self, page: Page, where: str) -> None:
        """To a place of the console, once it is shown."""
        await page.evaluate("(where) => { document.title = 'going'; location.hash = where; }", where)
        await expect(page).not_to_have_title("going")

    def _watch(self, request: Request, base: str) -> None:
        if not request.url.startswith(base):
            self.wrong.append(f"leaves the machine: {request.url}")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.tolerated):
            self.wrong.append(f"{message.text} ({message.location.get('url')})")


async def picture(page: Page, name: str) -> None:
    """A picture of what is seen, where pictures are wanted."""
    if SCREENSHOTS:
        await page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")

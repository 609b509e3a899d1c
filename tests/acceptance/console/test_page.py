"""What holds for the whole page: it is small, strict, kept by browsers, usable by everybody, and every request can be copied."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

import goalstream.api.console
from tests.acceptance.console.browser import DESK, PHONE, Visits, picture
from tests.acceptance.console.stack import Account, Stack
from tests.integration.builders import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOLDER = Path(goalstream.api.console.__file__).parent
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".html", ".css", ".js", ".svg"))
OPENED_LATER = {"webhooks.js": 9_000, "hooks.js": 9_000, "endpoints.js": 9_000}
"""What is loaded when its page is opened, and how many bytes it may have."""

MOST_BYTES, MOST_COMPRESSED_BYTES = 60_000, 35_000
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


async def test_everything_together_is_small() -> None:
    sizes = {name: (FOLDER / name).stat().st_size for name in FILES}
    assert sum(size for name, size in sizes.items() if name not in OPENED_LATER) < MOST_BYTES
    assert all(sizes[name] < most for name, most in OPENED_LATER.items())


async def test_files_are_compressed_for_those_who_take_it_and_kept_apart_from_the_others(stack: Stack) -> None:
    total = 0
    async with httpx.AsyncClient(base_url=stack.url) as client:
        for name in FILES:
            packed = await client.get(f"/console/{name}", headers={"accept-encoding": "br, gzip"})
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.content == (FOLDER / name).read_bytes()
            total += int(packed.headers["content-length"])
        for refusal in ("identity", "br, gzip;q=0", "gzip; q=0.0, identity"):
            plain = await client.get(f"/console/{name}", headers={"accept-encoding": refusal})
            assert "content-encoding" not in plain.headers, refusal
            assert plain.content == packed.content
        tags = plain.headers["etag"], packed.headers["etag"]
        assert len(set(tags)) == 2
        again = {"if-none-match": tags[0], "accept-encoding": "gzip"}
        assert (await client.get(f"/console/{name}", headers=again)).status_code == 200
        assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert total < MOST_COMPRESSED_BYTES


async def test_files_are_served_with_a_strict_policy_and_asked_for_again_before_they_are_used(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as client:
        for path in ("/", *(f"/console/{name}" for name in FILES), "/console/examples.json"):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'self'; ")
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-cache"
            again = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        for path in ("/console/page.py", "/console/__init__.py", "/console/nothing.js", "/console/..%2fapp.py"):
            assert (await client.get(path)).status_code == 404, path


async def something(account: Account) -> dict[str, str]:
    """A contact that achieved something, and every place of the page."""
    contact = new_id()
    await account.name_workflow()
    await account.add_goal(window="P7D")
    await account.add_goal(
        goal_type="purchase_made", criteria={"product_id": "a product with quite a long name", "min_amount": "100"}
    )
    await account.enroll(contact, entered_at=None)
    await account.tag(contact)
    await account.achieved(contact)
    return {
        "overview": "#/",
        "workflow": f"#/workflows/{account.workflow_id}",
        "live": "#/live",
        "contact": f"#/contact/{contact}",
        "send": "#/send",
        "letters": "#/letters",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing(visits: Visits, account: Account, theme: str) -> None:
    places = await something(account)
    page = await visits.sign_in(account, color_scheme=theme)
    for name, place in places.items():
        await visits.go(page, place)
        await picture(page, f"{name}-{theme}")
        await clean(page, place)
    await visits.go(page, places["workflow"])
    for name in ("Add a goal", "Edit"):
        await page.get_by_role("button", name=name).first.click()
        await clean(page, name)
    for name in ("History", "Delete"):
        await page.get_by_role("button", name=name).first.click()
        await clean(page, name)
        await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.locator("#help").click()
    await clean(page, "help")
    await page.keyboard.press("Escape")
    await page.locator("#who").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key or token, for this tab alone")).to_be_visible()
    await clean(page, "signed out")


async def clean(page: Page, place: str) -> None:
    found = await Axe().run(page, options=RULES)
    assert found.violations_count == 0, f"{place}: {found.generate_report()}"


async def test_nothing_is_wider_than_a_phone(visits: Visits, account: Account) -> None:
    places = await something(account)
    page = await visits.sign_in(account, viewport=PHONE)
    for name, place in (places | {"nobody": "#/contact"}).items():
        await visits.go(page, place)
        await picture(page, f"{name}-phone")
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"], place
    await visits.go(page, places["workflow"])
    await page.get_by_role("button", name="Edit").first.click()
    assert await page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    await page.get_by_role("button", name="History").first.click()
    assert await page.get_by_role("dialog").evaluate("(one) => one.scrollWidth <= one.clientWidth")


async def test_keys_lead_everywhere_and_can_be_turned_off(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account)
    for keys, heading in (
        ("gl", "Live"),
        ("gc", "Contact"),
        ("gs", "Send an event"),
        ("gd", "Dead letters"),
        ("ge", "Webhooks"),
        ("gh", "Hooks"),
        ("gw", "Workflows"),
    ):
        for key in keys:
            await page.keyboard.press(key)
        await expect(page.get_by_role("heading", name=heading, level=1)).to_be_attached()
        await expect(page.locator("nav [aria-current=page]")).to_have_count(1)
    await page.keyboard.press("?")
    await page.get_by_label("these keys do something").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("l")
    await expect(page.get_by_role("heading", name="Workflows", level=1)).to_be_attached()


async def test_everything_is_reached_with_tab_and_shows_where_it_is(visits: Visits, account: Account) -> None:
    await account.add_goal()
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}")
    await page.evaluate("() => document.activeElement.blur()")
    wanted = await page.locator("a:visible, button:visible:enabled, select:visible, summary:visible").count()
    reached = set()
    for _ in range(wanted + 10):
        await page.keyboard.press("Tab")
        found = await page.evaluate(
            """() => { const one = document.activeElement, style = getComputedStyle(one);
               one.dataset.seen ??= Math.random(); return [one.dataset.seen, one.tagName, style.outlineStyle]; }"""
        )
        if found[1] in ("A", "BUTTON", "SELECT", "SUMMARY"):
            assert found[2] != "none", found
            reached.add(found[0])
    assert len(reached) >= wanted
    await page.keyboard.press("Shift+Tab")


async def test_the_theme_is_chosen_and_kept(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account, color_scheme="light")
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(background)
    await page.keyboard.press("t")
    dark = await page.evaluate(background)
    assert dark != light
    await page.reload()
    assert await page.evaluate(background) == dark
    await page.get_by_role("button", name="Light or dark").click()
    assert await page.evaluate(background) == light


async def test_nothing_moves_by_itself(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account)
    moving = """() => [...document.querySelectorAll("*")].filter((one) => { const style = getComputedStyle(one);
        return style.animationName !== "none" || style.transitionDuration !== "0s"; }).length"""
    assert await page.evaluate(moving) == 0


async def test_what_is_copied_as_curl_does_the_same_and_holds_no_token(
    visits: Visits, account: Account, stack: Stack
) -> None:
    places = await something(account)
    page = await visits.sign_in(account)
    copied: list[str] = []

    async def copy() -> str:
        await page.get_by_role("button", name="Copy as curl").last.click()
        await expect(page.get_by_role("status")).to_have_text("Copied")
        copied.append(str(await page.evaluate("() => navigator.clipboard.readText()")))
        return copied[-1]

    for place in list(places.values())[:4]:
        await visits.go(page, place)
        assert json.loads(await run(await copy(), account.token))
    await visits.go(page, places["workflow"])
    await page.get_by_role("button", name="Pause").first.click()
    assert json.loads(await run(await copy(), account.token))["is_active"] is False
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Add a goal").click()
    await page.get_by_label("form id").fill("it's a form")
    await page.locator("form").get_by_role("button", name="Copy as curl").click()
    command = await page.evaluate("() => navigator.clipboard.readText()")
    assert json.loads(await run(command, account.token))["criteria"] == {"form_id": "it's a form"}
    await visits.go(page, "#/send")
    assert json.loads(await run(await copy(), account.token))["accepted"] == 2
    assert all("Bearer $GOALSTREAM_API_TOKEN" in one and "eyJ" not in one for one in copied)


async def run(command: str, token: str) -> str:
    """What a command prints, in a shell that knows the token."""
    assert shlex.split(command)[0] == "curl"
    process = await asyncio.create_subprocess_shell(
        f"{command} --max-time 2",
        env={"PATH": "/usr/bin:/bin", "GOALSTREAM_API_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    text = out.decode()
    return text if "event: decision" not in text else "true"


async def test_a_desk_shows_the_numbers_without_scrolling(visits: Visits, account: Account) -> None:
    await something(account)
    page = await visits.sign_in(account, viewport=DESK)
    for name in ("Spring promo", "Right now"):
        await expect(page.get_by_text(name, exact=True).first).to_be_in_viewport()

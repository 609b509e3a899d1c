"""The feed on the page: as it happens, filtered, paused, explained; however much comes, and when it is cut."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Request, expect

from goalstream.storage.pool import Database
from tests.acceptance.console.browser import Visits
from tests.acceptance.console.stack import Account, Stack, running_api
from tests.integration.builders import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_ROWS = 500
"""That the page keeps."""

FLOOD = """
insert into audit (account_id, at, actor, action, workflow_id, goal_id, version, enrollment_id, contact_id, after)
select $1, clock_timestamp(), 'goalstream', 'achieved', $2, $3, 1, gen_random_uuid(), gen_random_uuid(), '{"revision": 1}'
  from generate_series(1, $4)
"""


async def test_what_is_achieved_appears_and_a_click_says_why(visits: Visits, account: Account) -> None:
    contact = new_id()
    await account.name_workflow()
    goal = await account.add_goal()
    await account.enroll(contact)
    page = await visits.sign_in(account, "#/live")
    feed = page.get_by_role("list", name="Feed")
    await expect(feed.get_by_role("listitem")).to_have_count(1)
    event = await account.tag(contact)
    row = feed.get_by_role("button", name=f"achieved {contact[:8]}: the tag “Purchased” in Spring promo")
    await row.click()
    why = page.get_by_role("dialog", name="Why: the tag “Purchased”")
    await expect(why).to_contain_text("The goal was achieved by this event")
    for shown in (
        event["event_id"],
        "contact.tag.added",
        '"tag_name": "Purchased"',
        "achievement_id",
        "workflow.exit.goal",
        f"goalstream explain --contact {contact} --goal {goal['id']} --scan",
    ):
        await expect(why).to_contain_text(shown)
    await page.keyboard.press("Escape")
    await expect(row).to_be_focused()
    await row.click()
    await why.get_by_role("link", name=contact).click()
    await expect(page.get_by_role("heading", name="Contact")).to_be_visible()
    await expect(why).to_have_count(0)


async def test_it_is_filtered_and_the_address_keeps_the_filters(visits: Visits, account: Account) -> None:
    contact = new_id()
    await account.name_workflow()
    goal = await account.add_goal()
    await account.enroll(contact)
    await account.tag(contact)
    await account.achieved(contact)
    page = await visits.sign_in(account, "#/live")
    rows = page.get_by_role("list", name="Feed").get_by_role("listitem")
    await expect(rows).to_have_count(2)
    await page.get_by_label("What").focus()
    await page.get_by_label("What").select_option("goal_created")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("goal created ada: the tag “Purchased” in Spring promo")
    await expect(page.get_by_label("What")).to_be_focused()
    await page.get_by_label("What").select_option("")
    await page.get_by_label("Workflow").select_option(account.workflow_id)
    await page.get_by_label("Goal").select_option(goal["id"])
    await page.get_by_label("Contact").fill(contact)
    await page.get_by_label("Contact").press("Enter")
    await expect(rows).to_have_count(1)
    assert page.url.endswith(f"#/live?workflow_id={account.workflow_id}&goal_id={goal['id']}&contact_id={contact}")
    await page.reload()
    await expect(page.get_by_label("Goal")).to_have_value(goal["id"])
    await expect(rows).to_have_count(1)


async def test_while_it_is_paused_nothing_moves_and_nothing_is_lost(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account, "#/live")
    await expect(page.get_by_text("Live", exact=True).last).to_be_visible()
    await page.keyboard.press("p")
    goal = await account.add_goal()
    await expect(page.get_by_text("Paused, 1 new")).to_be_visible()
    await expect(page.get_by_role("list", name="Feed").get_by_role("listitem")).to_have_count(0)
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("list", name="Feed").get_by_role("listitem")).to_have_count(1)
    assert goal["version"] == 1


async def test_thousands_at_once_neither_freeze_the_page_nor_fill_its_memory(
    visits: Visits, account: Account, stack: Stack
) -> None:
    goal = await account.add_goal()
    page = await visits.sign_in(account, "#/live")
    await expect(page.get_by_role("list", name="Feed").get_by_role("listitem")).to_have_count(1)
    await page.evaluate(
        """() => { window.longest = 0; let last = performance.now();
           const frame = (now) => { window.longest = Math.max(window.longest, now - last); last = now; requestAnimationFrame(frame); };
           requestAnimationFrame(frame); }"""
    )
    database = Database(stack.settings.database_url.get_secret_value(), size=2, sees_all_accounts=True)
    for _ in range(4):
        async with database.transaction() as connection:
            await connection.execute(FLOOD, account.account_id, account.workflow_id, goal["id"], 2_000)
        await asyncio.sleep(0.6)
    await database.close()
    await expect(page.get_by_text("more than can be shown")).to_be_visible()
    await expect(page.get_by_role("list", name="Feed").get_by_role("listitem")).to_have_count(MOST_ROWS)
    assert await page.evaluate("() => window.longest") < 1_000


async def test_a_stream_that_is_cut_goes_on_where_it_was(visits: Visits, account: Account, stack: Stack) -> None:
    visits.tolerated += [
        "ERR_CONNECTION_REFUSED",
        "ERR_INCOMPLETE_CHUNKED_ENCODING",
        "ERR_CONNECTION_RESET",
        "ERR_EMPTY_RESPONSE",
    ]
    await account.add_goal(tag="before")
    async with running_api(stack.settings) as url:
        page = await visits.sign_in(account, "#/live", url=url)
        rows = page.get_by_role("list", name="Feed").get_by_role("listitem")
        await expect(rows).to_have_count(1)
    await expect(page.get_by_text("Cut off; goes on in")).to_be_visible()
    await visits.wait(page)
    await expect(page.locator("#health")).to_have_text("Not ready")
    await page.locator("#health").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Is `goalstream api` running?")
    await page.keyboard.press("Escape")
    await account.add_goal(tag="meanwhile")
    asked: list[str] = []

    def watch(request: Request) -> None:
        if "/feed" in request.url:
            asked.append(request.headers["last-event-id"])

    page.on("request", watch)
    port = int(url.rpartition(":")[2])
    async with running_api(stack.settings.model_copy(update={"http_port": port})):
        await expect(rows).to_have_count(2, timeout=30_000)
        await expect(rows.first).to_contain_text("the tag “meanwhile”")
        await expect(page.locator("#health")).to_have_text("Ready", timeout=15_000)
        assert asked[-1].isdigit()
        await account.add_goal(tag="after")
        await expect(rows).to_have_count(3)
        await page.context.close()

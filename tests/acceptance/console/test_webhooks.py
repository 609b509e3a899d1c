"""Webhooks on the page: added, edited in place, tested, their deliveries looked at and sent again; and who may not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, expect
from standardwebhooks import Webhook

from goalstream.storage.pool import Database
from tests.acceptance.console.browser import DESK, PHONE, Visits, picture
from tests.acceptance.console.stack import Account, Stack
from tests.acceptance.console.test_page import clean, run
from tests.acceptance.crm import eventually
from tests.integration.builders import new_id
from tests.services.receiver import answer, says

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def confirm(page: Page, name: str) -> None:
    """Presses what a dialog asks for."""
    await page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


async def copied(page: Page) -> str:
    await expect(page.get_by_role("status")).to_have_text("Copied")
    return str(await page.evaluate("() => navigator.clipboard.readText()"))


def url_of(stack: Stack, path: str) -> str:
    return f"http://127.0.0.1:{stack.receiver.port}{path}"


async def add_webhook(account: Account, path: str, **values: Any) -> dict[str, Any]:
    """A webhook of the stack's receiver."""
    found: dict[str, Any] = await account.ask(
        "POST", "/webhooks", json={"url": url_of(account.stack, path), "description": "our shop"} | values
    )
    return found


async def sent(account: Account, webhook: dict[str, Any]) -> dict[str, Any]:
    """A test of a webhook, once it was tried."""
    path = f"/webhooks/{webhook['id']}"
    message_id = (await account.ask("POST", f"{path}/test"))["message_id"]

    async def tried() -> Any:
        found = await account.ask("GET", f"{path}/deliveries/{message_id}")
        return found["attempts"] and found

    found: dict[str, Any] = await eventually(tried)
    return found


async def park(account: Account, *message_ids: str) -> None:
    """As if these had been tried for a day."""
    async with database(account.stack) as found, found.transaction(account.account_id) as connection:
        await connection.execute(
            "update webhook_deliveries set state = 'parked', next_attempt_at = null, ended_at = now()"
            " where account_id = $1 and message_id = any($2)",
            account.account_id,
            list(message_ids),
        )


@asynccontextmanager
async def database(stack: Stack) -> AsyncIterator[Database]:
    found = Database(stack.settings.database_url.get_secret_value(), size=1)
    try:
        yield found
    finally:
        await found.close()


async def test_a_webhook_is_added_and_its_secret_which_is_shown_this_once_signs_what_it_is_sent(
    visits: Visits, account: Account, stack: Stack
) -> None:
    visits.tolerated += ["status of 422"]
    path = f"/{new_id()}"
    page = await visits.sign_in(account, "#/webhooks")
    await expect(page.get_by_text("Nobody is told of goals yet.")).to_be_visible()
    await page.keyboard.press("n")
    await page.get_by_label("URL").fill("http://user@example.com")
    await page.get_by_label("workflow.goal.revoked").uncheck()
    await page.locator("form").get_by_role("button", name="Add").click()
    await expect(page.get_by_label("URL")).to_have_accessible_description("must have no user name or password")
    await page.get_by_label("URL").fill(url_of(stack, path))
    await page.get_by_label("what it is, in your words").fill("our shop")
    await page.locator("form").get_by_role("button", name="Add").click()
    dialog = page.get_by_role("dialog", name="The secret, shown this once")
    await dialog.get_by_role("button", name="Copy").click()
    secret = str(await page.evaluate("() => navigator.clipboard.readText()"))
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)
    row = page.get_by_role("row", name="our shop")
    await expect(row).to_contain_text("workflow.goal.achievedworkflow.exit.goalactive")
    assert secret not in await page.content()

    await row.get_by_role("button", name="Test").click()
    await expect(row).to_contain_text("delivered answers 200 after 0")
    (call,) = stack.receiver.calls[path]
    assert Webhook(secret).verify(call.body, call.headers)["type"] == "webhook.test"
    await picture(page, "webhooks-tested")
    await row.get_by_role("button", name="Look at it").click()
    await expect(page.get_by_role("dialog")).to_contain_text(call.headers["webhook-id"])


async def test_a_webhook_is_edited_paused_resumed_given_another_secret_and_deleted(
    visits: Visits, account: Account
) -> None:
    webhook = await add_webhook(account, f"/{new_id()}")
    page = await visits.sign_in(account, "#/webhooks")
    row = page.get_by_role("row", name="our shop")
    await row.get_by_role("button", name="Edit").click()
    await page.get_by_label("what it is, in your words").fill("their shop")
    await page.get_by_label("workflow.exit.goal").uncheck()
    await press(page, "Save")
    row = page.get_by_role("row", name="their shop")
    await expect(row.get_by_role("button", name="Edit")).to_be_focused()
    for verb, state in (("Pause", "paused"), ("Resume", "active")):
        await row.get_by_role("button", name=verb).click()
        await confirm(page, verb)
        await expect(row).to_contain_text(state)
    await row.get_by_role("button", name="New secret").click()
    await page.get_by_label("the one of before holds").select_option("no longer")
    await press(page, "Rotate")
    await expect(page.get_by_role("dialog")).to_contain_text("whsec_")
    await page.keyboard.press("Escape")
    (now,) = (await account.ask("GET", "/webhooks"))["webhooks"]
    assert now["topics"] == ["workflow.goal.achieved", "workflow.goal.revoked"]
    assert (now["url"], len(now["secrets"])) == (webhook["url"], 1)
    await picture(page, "webhooks-paused")
    await row.get_by_role("button", name="Delete").click()
    await confirm(page, "Delete")
    await expect(page.get_by_text("Nobody is told of goals yet.")).to_be_visible()


async def test_who_was_slower_is_told_by_whom_and_puts_their_change_on_top(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 412"]
    webhook = await add_webhook(account, f"/{new_id()}")
    page = await visits.sign_in(account, "#/webhooks")
    await press(page, "Edit")
    path, headers = f"/webhooks/{webhook['id']}", {"if-match": '"1"'}
    topics = ["workflow.exit.goal"]
    await account.ask("PATCH", path, subject="grace", json={"topics": topics}, headers=headers)
    await page.get_by_label("what it is, in your words").fill("my shop")
    await press(page, "Save")
    told = page.get_by_role("alert")
    await expect(told).to_contain_text("grace changed this webhook")
    await expect(told.get_by_role("row", name="description")).to_contain_text("our shopour shopmy shop")
    await press(page, "Put mine on top")
    await expect(page.get_by_role("row", name="my shop")).to_be_visible()
    now = await account.ask("GET", path)
    assert (now["description"], now["topics"], now["version"]) == ("my shop", topics, 3)


async def test_deliveries_are_chosen_by_state_looked_at_and_sent_again(
    visits: Visits, account: Account, stack: Stack
) -> None:
    path = f"/{new_id()}"
    stack.receiver.behaviours[path] = says(*[answer(500, "out of order")] * 3, answer(200))
    webhook = await add_webhook(account, path)
    messages = [(await sent(account, webhook))["message_id"] for _ in range(3)]
    page = await visits.sign_in(account, f"#/webhooks/{webhook['id']}")
    rows = page.get_by_role("region", name="Deliveries").locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("pending")
    await expect(rows.first).to_contain_text("in ")
    await rows.first.get_by_role("button", name="webhook.test").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("answers 500 after").click()
    for part in (
        "webhook-signature: v1,",
        "out of order",
        '"type": "webhook.test"',
        "next attempt",
        url_of(stack, path),
    ):
        await expect(dialog).to_contain_text(part)
    await picture(page, "delivery-light")
    await page.keyboard.press("Escape")

    await park(account, *messages)
    await page.get_by_label("State").select_option("parked")
    await expect(rows).to_have_count(3)
    await rows.last.get_by_role("button", name="webhook.test").click()
    await press(page, "Redrive")
    await page.get_by_role("dialog").last.get_by_role("button", name="Redrive", exact=True).click()
    await expect(rows).to_have_count(2)
    assert (await eventually(lambda: delivered(account, webhook, 1)))[0]["message_id"] == messages[0]
    await press(page, "Redrive all parked")
    await confirm(page, "Redrive")
    await expect(page.get_by_role("status")).to_have_text("2 redriven")
    await expect(page.get_by_text("No deliveries.")).to_be_visible()
    await page.get_by_label("State").select_option("delivered")
    await eventually(lambda: delivered(account, webhook, 3))
    await visits.wait(page)
    await expect(rows).to_have_count(3)


async def delivered(account: Account, webhook: dict[str, Any], count: int) -> Any:
    """The deliveries that have arrived, once there are so many."""
    query = {"state": "delivered"}
    found = await account.ask("GET", f"/webhooks/{webhook['id']}/deliveries", params=query)
    return len(found["deliveries"]) == count and found["deliveries"]


async def test_an_endpoint_that_fails_is_shown_as_such(visits: Visits, account: Account) -> None:
    webhook = await add_webhook(account, f"/{new_id()}")
    async with database(account.stack) as found, found.transaction(account.account_id) as connection:
        await connection.execute(
            "update webhooks set failures_in_a_row = 7, circuit_open_until = now() + interval '10 minutes' where webhook_id = $1",
            webhook["id"],
        )
    page = await visits.sign_in(account, "#/webhooks")
    await expect(page.get_by_role("row", name="our shop")).to_contain_text(
        "failing7 failures in a row; tried again in "
    )
    await visits.go(page, f"#/webhooks/{webhook['id']}")
    await expect(page.get_by_role("main")).to_contain_text("failing7 failures in a row")


async def test_without_the_scopes_nothing_is_shown_or_offered_and_accounts_never_meet(
    visits: Visits, account: Account
) -> None:
    webhook = await add_webhook(account, f"/{new_id()}")
    page = await visits.sign_in(account, "#/webhooks", scope="goals:read")
    await expect(page.get_by_text('--scope "goals:read webhooks:read webhooks:write"')).to_be_visible()
    await visits.go(page, "#/hooks")
    await expect(page.get_by_text("A token needs the scope webhooks:read")).to_be_visible()
    page = await visits.sign_in(account, "#/webhooks", scope="webhooks:read goals:read")
    for name in ("Add", "Test", "Edit", "Pause", "New secret", "Delete"):
        await expect(page.get_by_role("button", name=name)).to_be_disabled()
    visits.tolerated += ["status of 404"]
    page = await visits.sign_in(Account(stack=account.stack), "#/webhooks")
    await expect(page.get_by_text("Nobody is told of goals yet.")).to_be_visible()
    await visits.go(page, f"#/webhooks/{webhook['id']}")
    await expect(page.get_by_text("It was deleted, or is another account's.")).to_be_visible()


async def test_what_is_copied_as_curl_does_the_same_and_holds_no_token(visits: Visits, account: Account) -> None:
    await add_webhook(account, f"/{new_id()}")
    page = await visits.sign_in(account, "#/webhooks")
    commands = []
    for name in ("Pause", "New secret", "Edit"):
        await press(page, name)
        if name == "Edit":
            await page.get_by_label("what it is, in your words").fill("it's ours")
        await page.locator("dialog, form").get_by_role("button", name="Copy as curl").click()
        commands.append(await copied(page))
        answered = json.loads(await run(commands[-1], account.token))
        await page.reload()
        await page.get_by_role("row", name="shop").or_(page.get_by_role("row", name="ours")).wait_for()
        assert answered["version"] == len(commands) + 1, answered
    (now,) = (await account.ask("GET", "/webhooks"))["webhooks"]
    assert (now["state"], now["description"], len(now["secrets"])) == ("paused", "it's ours", 2)
    assert all("Bearer $GOALSTREAM_API_TOKEN" in one and "eyJ" not in one for one in commands)


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_everybody_can_use_both_pages_in_any_light_and_on_a_phone(
    visits: Visits, account: Account, theme: str
) -> None:
    webhook = await add_webhook(account, f"/{new_id()}")
    await add_webhook(account, f"/{new_id()}", description="", topics=["workflow.exit.goal"])
    await sent(account, webhook)
    hook = await account.ask("POST", "/hooks", json={"name": "Shop", "preset": "stripe", "secret": "whsec_of_the_shop"})
    page = await visits.sign_in(account, color_scheme=theme)
    for name, place, opened in (
        ("webhooks", "#/webhooks", "Edit"),
        ("webhook", f"#/webhooks/{webhook['id']}", "webhook.test"),
        ("hooks", "#/hooks", "Edit"),
        ("hook", f"#/hooks/{hook['id']}", None),
    ):
        await page.set_viewport_size(PHONE)
        await visits.go(page, place)
        if opened:
            await page.get_by_role("button", name=opened, exact=True).first.click()
        await picture(page, f"{name}-phone-{theme}")
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"], place
        await page.set_viewport_size(DESK)
        await picture(page, f"{name}-{theme}")
        await clean(page, place)

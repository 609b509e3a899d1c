"""Hooks on the page: added from a preset or by a mapping, tried, edited in place, called; and who may not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.acceptance.console.browser import Visits, picture
from tests.acceptance.console.stack import Account
from tests.acceptance.console.test_webhooks import confirm, copied, press
from tests.senders import CONTACT, SECRETS, now, sign_standard, sign_stripe, stripe_event, written

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAYMENT = written(stripe_event("payment_intent.succeeded", metadata={"contact_id": CONTACT}))
FORM = {"call_id": "id", "events": [{"event_type": "form.submitted", "data": {"contact_id": "who", "form_id": "form"}}]}


async def add_hook(account: Account, **values: Any) -> dict[str, Any]:
    """A hook of a shop at Stripe."""
    usual = {"name": "Shop", "preset": "stripe", "secret": SECRETS["stripe"]}
    found: dict[str, Any] = await account.ask("POST", "/hooks", json=usual | values)
    return found


async def call(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status that the other system gets."""
    async with httpx.AsyncClient() as client:
        return (await client.post(url, content=body, headers=headers)).status_code


async def submit(page: Page, name: str) -> None:
    await page.locator("form").get_by_role("button", name=name, exact=True).click()


async def test_a_hook_is_added_from_a_preset_called_and_its_calls_are_shown(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 422"]
    page = await visits.sign_in(account, "#/hooks")
    await expect(page.get_by_text("No other system sends anything yet.")).to_be_visible()
    await page.keyboard.press("n")
    await page.get_by_label("name").fill("Shop")
    await page.get_by_label("what comes").select_option("stripe")
    await expect(page.locator("form")).to_contain_text("The id of a contact is expected in metadata.contact_id")
    await expect(page.get_by_label("mapping")).to_be_hidden()
    await submit(page, "Add")
    secret = page.get_by_label("the secret that they sign with")
    await expect(secret).to_have_accessible_description("is required: stripe has it")
    await secret.fill(SECRETS["stripe"])
    await submit(page, "Add")
    await page.get_by_role("row", name="Shop").get_by_role("button", name="Copy URL").click()
    url = await copied(page)
    assert await call(url, PAYMENT, sign_stripe(PAYMENT, at=now())) == 202
    invoice = written({"type": "invoice.paid", "id": "evt_2"})
    assert await call(url, invoice, sign_stripe(invoice, at=now())) == 202
    await page.get_by_role("link", name="Shop").click()
    await expect(page.get_by_role("row", name="evt_3Qb7")).to_contain_text("1 accepted")
    await expect(page.get_by_role("row", name="evt_2")).to_contain_text("no event")
    await expect(page.get_by_role("main")).to_contain_text(url)
    await picture(page, "hook-called")
    await press(page, "evt_3Qb7")
    await expect(page.get_by_role("dialog")).to_contain_text('"topic": "payment.completed"')


async def test_a_hook_is_added_by_a_mapping_that_is_tried_before_and_its_secret_is_shown_this_once(
    visits: Visits, account: Account
) -> None:
    visits.tolerated += ["status of 422"]
    page = await visits.sign_in(account, "#/hooks")
    await press(page, "Add a hook")
    await page.get_by_label("name").fill("Forms")
    await page.get_by_label("what comes").select_option("")
    mapping = page.get_by_label("mapping")
    await mapping.fill('{"events": [}')
    await submit(page, "Add")
    await expect(page.get_by_text("This is no JSON:")).to_be_visible()
    await expect(mapping).to_have_accessible_description("must be an object")
    await mapping.fill('{"events": [{"event_type": "form.submitted", "data": {"form_id": "a ||"}}]}')
    await submit(page, "Add")
    await expect(page.locator("form .trouble")).to_contain_text("/mapping/events/0/data/form_id")
    await picture(page, "hook-mapping-refused")

    await mapping.fill(written(FORM).decode())
    await page.get_by_text("Dry run").click()
    body = page.get_by_label("the body of a call")
    await body.fill('{"id": "17", "who": "nobody", "form": "f"}')
    await press(page, "Try it")
    card = page.locator(".card.card .card")
    await expect(page.get_by_text("Their id of it is 17.")).to_be_visible()
    await expect(card).to_contain_text("/data/contact_id")
    await body.fill(f'{{"id": "1", "who": "{CONTACT}", "form": "f"}}')
    await press(page, "Try it")
    await expect(card).to_contain_text("accepted form.submitted")
    await picture(page, "hook-tried")
    await submit(page, "Add")
    dialog = page.get_by_role("dialog", name="The secret, shown this once")
    secret = (await dialog.locator("code").inner_text()).strip()
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)
    assert secret not in await page.content()
    (hook,) = (await account.ask("GET", "/hooks"))["hooks"]
    sent = written({"id": "1", "who": CONTACT, "form": "f"})
    assert await call(account.stack.url + hook["url"], sent, sign_standard(sent, secret=secret, at=now())) == 202


async def test_a_hook_is_edited_paused_resumed_given_another_secret_and_deleted(
    visits: Visits, account: Account
) -> None:
    visits.tolerated += ["status of 412"]
    hook = await add_hook(account)
    page = await visits.sign_in(account, "#/hooks")
    await press(page, "Edit")
    await account.ask(
        "PATCH", f"/hooks/{hook['id']}", subject="grace", json={"mapping": FORM}, headers={"if-match": '"1"'}
    )
    await page.get_by_label("name").fill("Our shop")
    await submit(page, "Save")
    await expect(page.get_by_role("alert").last).to_contain_text("grace changed this hook")
    await expect(page.get_by_role("row", name="mapping/events/0/data/contact_id")).to_contain_text("whowho")
    await picture(page, "hook-conflict")
    await press(page, "Put mine on top")
    row = page.get_by_role("row", name="Our shop")
    for verb, state in (("Pause", "paused"), ("Resume", "active")):
        await row.get_by_role("button", name=verb).click()
        await confirm(page, verb)
        await expect(row).to_contain_text(state)
    await press(page, "New secret")
    await page.get_by_label("the new secret").fill("whsec_the_second_one")
    await page.get_by_label("the one of before holds").select_option("for an hour")
    await submit(page, "Rotate")
    await expect(page.get_by_role("status")).to_have_text("Saved")
    (now,) = (await account.ask("GET", "/hooks"))["hooks"]
    assert (now["name"], now["mapping"], len(now["secrets"])) == ("Our shop", FORM, 2)
    await row.get_by_role("button", name="Delete").click()
    await confirm(page, "Delete")
    await expect(page.get_by_text("No other system sends anything yet.")).to_be_visible()


async def test_a_body_is_tried_on_a_hook_and_other_accounts_see_nothing_of_it(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 404", "status of 422"]
    hook = await add_hook(account)
    place = f"#/hooks/{hook['id']}"
    page = await visits.sign_in(account, place)
    await page.get_by_text("Dry run").click()
    body = page.get_by_label("the body of a call")
    for text, told in (
        ("{", "The body is not JSON"),
        ('{"type": "invoice.paid"}', "It becomes no event."),
        (PAYMENT.decode(), '"amount": "49.00"'),
    ):
        await body.fill(text)
        await press(page, "Try it")
        await expect(page.get_by_role("main")).to_contain_text(told)
    page = await visits.sign_in(Account(stack=account.stack), "#/hooks")
    await expect(page.get_by_text("No other system sends anything yet.")).to_be_visible()
    await visits.go(page, place)
    await expect(page.get_by_text("It was deleted, or is another account's.")).to_be_visible()

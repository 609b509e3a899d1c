"""Dead letters on the page: listed, shown, sent again, dropped."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Page, expect

from goalstream.streams.letter_desk import MOST_DONE
from tests.acceptance.console.browser import Visits
from tests.acceptance.console.stack import Account, Stack
from tests.acceptance.crm import Crm, envelope
from tests.integration.builders import new_id
from tests.integration.test_redrive import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def letters(page: Page, visits: Visits, count: int) -> None:
    """Comes back until so many are listed."""
    for _ in range(60):
        await visits.go(page, "#/")
        await visits.go(page, "#/letters")
        if await page.get_by_role("checkbox").count() == count:
            return
        await page.wait_for_timeout(250)
    raise AssertionError(f"not {count} dead letters: {await page.get_by_role('main').inner_text()}")


async def test_they_are_listed_shown_redriven_and_dropped(visits: Visits, account: Account, stack: Stack) -> None:
    page = await visits.sign_in(account, "#/letters")
    await expect(page.get_by_text("Every record could be processed")).to_be_visible()
    async with Crm(stack.settings) as crm:
        await crm.send("form.submitted", b"<form>", key=b"ada")
        await crm.send("payment.completed", {"account_id": account.account_id, "data": {"amount": "1,50"}})
    await letters(page, visits, 2)
    await page.get_by_label("Reason").select_option(label="not json (1)")
    await expect(page.get_by_role("checkbox")).to_have_count(1)
    row = page.get_by_role("region", name="Dead letters").get_by_role("row").nth(1)
    await expect(row).to_contain_text("form.submitted")
    await row.get_by_role("button").click()
    shown = page.get_by_role("dialog")
    await expect(shown).to_contain_text("<form>")
    await expect(shown).to_contain_text("ada")
    await page.keyboard.press("Escape")

    await row.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Redrive").click()
    question = page.get_by_role("dialog", name="Redrive the 1 chosen?")
    await expect(question).to_contain_text("with their original timestamps")
    await question.get_by_role("button", name="Redrive").click()
    await expect(page.get_by_role("status")).to_have_text("1 redriven")
    await letters(page, visits, 2)
    await expect(page.get_by_role("cell", name="2", exact=True)).to_be_visible()

    await page.get_by_label("Reason").select_option(label="not json (1)")
    await expect(page.get_by_role("checkbox")).to_have_count(1)
    await page.get_by_role("button", name="Drop").click()
    await page.get_by_role("dialog", name="Drop all with not json?").get_by_role("button", name="Drop").click()
    await expect(page.get_by_text("No dead letters.")).to_be_visible()
    await page.get_by_label("Show").select_option("true")
    await expect(page.get_by_role("region", name="Dead letters")).to_contain_text("dropped")
    await visits.go(page, "#/letters?reason=no_contact")
    await page.get_by_role("button", name="Drop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    await expect(page.get_by_role("status")).to_have_text("1 dropped")


async def test_with_nothing_chosen_nothing_is_sent_again(visits: Visits, account: Account, stack: Stack) -> None:
    page = await visits.sign_in(account)
    async with Crm(stack.settings) as crm:
        await crm.send("form.submitted", b"[]")
    await letters(page, visits, 1)
    await page.get_by_role("button", name="Redrive").click()
    await expect(page.get_by_role("status")).to_have_text("Choose some, or a reason")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Drop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    await expect(page.get_by_text("No dead letters.")).to_be_visible()


async def test_more_than_are_done_at_once_go_on_with_those_that_remain(
    visits: Visits, account: Account, stack: Stack
) -> None:
    stage = Stage(stack.settings.kafka_bootstrap_servers, stack.settings.kafka_topic_prefix)
    sound = json.dumps(envelope("form.submitted", account.account_id, {"contact_id": new_id(), "form_id": "f"}))
    records = [stage.record(offset, value=sound.encode()) for offset in range(MOST_DONE + 1)]
    await stage.set_aside(*records, reason="unexpected")
    await stage.set_aside(stage.record(0, topic="billing.orders"), reason="unexpected")
    page = await visits.sign_in(account, "#/letters?reason=unexpected")
    await page.get_by_role("button", name="Redrive").click()
    await page.get_by_role("dialog", name="all with unexpected").get_by_role("button", name="Redrive").click()
    rest = page.get_by_role("dialog", name="Redrive the 2 that remain?")
    await expect(page.get_by_role("status")).to_have_text("1,000 redriven")
    await expect(page.get_by_role("region", name="Dead letters").get_by_role("row")).to_have_count(3)
    await rest.get_by_role("button", name="Redrive").click()
    await expect(page.get_by_role("status")).to_contain_text("1 redriven; billing.orders is not a topic")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("checkbox")).to_have_count(1)
    await page.get_by_role("button", name="Drop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    await expect(page.get_by_text("No dead letters.")).to_be_visible()

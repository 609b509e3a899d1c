"""Events sent from the page, and what became of them."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import expect

from goalstream.contracts import examples
from goalstream.streams.topics import READ_TOPICS
from tests.acceptance.console.browser import Visits
from tests.acceptance.console.stack import Account
from tests.integration.builders import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_LOOKS = 60
"""At the timeline, before the page gives up; it needs 20."""

GOALS = {
    "tag_added": {"tag_name": "Purchased"},
    "purchase_made": {"min_amount": "100", "currency": "USD"},
    "appointment_booked": {"any_appointment": True},
    "form_submitted": {"form_id": "form-1"},
    "pipeline_stage_reached": {"pipeline_id": "sales", "stage_id": "won"},
}


@pytest.mark.parametrize("goal_type", GOALS)
async def test_what_is_made_for_a_goal_achieves_it_in_place(visits: Visits, account: Account, goal_type: str) -> None:
    await account.name_workflow()
    goal = await account.add_goal(goal_type=goal_type, criteria=GOALS[goal_type])
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}")
    await page.get_by_role("link", name="Try", exact=True).click()
    await expect(page.get_by_label("what happens")).to_have_value(goal["id"])
    contact = await page.get_by_label("contact", exact=True).input_value()
    await page.get_by_role("button", name="Send").click()
    became = page.locator(".result")
    await expect(became).to_have_count(2)
    await expect(became.nth(0)).to_contain_text("entered Spring promo", timeout=15_000)
    await expect(became.nth(1)).to_contain_text("The goal was achieved by this event", timeout=15_000)
    assert (await account.achieved(contact))["goal_config_id"] == goal["id"]


async def test_an_example_is_prefilled_and_says_that_no_goal_asks_for_it(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account, f"#/send?contact={new_id()}")
    await page.get_by_label("what happens").select_option("payment.completed several-products")
    event = json.loads(await page.get_by_label("the event").input_value())
    assert event["account_id"] == account.account_id
    assert event["data"]["contact_id"] == await page.get_by_label("contact", exact=True).input_value()
    await page.get_by_role("button", name="Send").click()
    told = page.locator(".result", has_text="No goal asks for it")
    for _ in range(MOST_LOOKS):
        await page.clock.fast_forward(1_000)
        if await told.count():
            break
        await page.evaluate("() => fetch('/livez')")  # as long as a look takes
    await expect(told).to_be_visible()


async def test_every_example_is_offered_and_accepted(visits: Visits, account: Account) -> None:
    assert list(examples()) == list(READ_TOPICS)
    page = await visits.sign_in(account, "#/send")
    what = page.get_by_label("what happens")
    values = await what.locator("option").evaluate_all("(all) => all.map((one) => one.value)")
    assert len(values) == sum(map(len, examples().values()))
    texts = []
    for value in values:
        await what.select_option(value)
        texts.append(json.loads(await page.get_by_label("the event").input_value()))
    await account.send(*texts)


async def test_what_breaks_its_contract_is_refused_with_the_place(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 422"]
    page = await visits.sign_in(account, "#/send")
    text = page.get_by_label("the event")
    await text.fill("{")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_text("This is no JSON")).to_be_visible()
    good = {
        "event_type": "form.submitted",
        "account_id": account.account_id,
        "data": {"contact_id": new_id(), "form_id": "f"},
    }
    bad = good | {"data": {"contact_id": "ada"}}
    await text.fill(json.dumps([good, bad]))
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".result").nth(0)).to_contain_text("accepted")
    await expect(page.locator(".result").nth(1)).to_contain_text("/data/contact_id")
    await text.fill(json.dumps(bad))
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".trouble")).to_contain_text("is not a UUID")

"""Workflows on the page: what they come to, the funnel, and the picture over time."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.acceptance.console.browser import Visits
from tests.acceptance.console.stack import Account
from tests.integration.builders import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_who_entered_achieved_and_was_let_out(visits: Visits, account: Account) -> None:
    contacts = [new_id() for _ in range(4)]
    await account.name_workflow()
    await account.add_goal()
    await account.enroll(*contacts)
    await account.tag(contacts[0])
    await account.achieved(contacts[0])
    page = await visits.sign_in(account)
    steps = page.locator(".steps li")
    await expect(steps).to_have_text(
        [
            "4times a contact entered a workflow" + "and gets its messages",
            "1goals are watched for" + "tags, payments, forms and more",
            "1times a contact did it, and was let out" + "no further message",
        ]
    )
    row = page.get_by_role("row", name="Spring promo")
    await expect(row.get_by_role("cell")).to_have_text(["1", "4", "1", "25%", "2 days"])
    await account.tag(contacts[1])
    await account.achieved(contacts[1])
    await visits.wait(page)
    await expect(row.get_by_role("cell")).to_contain_text(["50%"])

    await row.get_by_role("link").click()
    await expect(page.get_by_text("Nobody entered within 24 hours.")).to_be_visible()
    await page.get_by_label("entered within").select_option("7 days")
    await expect(page.get_by_label("by", exact=True)).to_have_value("day")
    funnel = page.get_by_role("list", name="Funnel").get_by_role("listitem")
    await expect(funnel).to_have_text(["Entered100%4", "The tag “Purchased”50%2", "Let out50%2"])
    chart = page.get_by_role("img", name="By day:")
    await expect(chart.locator("g > title")).to_contain_text("4 entered, 2 let out (50%)")
    await expect(chart.locator("g > rect")).to_have_count(2)
    heights = await chart.locator("g > rect").evaluate_all(
        "(all) => all.map((one) => Number(one.getAttribute('height')))"
    )
    assert heights[0] == 2 * heights[1] > 0
    await expect(page.get_by_role("img", name="00:00:00 CET: 4 entered, 2 let out (50%)")).to_be_visible()
    types = page.get_by_role("region", name="By goal type").get_by_role("row")
    await expect(types.nth(1)).to_have_text("tag added250%")


async def test_steps_begin_at_midnight_where_the_viewer_is(visits: Visits, account: Account) -> None:
    await account.enroll(new_id())
    asked = []
    page = await visits.sign_in(account, timezone_id="America/New_York")
    page.on("request", lambda request: asked.append(request.url))
    await visits.go(page, f"#/workflows/{account.workflow_id}")
    await page.get_by_label("entered within").select_option("30 days")
    await expect(page.get_by_role("img", name="00:00:00 GMT-5: 1 entered")).to_be_visible()
    assert any("tz=America%2FNew_York" in url and "granularity=day" in url for url in asked)


async def test_an_account_with_nothing_says_what_to_do_next(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account)
    await expect(page.get_by_text("No workflow yet")).to_be_visible()
    await expect(page.get_by_text("goalstream goals add WORKFLOW form_submitted")).to_be_visible()
    await expect(page.get_by_text("Nothing has happened yet.")).to_be_visible()
    await page.get_by_role("link", name="Send an event", exact=True).click()
    await expect(page.get_by_role("heading", name="Send an event")).to_be_visible()
    await visits.go(page, "#/contact")
    await expect(page.get_by_text("Whose story shall be told?")).to_be_visible()
    await visits.go(page, f"#/contact/{new_id()}")
    await expect(page.get_by_text("Nothing is known of this contact.")).to_be_visible()

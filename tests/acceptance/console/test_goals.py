"""Goals on the page: added, edited in place, paused, deleted; and what is said when somebody was faster."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.acceptance.console.browser import Visits
from tests.acceptance.console.stack import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def test_a_goal_is_added_changed_paused_resumed_and_deleted(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}")
    await expect(page.get_by_text("No goals yet")).to_be_visible()
    await page.keyboard.press("n")
    await page.get_by_label("what counts").select_option("purchase_made")
    await page.get_by_label("min amount").fill("100.50")
    await page.get_by_label("currency").fill("eur")
    await page.get_by_label("within, after the entry").fill("7d")
    await press(page, "Add")
    row = page.get_by_role("row", name="A purchase from 100.5 EUR")
    await expect(row).to_contain_text("7d")

    await row.get_by_role("button", name="Edit").click()
    await page.get_by_label("within, after the entry").fill("1d 12 h")
    await press(page, "Save")
    await expect(row).to_contain_text("36h")
    await expect(page.get_by_role("status")).to_contain_text("Saved: version 2 holds from")
    await expect(row.get_by_role("button", name="Edit")).to_be_focused()

    for verb, state in (("Pause", "paused"), ("Resume", "active")):
        await row.get_by_role("button", name=verb).click()
        await page.get_by_role("dialog").get_by_role("button", name=verb).click()
        await expect(row).to_contain_text(state)
    await row.get_by_role("button", name="History").click()
    history = page.get_by_role("dialog").locator(".card")
    await expect(history).to_have_count(4)
    await expect(history.nth(2)).to_contain_text("Version 2 by ada")
    await expect(history.nth(2).get_by_role("row", name="within")).to_contain_text("7d36h")
    await page.keyboard.press("Escape")

    (goal,) = (await account.ask("GET", account.goals))["goals"]
    assert (goal["criteria"], goal["window"]) == ({"min_amount": "100.5", "currency": "EUR"}, "PT36H")
    await row.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No goals yet")).to_be_visible()
    assert (await account.ask("GET", account.goals))["goals"] == []


async def test_every_type_has_its_fields_and_keeps_what_was_entered(visits: Visits, account: Account) -> None:
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}")
    entered = {
        "form_submitted": {"form id": "form-1"},
        "appointment_booked": {"calendar id": "cal-1", "service id": "svc-1"},
        "pipeline_stage_reached": {"pipeline id": "sales", "stage id": "won"},
    }
    for goal_type, fields in entered.items():
        await press(page, "Add a goal")
        await page.get_by_label("what counts").select_option(goal_type)
        for label, value in fields.items():
            await page.get_by_label(label).fill(value)
        await press(page, "Add")
        await expect(page.get_by_label("what counts")).to_have_count(0)
    found = {goal["goal_type"]: goal["criteria"] for goal in (await account.ask("GET", account.goals))["goals"]}
    assert found == {
        name: {label.replace(" ", "_"): value for label, value in fields.items()} for name, fields in entered.items()
    }


async def test_what_the_api_refuses_is_told_at_its_field(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 422", "status of 400", "status of 409"]
    await account.add_goal(goal_type="purchase_made", criteria={"any_purchase": True})
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}")
    await press(page, "Add a goal")
    await page.get_by_label("what counts").select_option("purchase_made")
    await page.get_by_label("min amount").fill("a lot")
    await page.get_by_label("still counts after the exit for").fill("400d")
    await press(page, "Add")
    amount = page.get_by_label("min amount")
    await expect(amount).to_have_accessible_description(
        "must be a decimal number of at least 0, with at most 30 digits and an exponent within ±30"
    )
    await expect(amount).to_be_focused()
    await expect(page.get_by_label("still counts after the exit for")).to_have_accessible_description(
        "must be at most P90D"
    )
    await amount.fill("")
    await page.get_by_label("still counts after the exit for").fill("")
    await press(page, "Add")
    await expect(page.get_by_text("Goal criteria cannot be empty")).to_be_visible()
    await page.get_by_label("any purchase").check()
    await press(page, "Add")
    await expect(page.locator(".error, .trouble")).to_contain_text("same type and criteria already exists")


async def test_who_was_slower_is_told_by_whom_and_puts_their_change_on_top(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 412"]
    goal = await account.add_goal()
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}")
    await press(page, "Edit")
    await account.change_goal(goal, window="P3D")
    await page.get_by_label("tag name").fill("Bought")
    await press(page, "Save")
    told = page.get_by_role("alert")
    await expect(told).to_contain_text("grace changed this goal")
    await expect(told).to_contain_text("it is version 2 now")
    await expect(told.get_by_role("row", name="tag name")).to_contain_text("PurchasedPurchasedBought")
    await expect(told.get_by_role("row", name="within")).to_contain_text("3d3d")
    await press(page, "Put mine on top")
    await expect(page.get_by_role("row", name="The tag “Bought”")).to_contain_text("3d")
    (now,) = (await account.ask("GET", account.goals))["goals"]
    assert (now["criteria"], now["window"], now["version"]) == ({"tag_name": "Bought"}, "P3D", 3)


async def test_who_was_slower_may_take_what_the_other_made_of_it(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 412", "status of 404"]
    goal = await account.add_goal()
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}")
    await press(page, "Edit")
    await account.change_goal(goal, criteria={"tag_name": "Theirs"})
    await page.get_by_label("tag name").fill("Mine")
    await press(page, "Save")
    await press(page, "Take theirs")
    await expect(page.get_by_role("row", name="The tag “Theirs”")).to_be_visible()
    await press(page, "Edit")
    await account.ask("DELETE", f"{account.goals}/{goal['id']}")
    await page.get_by_label("tag name").fill("Mine")
    await press(page, "Save")
    await expect(page.get_by_role("alert")).to_contain_text("Somebody deleted this goal")

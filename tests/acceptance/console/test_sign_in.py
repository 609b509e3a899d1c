"""Who is signed in: by a link or by hand, in this tab only; what a token may not do is not offered; accounts never meet."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.acceptance.console.browser import Visits
from tests.acceptance.console.stack import Account, token_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_token_of_a_link_leaves_the_address_at_once_and_stays_in_the_tab(
    visits: Visits, account: Account
) -> None:
    page = await visits.sign_in(account)
    assert page.url == f"{visits.stack.url}/"
    tab, browser = await page.evaluate(
        "() => [{...sessionStorage}, {...localStorage, cookie: document.cookie}].map(JSON.stringify)"
    )
    secret = "eyJhbGciOi"
    assert secret in tab
    assert secret not in browser
    await page.reload()
    await expect(page.locator("#who")).to_contain_text(account.account_id[:8])
    other = await page.context.new_page()
    await other.goto(page.url)
    await expect(other.get_by_label("API key or token, for this tab alone")).to_be_focused()


async def test_a_token_is_entered_refused_with_the_reason_and_forgotten_when_signing_out(
    visits: Visits, account: Account
) -> None:
    visits.tolerated += ["status of 401"]
    page = await visits.open("/")
    await expect(page.get_by_text("goalstream api-keys create --account UUID --name console")).to_be_visible()
    await page.get_by_label("API key or token, for this tab alone").fill(token_of(account.account_id, seconds=-100))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("The token is not valid: Signature has expired")
    await page.get_by_label("API key or token, for this tab alone").fill(account.token)
    await page.keyboard.press("Enter")
    await page.locator("#who").click()
    await expect(page.get_by_role("dialog")).to_contain_text(account.account_id)
    await expect(page.get_by_role("dialog")).to_contain_text("goals:write")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key or token, for this tab alone")).to_be_visible()
    assert await page.evaluate("() => sessionStorage.length") == 0


async def test_a_token_that_ends_while_the_page_is_open_leads_back_to_the_form(
    visits: Visits, account: Account
) -> None:
    visits.tolerated += ["status of 401"]
    page = await visits.sign_in(account)
    await page.evaluate("(token) => sessionStorage.setItem('goalstream-token', token)", "gs_revoked")
    await visits.wait(page)
    await expect(page.get_by_role("alert")).to_contain_text("The token is not valid")


async def test_who_may_only_read_is_told_why_nothing_can_be_changed(visits: Visits, account: Account) -> None:
    await account.add_goal()
    page = await visits.sign_in(account, f"#/workflows/{account.workflow_id}", scope="goals:read")
    for name in ("Add a goal", "Edit", "Pause", "Delete"):
        button = page.get_by_role("button", name=name)
        await expect(button).to_be_disabled()
        await expect(button).to_have_attribute("title", "Your token lacks the scope goals:write")
    await expect(page.get_by_role("button", name="History")).to_be_enabled()
    await visits.go(page, "#/send")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await visits.go(page, "#/letters")
    await expect(page.get_by_text('--scope "goals:read goals:write operator"')).to_be_visible()


async def test_two_accounts_that_share_all_their_ids_see_their_own(visits: Visits, account: Account) -> None:
    other = Account(stack=account.stack, workflow_id=account.workflow_id)
    contact = "cccccccc-0000-4000-8000-000000000001"
    for one, name in ((account, "Spring promo"), (other, "Autumn promo")):
        await one.name_workflow(name)
        await one.add_goal(tag=name)
        await one.enroll(contact)
        await one.tag(contact, tag=name)
        await one.achieved(contact)
    for one, own, others in ((account, "Spring promo", "Autumn promo"), (other, "Autumn promo", "Spring promo")):
        page = await visits.sign_in(one)
        await expect(page.get_by_role("link", name=own)).to_be_visible()
        await expect(page.get_by_role("list", name="Feed")).to_contain_text(f"the tag “{own}” in {own}")
        for where in (f"#/workflows/{one.workflow_id}", "#/live", f"#/contact/{contact}"):
            await visits.go(page, where)
            await expect(page.get_by_role("main")).to_contain_text(own)
            await expect(page.locator("body")).not_to_contain_text(others)


async def test_with_another_token_nothing_is_left_of_the_account_before(visits: Visits, account: Account) -> None:
    await account.name_workflow("Mine alone")
    page = await visits.sign_in(account, "#/send")
    assert "Mine alone" in await page.content()
    other = Account(stack=account.stack)
    await page.goto(f"{visits.stack.url}/#token={other.token}")
    await expect(page.locator("#who")).to_contain_text(other.account_id[:8])
    await visits.go(page, "#/send")
    await expect(page.get_by_role("heading", name="Send an event")).to_be_visible()
    assert "Mine alone" not in await page.content()

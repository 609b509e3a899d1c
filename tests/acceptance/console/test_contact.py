"""A contact on the page: its story, and why each event counted or did not."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from playwright.async_api import expect

from tests.acceptance.command import run
from tests.acceptance.console.browser import Visits
from tests.acceptance.console.stack import Account, Stack, ago
from tests.acceptance.crm import envelope, environment
from tests.integration.builders import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")


def scan(contact: str, goal: Mapping[str, Any]) -> str:
    return f"goalstream explain --contact {contact} --goal {goal['id']} --scan"


async def test_its_story_tells_every_event_with_its_verdict(visits: Visits, account: Account) -> None:
    contact = new_id()
    await account.name_workflow(goal_logic="all")
    goals = [await account.add_goal(window="P1D"), await account.add_goal(tag="Other")]
    await account.enroll(contact)
    await account.tag(contact)
    await account.tag(contact, tag="Other")
    await account.achieved(contact)
    page = await visits.sign_in(account, "#/contact")
    await page.get_by_label("Contact's id").fill(contact.upper())
    await page.get_by_label("Contact's id").press("Enter")
    story = page.get_by_role("region", name="Timeline").locator("div.card")
    await expect(story).to_have_count(3)
    await expect(story.nth(2)).to_contain_text("entered Spring promo")
    late = story.filter(has_text="the tag “Purchased” in Spring promo")
    await expect(late).to_contain_text("outside window")
    await late.get_by_text("Event, row and messages").click()
    await expect(late.locator("dd", has_text='"window": "P1D"')).to_be_visible()
    await expect(story.filter(has_text="the tag “Other”")).to_contain_text("achieved")
    await page.get_by_text("Is an event missing?").click()
    for goal in goals:
        await expect(page.get_by_text(scan(contact, goal))).to_be_visible()


async def test_an_event_that_was_not_kept_is_found_by_the_command_that_is_offered(
    visits: Visits, account: Account, stack: Stack
) -> None:
    contact = new_id()
    goal = await account.add_goal()
    event = await account.tag(contact, tag="Lead")
    page = await visits.sign_in(account, f"#/contact/{contact}")
    await expect(page.get_by_text("Nothing is known of this contact.")).to_be_visible()
    await page.get_by_text("Is an event missing?").click()
    await page.get_by_role("button", name="Copy", exact=True).click()
    await expect(page.get_by_role("status")).to_have_text("Copied")
    command = await page.evaluate("() => navigator.clipboard.readText()")
    assert command == scan(contact, goal)
    variables = environment(stack.settings) | {"GOALSTREAM_API_URL": stack.url, "GOALSTREAM_API_TOKEN": account.token}
    found = await asyncio.to_thread(run, *shlex.split(command)[1:], "--json", **variables)
    assert event["event_id"] in found.stdout, found.stderr


async def test_it_follows_what_happens_unless_somebody_reads(visits: Visits, account: Account) -> None:
    contact = new_id()
    await account.add_goal()
    await account.enroll(contact)
    page = await visits.sign_in(account, f"#/contact/{contact}")
    story = page.get_by_role("region", name="Timeline").locator("div.card")
    await expect(story).to_have_count(1)
    await account.tag(contact)
    await account.achieved(contact)
    await visits.wait(page)
    await expect(story).to_have_count(3)
    await expect(story.filter(has_text="let out of")).to_have_count(1)
    await expect(story.filter(has_text="The goal was achieved by this event")).to_have_count(1)


async def test_what_is_further_back_is_said_to_be_there(visits: Visits, account: Account) -> None:
    contact, topic = new_id(), "workflow.enrollment.started"
    known = {"contact_id": contact, "workflow_id": account.workflow_id}
    events = [
        envelope(topic, account.account_id, known | {"enrollment_id": new_id(), "entered_at": ago(hours=hours)})
        for hours in range(1, 206)
    ]
    await account.send(*events)
    page = await visits.sign_in(account, f"#/contact/{contact}")
    story = page.get_by_role("region", name="Timeline").locator("div.card")
    await expect(story).to_have_count(200, timeout=15_000)
    await expect(page.get_by_text("The newest 200")).to_be_visible()


async def test_what_is_no_id_is_said_so(visits: Visits, account: Account) -> None:
    visits.tolerated += ["status of 404"]
    page = await visits.sign_in(account, "#/contact")
    await page.get_by_label("Contact's id").fill("ada@example.com")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_text("An id in the path is no UUID")).to_be_visible()
    await page.get_by_role("link", name="All workflows").click()
    await expect(page.get_by_role("heading", name="Workflows", level=1)).to_be_attached()

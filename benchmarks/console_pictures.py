"""The console as pictures, from a real run of `goalstream dev` that is told of the week before.

python -m benchmarks.console_pictures docs/pictures [--seconds 30]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import random
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
from playwright.async_api import Browser, async_playwright

from goalstream.dev.records import wire_time
from goalstream.dev.simulation import appointment, form, payment
from goalstream.dev.world import CONSULTATION, CURRENCY, PROMO_FORM, PURCHASED_TAG, World, make_world, random_id
from tests.acceptance.console.browser import find_chromium
from tests.senders import SECRETS, now, sign_stripe, stripe_event, written
from tests.services.receiver import Behaviour, Call, Receiver, answer, running_receiver, says, well

CONSOLE = re.compile(rb"Console\s+(http://\S+)/#token=(\S+)")
SEED, RATE = 7, 12
CONTACTS, DAYS = 600, 7
STEP_WEIGHTS = 20, 25, 22, 33
"""How many contacts take none, one, two and all of three steps."""

MOST_EVENTS = 500
DESK, PHONE = (1000, 680), (390, 680)
DENSITY = 2
WEBP_QUALITY = 80
DRAWN_MS = 1_500
"""What is asked once a place is shown has come by then, and is drawn."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A picture of a place of the console; `choose` is what is chosen there, by label."""

    name: str
    place: str
    size: tuple[int, int] = DESK
    theme: Literal["light", "dark"] = "light"
    choose: tuple[str, str] | None = None


class Week:
    """What CRM and engine tell of the days before the run, in envelopes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = random.Random(SEED)
        self.ada = random_id(self._rng)

    def entries(self) -> list[Event]:
        """Contacts that entered both workflows, more of them by day, and then what they did since: fewer at each step."""
        rng, entered, did = self._rng, list[Event](), list[Event]()
        for _ in range(CONTACTS):
            contact = random_id(rng)
            entered += self._enters(contact, hours_ago=rng.randrange(DAYS) * 24 + rng.triangular(0, 24, 9))
            did += self._walk(contact)[: rng.choices(range(4), STEP_WEIGHTS)[0]]
            did += [self._tagged(contact)] * (rng.random() < 0.4)
        return entered + did

    def story(self) -> Iterator[Event]:
        """One contact, whose events have several verdicts; each happens when it is asked for."""
        yield self._enters(self.ada, hours_ago=50)[0]
        yield self._walk(self.ada)[0]
        yield self._walk(self.ada)[1]
        yield self._tagged(self.ada)
        yield self._enters(self.ada, hours_ago=0)[1]
        yield self._tagged(self.ada)
        yield self._walk(self.ada)[0]

    def _enters(self, contact: str, *, hours_ago: float) -> list[Event]:
        topic, moment = "workflow.enrollment.started", datetime.now(UTC) - timedelta(hours=hours_ago)
        ids = [{"workflow_id": one.workflow_id, "enrollment_id": random_id(self._rng)} for one in self._world.workflows]
        return [self._event(topic, contact, one, moment) for one in ids]

    def _walk(self, contact: str) -> list[Event]:
        """All that the promo is for."""
        id_ = random_id(self._rng)
        return [
            self._event("form.submitted", contact, form(PROMO_FORM, id_)),
            self._event("appointment.booked", contact, appointment(CONSULTATION, id_)),
            self._event("payment.completed", contact, payment("149.00", CURRENCY, id_)),
        ]

    def _tagged(self, contact: str) -> Event:
        return self._event("contact.tag.added", contact, {"tag_name": PURCHASED_TAG})

    def _event(self, topic: str, contact: str, data: dict[str, str], moment: datetime | None = None) -> Event:
        return {
            "event_id": f"evt_{self._rng.getrandbits(64):016x}",
            "event_type": topic,
            "account_id": self._world.account_id,
            "timestamp": wire_time(moment or datetime.now(UTC)),
            "data": {"contact_id": contact} | data,
        }


@asynccontextmanager
async def running_dev() -> AsyncIterator[tuple[str, str]]:
    """`goalstream dev`; where its console is, and a token."""
    command = [sys.executable, "-m", "goalstream", "dev", "--plain", "--seed", str(SEED), "--rate", str(RATE)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            if found := CONSOLE.search(line):
                break
        else:
            raise SystemExit("`goalstream dev` ended by itself")
        drain = asyncio.create_task(process.stdout.read())
        yield found[1].decode(), found[2].decode()
        drain.cancel()
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def send(client: httpx.AsyncClient, events: Sequence[Event]) -> None:
    for begin in range(0, len(events), MOST_EVENTS):
        answer = await client.post("/api/v1/events", json=events[begin : begin + MOST_EVENTS])
        assert answer.json()["refused"] == 0, answer.text


async def subscribe(client: httpx.AsyncClient, receiver: Receiver) -> str:
    """Webhooks to endpoints that take everything, now and then, and nothing; the place where they are listed."""
    receiver.behaviours |= {"/mailer": every_other(), "/warehouse": says(answer(500, "no such table: orders"))}
    for path, description in {"/shop": "Shop", "/mailer": "Newsletters", "/warehouse": "Data warehouse"}.items():
        asked = {"url": f"http://127.0.0.1:{receiver.port}{path}", "description": description}
        (await client.post("/api/v1/webhooks", json=asked)).raise_for_status()
    return "#/webhooks"


def every_other() -> Behaviour:
    """Answers 503, then well, and so on."""
    answers = itertools.cycle([says(answer(503, "come again", "retry-after: 2\r\n")), well])

    async def take(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
        async for part in next(answers)(call, writer):
            yield part

    return take


async def pay(client: httpx.AsyncClient, contact: str) -> str:
    """A hook for Stripe that was told of payments: by Stripe, about somebody and nobody, and by somebody else; its place."""
    asked = {"name": "Stripe", "preset": "stripe", "secret": SECRETS["stripe"]}
    hook = (await client.post("/api/v1/hooks", json=asked)).raise_for_status().json()
    for number, metadata in enumerate([{"contact_id": contact}, {}, {"contact_id": contact}, {"contact_id": contact}]):
        told = stripe_event("payment_intent.succeeded", f"evt_3Qb{number}", metadata=metadata, id=f"pi_9Z{number}")
        body = written(told)
        for secret in (SECRETS["stripe"], "whsec_of_somebody_else"):
            await client.post(hook["url"], content=body, headers=sign_stripe(body, secret=secret, at=now()))
    return f"#/hooks/{hook['id']}"


async def photograph(browser: Browser, address: str, shot: Shot) -> bytes:
    """What is seen of it, as WebP, which Playwright itself does not write."""
    width, height = shot.size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=DENSITY,
        color_scheme=shot.theme,
        locale="en-GB",
        timezone_id="UTC",
    )
    page = await context.new_page()
    await page.goto(address)
    await page.locator("main h1").wait_for(state="attached")
    await page.evaluate("(place) => { location.hash = place; }", shot.place)
    await page.wait_for_timeout(DRAWN_MS)
    if shot.choose:
        label, option = shot.choose
        await page.get_by_label(label).select_option(option)
        await page.wait_for_timeout(DRAWN_MS)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": DENSITY}
    session = await context.new_cdp_session(page)
    taken = await session.send("Page.captureScreenshot", {"format": "webp", "quality": WEBP_QUALITY, "clip": clip})
    await context.close()
    return base64.b64decode(taken["data"])


async def run(folder: Path, seconds: float) -> None:
    world = make_world(SEED)
    week = Week(world)
    workflow, week_long = f"#/workflows/{world.promo.workflow_id}", ("entered within", "7 days")
    shots = [
        Shot(name="console", place="#/"),
        Shot(name="console-dark", place="#/", theme="dark"),
        Shot(name="console-workflow", place=workflow, choose=week_long),
        Shot(name="console-contact", place=f"#/contact/{week.ada}"),
        Shot(name="console-phone", place=workflow, size=PHONE, choose=week_long),
    ]
    async with (
        running_dev() as (url, token),
        running_receiver() as receiver,
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=30) as client,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=find_chromium())
        await send(client, week.entries())
        for event in week.story():
            await send(client, [event])
        shots += [
            Shot(name="console-webhooks", place=await subscribe(client, receiver)),
            Shot(name="console-hook", place=await pay(client, week.ada)),
        ]
        await asyncio.sleep(seconds)
        for shot in shots:
            picture = await photograph(browser, f"{url}/#token={token}", shot)
            (folder / f"{shot.name}.webp").write_bytes(picture)
            print(f"{shot.name}: {len(picture):,} bytes")
        await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    asyncio.run(run(options.folder, options.seconds))


if __name__ == "__main__":
    main()

"""F24: kill -9 of one of two deliverers at random moments, while endpoints of all sorts are sent to; it starts again at once.

Every message that workers have published must reach each endpoint that takes anything, signed, and count as delivered once there;
what comes again has the same webhook-id.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from random import Random

from standardwebhooks import Webhook, WebhookVerificationError

from goalstream.storage.pool import Database
from tests.faults import evidence
from tests.faults.evidence import ACHIEVED, EXIT, REVOKED
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, NotQuiet, Stage, stage
from tests.faults.stream import prepare, telling
from tests.faults.workers import WorkerProcess
from tests.integration.endpoints import KEY, SECRET, Endpoint, add_endpoint
from tests.services.receiver import OK, Behaviour, Call, Receiver, answer, dies, never, running_receiver, says, slowly

FACTS = 30_000
KILLS = 20
DELIVERERS = 2
SECONDS_A_KILL = 4
QUIET_SECONDS = 300
DELIVERED_SECONDS = 300
POLL_SECONDS = 0.2

TAKING = ("/well", "/slow", "/moody")
"""Endpoints that take every message in the end."""

OTHERS = ("/500", "/never", "/dies")

# Nobody waits for hours here.
_HURRY = "update webhook_deliveries set next_attempt_at = clock_timestamp() where state = 'pending' and webhook_id = any ($1::uuid[])"
_HURRY_TURNS = (
    "update webhooks set due_at = clock_timestamp(), circuit_open_until = null where webhook_id = any ($1::uuid[])"
)


class DelivererProcess(WorkerProcess):
    """A `goalstream deliverer`."""

    command = "deliverer"


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance, outcome = Random(seed), Outcome()
    async with stage(ground, "deliverers") as here, running_receiver() as receiver:
        stream = await prepare(here, FACTS, seed)
        receiver.behaviours |= {
            "/slow": slowly(0.3),
            "/moody": _moody(Random(seed)),
            "/500": says(answer(500)),
            "/never": never,
            "/dies": dies,
        }
        accounts = sorted({version.account_id for version in stream.told.goal_versions})
        endpoints = {path: await _endpoints(here.database, receiver, accounts, path) for path in (*TAKING, *OTHERS)}
        await here.start_workers(1)
        deliverers = [_deliverer(here, ground, number) for number in range(DELIVERERS)]
        for deliverer in deliverers:
            deliverer.start()
        async with telling(stream, KILLS * SECONDS_A_KILL):
            for number in range(KILLS):
                await asyncio.sleep(chance.uniform(0.5, 2 * SECONDS_A_KILL - 0.5))
                here.show("killing", number, KILLS)
                victim = chance.choice(deliverers)
                victim.kill()
                here.note("killed", deliverer=victim.name)
                victim.start()
        await here.quiesce(QUIET_SECONDS)
        published = await _published(here)
        quiet_at = time.monotonic()
        for path in TAKING:
            await _delivered(here, endpoints[path], len(published))
        outcome.figures["all_delivered_after_seconds"] = round(time.monotonic() - quiet_at)
        for deliverer in deliverers:
            code = await asyncio.to_thread(deliverer.stop)
            if code:
                outcome.findings.limits_missed.append(f"{deliverer.name} ended with exit code {code}")
        again = 0
        for path in TAKING:
            again += await _judge(outcome, endpoints[path], receiver.calls[path], published, path)
        outcome.findings.add(await here.stop_workers())
        outcome.figures |= {
            "facts": FACTS,
            "kills": KILLS,
            "messages": len(published),
            "requests": sum(map(len, receiver.calls.values())),
            "sent_again": again,
        }
    return outcome


async def _endpoints(database: Database, receiver: Receiver, accounts: Sequence[str], path: str) -> Sequence[Endpoint]:
    url = f"http://127.0.0.1:{receiver.port}{path}"
    return [await add_endpoint(database, url, account_id=account_id) for account_id in accounts]


def _deliverer(here: Stage, ground: Ground, number: int) -> DelivererProcess:
    environment = here.environment() | {
        "GOALSTREAM_ENCRYPTION_KEYS": KEY,
        "GOALSTREAM_WEBHOOK_PRIVATE_NETWORKS": "127.0.0.0/8",
        "GOALSTREAM_WEBHOOK_TIMEOUT_SECONDS": "2",
    }
    name = f"deliverer-{number + 1}"
    return DelivererProcess(name, environment, ground.folder / f"{name}.log")


def _moody(chance: Random) -> Behaviour:
    """Takes most of what it is sent, and sometimes says no, or dies after it has taken something."""

    async def behave(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
        mood = chance.random()
        if mood < 0.1:
            yield answer(503)
        elif mood < 0.2:
            writer.transport.abort()
        else:
            yield OK

    return behave


async def _published(here: Stage) -> set[str]:
    """The ids of all messages."""
    published = await asyncio.to_thread(here.topics.read, [ACHIEVED, REVOKED, EXIT])
    return {message.message_id for message in evidence.messages(published)}


async def _delivered(here: Stage, endpoints: Sequence[Endpoint], wanted: int) -> None:
    """Returns when endpoints have taken everything. Raises NotQuiet."""
    began, ids = time.monotonic(), [endpoint.webhook_id for endpoint in endpoints]
    while True:
        async with here.database.connection() as connection:
            await connection.execute(_HURRY, ids)
            await connection.execute(_HURRY_TURNS, ids)
            done = await connection.fetchval(
                "select count(*) from webhook_deliveries where state = 'delivered' and webhook_id = any ($1::uuid[])",
                ids,
            )
        here.show("delivering", done, wanted)
        if done >= wanted:
            return
        if time.monotonic() > began + DELIVERED_SECONDS:
            raise NotQuiet(f"{wanted - done} of {wanted} messages were not delivered within {DELIVERED_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)


async def _judge(
    outcome: Outcome, endpoints: Sequence[Endpoint], calls: Sequence[Call], published: set[str], path: str
) -> int:
    """How many came again."""
    times = Counter(call.headers["webhook-id"] for call in calls)
    found = outcome.findings
    found.lost += [f"{message_id} never came to {path}" for message_id in published - set(times)]
    found.wrong += [f"{message_id} came to {path}, and was never published" for message_id in set(times) - published]
    for call in calls:
        try:
            Webhook(SECRET).verify(call.body, call.headers)
        except WebhookVerificationError as error:
            found.wrong.append(f"{call.headers['webhook-id']} came to {path}: {error}")
    counted: Counter[str] = Counter()
    for endpoint in endpoints:
        deliveries = await endpoint.deliveries()
        counted.update(message_id for message_id, row in deliveries.items() if row["state"] == "delivered")
    found.lost += [f"{message_id} does not count as delivered to {path}" for message_id in published - set(counted)]
    found.duplicate += [f"{message_id} counts {count} times" for message_id, count in counted.items() if count > 1]
    return sum(times.values()) - len(times)


ROW = Row(
    fault="F24",
    title="kill -9 of a random deliverer while endpoints of all sorts are sent to",
    run=run,
    full_only="each life of a deliverer needs seconds until it has its share of the topics",
)

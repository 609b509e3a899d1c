"""The dispatcher: takes the lease of one webhook after another, and sends what is due there.

Each endpoint has its own turn, its own requests at once, and its own circuit; each account its share of the turns. So a slow
endpoint delays nobody else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from goalstream import __version__
from goalstream.domain.deliveries import GONE, delay_seconds, envelope, is_on_trial, open_seconds
from goalstream.domain.signing import SigningSecret, signed_headers
from goalstream.errors import OperatorError, Unavailable
from goalstream.observability import metrics
from goalstream.storage.deliverers import Attempt, DeliveryQueue, DueDelivery, Lease
from goalstream.storage.sealing import Seal
from goalstream.webhooks.client import Client

log = structlog.get_logger()

TURN_SECONDS = 20.0
"""For so long an endpoint is sent to; then others who wait have their turn."""

SPARE_SECONDS = 10.0
"""Of a lease, after the last request that it may send."""

REQUESTS_AT_ONCE = 5
"""To one endpoint."""

PORTION, PORTION_BYTES = 50, 1024 * 1024
"""Messages that an endpoint's turn holds in memory at once: no more of them, and no more once they have so many bytes."""

LOOK_SECONDS = 0.5
"""Between two looks while there is nothing to do, unless there is news."""

ACCOUNT_SHARE = 8
"""An account has at most one of so many turns."""


class Dispatcher:
    """Sends deliveries, at most `concurrency` endpoints at once. As many as there are may do so; each can be killed at any time."""

    def __init__(
        self, queue: DeliveryQueue, client: Client, seal: Seal, *, concurrency: int, timeout_seconds: float
    ) -> None:
        self._queue = queue
        self._client = client
        self._seal = seal
        self._concurrency = concurrency
        self._lease_seconds = TURN_SECONDS + timeout_seconds + SPARE_SECONDS
        self.turns: set[asyncio.Task[None]] = set()
        """Endpoints that are sent to at this moment."""

        self._accounts: Counter[str] = Counter()
        self._news = asyncio.Event()

    def tell(self) -> None:
        """There may be something to do."""
        self._news.set()

    async def dispatch(self) -> None:
        """Gives out turns for as long as there is something to do, and then returns. Raises DatabaseUnavailable."""
        while len(self.turns) < self._concurrency:
            most = max(1, self._concurrency // ACCOUNT_SHARE)
            without = [account_id for account_id, turns in self._accounts.items() if turns >= most]
            lease = await self._queue.lease(str(uuid4()), seconds=self._lease_seconds, without=without)
            if lease is None:
                return
            self._accounts[lease.account_id] += 1
            turn = asyncio.create_task(self._turn(lease))
            self.turns.add(turn)
            turn.add_done_callback(self.turns.discard)

    async def wait(self) -> None:
        """Until there may be something to do."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    async def close(self) -> None:
        """Abandons what is being sent: it is sent again once its lease has ended."""
        for turn in self.turns:
            turn.cancel()
        await asyncio.gather(*self.turns, return_exceptions=True)

    async def _turn(self, lease: Lease) -> None:
        bound = log.bind(account=lease.account_id, webhook=lease.webhook_id)
        try:
            secrets = self._seal.open(f"webhook {lease.webhook_id}", lease.secrets)
            failures = await _Turn(self._queue, self._client, lease, secrets).run()
            await self._queue.release(lease, failures_in_a_row=failures)
        except* Unavailable as away:
            bound.warning("webhook_turn_abandoned", error=str(away.exceptions[0]))
        except* OperatorError as wrong:
            bound.error("webhook_not_sent", error=str(wrong.exceptions[0]))
        except* Exception:  # noqa: BLE001 - the turns of others go on
            bound.exception("webhook_turn_failed")
        finally:
            self._accounts -= Counter({lease.account_id: 1})
            self._news.set()


class _Turn:
    """One endpoint's turn."""

    def __init__(self, queue: DeliveryQueue, client: Client, lease: Lease, secrets: tuple[SigningSecret, ...]) -> None:
        self._queue = queue
        self._client = client
        self._lease = lease
        self._secrets = secrets
        self._ends = time.monotonic() + TURN_SECONDS
        self._failures_in_a_row = lease.failures_in_a_row
        self._is_gone = False

    async def run(self) -> int:
        """Sends what is due, until nothing is, the time is over, or the circuit opens; how many failed in a row by then."""
        while self._goes_on():
            is_trial = is_on_trial(self._failures_in_a_row)
            due = list(await self._queue.due(self._lease, 1 if is_trial else PORTION, most_bytes=PORTION_BYTES))
            if not due:
                break
            due.reverse()
            async with asyncio.TaskGroup() as senders:
                for _ in range(min(REQUESTS_AT_ONCE, len(due))):
                    senders.create_task(self._send_all(due, is_trial=is_trial))
            if is_on_trial(self._failures_in_a_row):
                break
        return self._failures_in_a_row

    def _goes_on(self) -> bool:
        return time.monotonic() < self._ends and not self._is_gone

    async def _send_all(self, due: list[DueDelivery], *, is_trial: bool) -> None:
        while due and self._goes_on() and (is_trial or open_seconds(self._failures_in_a_row) is None):
            await self._send(due.pop())

    async def _send(self, delivery: DueDelivery) -> None:
        body = envelope(delivery.topic, delivery.occurred_at, delivery.body)
        now = datetime.now(UTC)  # noqa: TID251 - the receiver compares it with a clock of its own
        headers = {
            "content-type": "application/json",
            "user-agent": f"goalstream/{__version__}",
            **signed_headers(self._secrets, message_id=delivery.message_id, now=now, body=body),
        }
        answer = await self._client.post(self._lease.url, headers, body)
        self._is_gone |= answer.status == GONE
        self._failures_in_a_row = 0 if answer.error is None else self._failures_in_a_row + 1
        attempt = Attempt(
            url=self._lease.url,
            headers=headers,
            duration_seconds=answer.duration_seconds,
            status=answer.status,
            error=answer.error,
            answer=answer.text,
        )
        delay = delay_seconds(
            delivery.attempts + 1,
            chance=random.random(),  # noqa: S311 - jitter, nothing secret
            retry_after_seconds=answer.retry_after_seconds,
        )
        state = await self._queue.note(self._lease, delivery, attempt, delay_seconds=delay)
        metrics.WEBHOOK_ATTEMPTS.labels("delivered" if answer.error is None else "failed").inc()
        metrics.WEBHOOK_SECONDS.observe(answer.duration_seconds)
        if state == "parked":
            metrics.WEBHOOKS_PARKED.inc()

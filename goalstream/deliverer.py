"""The deliverer: puts together what follows the messages about achievements and what sends them to webhooks.

    Kafka → one delivery for each webhook that wants the message → PostgreSQL → turns of endpoints → HTTPS

Workers know nothing of it. As many as one likes may run; each can be killed at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import structlog

from goalstream import __version__
from goalstream.config import Settings
from goalstream.domain.times import from_milliseconds
from goalstream.errors import BrokerUnavailable, SettingsError, Unavailable
from goalstream.observability import metrics
from goalstream.observability.health import Health
from goalstream.observability.probes import serve_probes
from goalstream.storage.deliverers import DeliveryQueue, PublishedMessage
from goalstream.storage.migrate import require_current
from goalstream.storage.pool import Database
from goalstream.storage.sealing import SETTING, Seal
from goalstream.streams.brokers import Brokers
from goalstream.streams.connection import Kafka
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.published import Published, PublishedMessages
from goalstream.streams.topics import require_topics
from goalstream.webhooks.client import Client
from goalstream.webhooks.dispatcher import Dispatcher

log = structlog.get_logger()

MEASURE_SECONDS = 5.0

AGAIN_SECONDS = 1.0
"""After Kafka was away."""


class Deliverer:
    """Sends messages to webhooks until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where there is no key for the secrets of webhooks."""
        if settings.encryption_keys is None:
            raise SettingsError(f"{SETTING}: is needed to sign webhooks; `openssl rand -base64 32` makes one")
        self._settings = settings
        self._health = Health()
        self._retry = RetryInPlace(self._health)
        self._database = Database(
            settings.database_url.get_secret_value(), size=settings.database_pool_size, sees_all_accounts=True
        )
        self._queue = DeliveryQueue(self._database)
        self._kafka = Kafka.of(settings)
        group_id = settings.deliverers_group_id
        self._brokers = Brokers(self._kafka, group_id=group_id)
        self._published = PublishedMessages(self._kafka, group_id=group_id, topic_prefix=settings.kafka_topic_prefix)
        self._seal = Seal(settings.encryption_keys.get_secret_value())
        metrics.announce_build(__version__)
        metrics.announce_deliverer()
        metrics.watch_connections(lambda: self._database.connections)

    def reasons(self) -> Mapping[str, str]:
        """Why it is not ready, by part; empty when it is."""
        return self._health.reasons

    async def run(self) -> None:
        """Until cancelled; services that are away are waited for. Raises OperatorError when its port is taken."""
        self._health.report("deliverer", "starting")
        client = Client.of(self._settings)
        dispatcher = Dispatcher(
            self._queue,
            client,
            self._seal,
            concurrency=self._settings.webhook_concurrency,
            timeout_seconds=self._settings.webhook_timeout_seconds,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in self._works(dispatcher):
                    tasks.create_task(work)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            await dispatcher.close()
            await client.close()
            await self._brokers.close()
            await self._database.close()

    def _works(self, dispatcher: Dispatcher) -> Sequence[Coroutine[Any, Any, None]]:
        works = [self._bring_up(dispatcher)]
        if port := self._settings.metrics_port:
            hidden, host = metrics.is_none_of_deliverer, self._settings.http_host
            works.append(serve_probes(self.reasons, hidden=hidden, host=host, port=port))
        return works

    async def _bring_up(self, dispatcher: Dispatcher) -> None:
        url = self._settings.database_url.get_secret_value()
        await self._retry("migrations", lambda: require_current(url))
        await self._retry("topics", lambda: require_topics(self._kafka, prefix=self._settings.kafka_topic_prefix))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(dispatcher))
            tasks.create_task(self._dispatch(dispatcher))
            tasks.create_task(self._measure())
            tasks.create_task(self._brokers.keep_asking(self._retry))

    async def _follow(self, dispatcher: Dispatcher) -> None:
        async def keep(published: Sequence[Published]) -> None:
            stored = await self._retry("deliveries", lambda: self._queue.store([_kept(one) for one in published]))
            metrics.WEBHOOK_DELIVERIES.inc(stored)
            if stored:
                dispatcher.tell()

        def began() -> None:
            self._health.report("deliverer", None)
            log.info("deliverer_started")

        while True:
            try:
                await self._published.follow(keep, began)
            except BrokerUnavailable as error:
                self._health.report("deliverer", f"waits for Kafka: {error}")
                metrics.RETRIES.labels("published").inc()
                log.warning("waiting_for_service", service="kafka", step="published", error=str(error))
                await asyncio.sleep(AGAIN_SECONDS)

    async def _dispatch(self, dispatcher: Dispatcher) -> None:
        while True:
            await self._retry("webhooks", dispatcher.dispatch)
            await dispatcher.wait()

    async def _measure(self) -> None:
        while True:
            age_seconds = open_circuits = float("nan")
            with contextlib.suppress(Unavailable):
                backlog = await self._queue.backlog()
                age_seconds, open_circuits = backlog.age_seconds, float(backlog.open_circuits)
            metrics.WEBHOOK_BACKLOG_SECONDS.set(age_seconds)
            metrics.WEBHOOK_CIRCUITS.set(open_circuits)
            await asyncio.sleep(MEASURE_SECONDS)


def _kept(published: Published) -> PublishedMessage:
    published_at = from_milliseconds(published.published_ms)
    assert published_at is not None  # noqa: S101 - narrows: what has no such time is none of ours
    return PublishedMessage(message=published.message, contact_id=published.message.subject, published_at=published_at)

"""The worker: puts streams, storage and settings together, starts them in order, and stops them within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, cast

import structlog

from goalstream import __version__
from goalstream.config import Settings
from goalstream.errors import BrokerUnavailable, Unavailable
from goalstream.observability import metrics
from goalstream.observability.health import Health
from goalstream.observability.probes import serve_probes
from goalstream.observability.traces import UNTRACED, Traces
from goalstream.storage import goal_changes
from goalstream.storage.cleaning import Cleaner
from goalstream.storage.ledger import Ledger
from goalstream.storage.migrate import require_current
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Database
from goalstream.storage.roll_up import RollUp
from goalstream.streams.app import build_app, start_app
from goalstream.streams.brokers import Brokers
from goalstream.streams.connection import Kafka
from goalstream.streams.dead_letters import REASONS, DeadLetters
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.housekeeping import Housekeeper, Statistics, every_now_and_then
from goalstream.streams.processor import Processor
from goalstream.streams.producer import Producer
from goalstream.streams.progress import Progress
from goalstream.streams.publisher import Publisher
from goalstream.streams.topics import READ_TOPICS, WRITTEN_TOPICS, require_topics
from goalstream.streams.transport import BatchConsumer

log = structlog.get_logger()

SILENT_SECONDS = 1.5
"""PostgreSQL is asked for changes of goals every half second; without an answer for so long it hangs."""

ROLL_UP = timedelta(seconds=15)
"""How often statistics of large workflows are brought up to date: what is shown of them is a minute old at most."""

STOP_SECONDS = 8
"""For finishing or abandoning the batch in hand; what is not acknowledged is read again by the next worker."""


class GoalSource:
    """The goals in PostgreSQL, as the stream asks for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes_since(self, change_id: int) -> goal_changes.GoalChanges:
        return await goal_changes.changes_since(self._database, change_id)


class Worker:
    """Consumes, decides, publishes. As many as there are partitions may run; each can be killed at any time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._health = Health()
        self._traces, on_statement = _traces(settings)
        self._retry = RetryInPlace(self._health, self._traces)
        self._database = Database(
            settings.database_url.get_secret_value(),
            size=settings.database_pool_size,
            sees_all_accounts=True,
            on_statement=on_statement,
        )
        self._kafka = Kafka.of(settings)
        self._brokers = Brokers(self._kafka, group_id=settings.kafka_group_id)
        self._producer = Producer(self._kafka)
        prefix = settings.kafka_topic_prefix
        self._publisher = Publisher(self._producer, Outbox(self._database), topic_prefix=prefix, traces=self._traces)
        lateness = timedelta(seconds=settings.allowed_lateness_seconds)
        delay = timedelta(seconds=settings.activation_delay_seconds)
        self._goals = GoalCache(GoalSource(self._database), activation_delay=delay)
        processor = Processor(
            ledger=Ledger(self._database, allowed_lateness=lateness),
            goals=self._goals,
            publisher=self._publisher,
            dead_letters=DeadLetters(
                self._producer,
                topic_prefix=prefix,
                max_in_a_row=settings.dead_letter_max_in_a_row,
                max_share=settings.dead_letter_max_share,
            ),
            retry=self._retry,
            allowed_lateness=lateness,
            traces=self._traces,
        )
        self._housekeeper = Housekeeper(
            Cleaner(self._database),
            Progress(self._kafka, group_id=settings.kafka_group_id, topic_prefix=prefix),
            allowed_lateness=lateness,
            retention=timedelta(days=settings.retention_days),
        )
        self._statistics = Statistics(RollUp(self._database))
        metrics.HORIZON_AGE_SECONDS.set_function(self._goals.age_seconds)
        metrics.ASSIGNED_PARTITIONS.set_function(lambda: self.partitions)
        metrics.ROLL_UP_AGE_SECONDS.set_function(self._statistics.age_seconds)
        metrics.announce_build(__version__)
        metrics.announce(topics=READ_TOPICS, published=WRITTEN_TOPICS, reasons=REASONS)
        metrics.watch_lag(READ_TOPICS, self._lag)
        metrics.watch_connections(lambda: self._database.connections)
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._build_app: Callable[[], Any] = lambda: build_app(settings, processor, self._fail)
        self._app = self._build_app()
        self._has_begun = False
        self._consumes = False
        self._bringing_up: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts, and returns at once; services that are away are waited for."""
        self._health.report("worker", "starting")
        if self._settings.metrics_port:
            port = self._settings.metrics_port
            hidden, host = metrics.is_none_of_worker, self._settings.http_host
            self._spawn(serve_probes(self.reasons, hidden=hidden, host=host, port=port))
        self._bringing_up = self._spawn(self._bring_up())

    async def wait_until_ready(self) -> None:
        """Waits until the worker consumes its partitions. Raises what failed() raises."""
        while self.reasons():
            if self._fatal.done():
                await self._fatal
            await asyncio.sleep(0.02)

    async def failed(self) -> None:
        """Waits until the worker cannot go on, and raises why."""
        await asyncio.shield(self._fatal)

    async def stop(self) -> None:
        """Stops within 15 seconds; what was committed in PostgreSQL is acknowledged and published."""
        self._health.report("worker", "stopping")
        if self._bringing_up is not None:
            self._bringing_up.cancel()
            await asyncio.gather(self._bringing_up, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self._has_begun:
                    await self._app.stop()
                await self._publisher.drain()
        except TimeoutError:
            log.warning("stopped_in_haste", seconds=STOP_SECONDS)
        finally:
            if self._has_begun:
                self._consumer.abandon()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._producer.close()
        await self._brokers.close()
        await self._database.close()
        await self._traces.close()

    @property
    def _consumer(self) -> BatchConsumer:
        return cast("BatchConsumer", self._app.consumer)

    @property
    def partitions(self) -> int:
        """How many partitions this worker reads now."""
        return len(self._app.consumer.assignment()) if self._consumes else 0

    def _lag(self, topic: str) -> tuple[int, float]:
        """Records of a topic that this worker has not acknowledged, and the age of the oldest in seconds."""
        if not self._consumes:
            return 0, 0.0
        records, oldest = self._consumer.lag(self._settings.kafka_topic_prefix + topic)
        return records, 0.0 if oldest is None else metrics.age_seconds(oldest)

    def reasons(self) -> Mapping[str, str]:
        """Why the worker is not ready, by part; empty when it is."""
        reasons = self._health.reasons
        if self._consumes and (silent := self._goals.age_seconds()) > SILENT_SECONDS:
            reasons.setdefault("database", f"PostgreSQL has not answered for {silent:.0f} s")
        if self._consumes and not self.partitions:
            reasons["partitions"] = (
                "no partitions are assigned: the group rebalances, or has more workers than partitions"
            )
        return reasons

    async def _bring_up(self) -> None:
        url = self._settings.database_url.get_secret_value()
        await self._retry("migrations", lambda: require_current(url))
        await self._retry("topics", lambda: require_topics(self._kafka, prefix=self._settings.kafka_topic_prefix))
        tame_garbage_collector()
        await self._retry("goals", self._goals.refresh)
        gc.freeze()  # a million goals that live as long as the worker: the collector never looks at them
        self._spawn(self._publisher.publish_waiting())
        self._spawn(self._publisher.sweep_for_ever())
        self._spawn(self._publisher.measure_for_ever())
        self._spawn(self._keep_goals_fresh())
        self._spawn(self._brokers.keep_asking(self._retry))
        housekeeping = timedelta(seconds=self._settings.housekeeping_seconds)
        self._spawn(every_now_and_then(self._housekeeper.clean, every=housekeeping, failure="housekeeping_failed"))
        self._spawn(every_now_and_then(self._statistics.refresh, every=ROLL_UP, failure="roll_up_failed"))
        self._has_begun = True
        await self._retry("app", self._start_app)
        self._consumes = True
        tame_garbage_collector()
        self._health.report("worker", None)
        log.info("worker_started", group=self._settings.kafka_group_id)

    async def _start_app(self) -> None:
        """An app starts once: where Kafka goes away meanwhile, the next attempt has a new one. Raises BrokerUnavailable."""
        try:
            await start_app(self._app)
        except BrokerUnavailable:
            self._app = self._build_app()
            raise

    async def _keep_goals_fresh(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                await self._goals.keep_fresh()
            await self._retry("goals", self._goals.refresh)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._check)
        self._tasks.append(task)
        return task

    def _check(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._health.report("worker", f"stopped: {error}")
        if not self._fatal.done():
            self._fatal.set_exception(error)


def _traces(settings: Settings) -> tuple[Traces, Callable[[str, float], None] | None]:
    """Traces, and who hears of statements for them. What they need is loaded only where they are wanted."""
    if settings.otlp_endpoint is None:
        return UNTRACED, None
    from goalstream.observability.otlp import OtlpTraces

    traces = OtlpTraces.to(
        settings.otlp_endpoint, share=settings.trace_share, version=__version__, group_id=settings.kafka_group_id
    )
    return traces, traces.statement


def tame_garbage_collector() -> None:
    """Looks for garbage once more, and never again at what is left; from now on seldom at what is new.

    Decoding makes tens of thousands of objects that live for one batch and hold no cycles. With Python's default thresholds
    the collector walks through all of them again and again, at a quarter of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)

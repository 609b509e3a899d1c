"""`goalstream dev`: everything in one process, started in order, shown as it becomes true, and gone at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from goalstream.config import Settings
from goalstream.dev import guide
from goalstream.dev.crm import Crm
from goalstream.dev.feed import Feed
from goalstream.dev.kafka import EmbeddedKafka
from goalstream.dev.narrator import Kind, Line, Narrator
from goalstream.dev.options import PARTITIONS, DevOptions, make_settings, require_free, require_loopback
from goalstream.dev.postgres import EmbeddedPostgres
from goalstream.dev.screen import Screen, ScreenClosed
from goalstream.dev.simulation import Story
from goalstream.dev.world import World, make_world
from goalstream.domain.goals import GoalType
from goalstream.domain.messages import GOAL_EXIT_TOPIC
from goalstream.errors import OperatorError
from goalstream.observability.logs import configure_logs
from goalstream.streams.topics import ALL_TOPICS

__all__ = ["Demo", "DevOptions", "run"]

STOP_SECONDS = 2.0
"""For each part; what it does not finish by then is cut, since nothing here is to last."""

HEALTH_SECONDS = 10.0
FIRST_GOAL_SECONDS = 15.0
"""After so long the feed begins, also where nobody has achieved anything."""


async def run(options: DevOptions) -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP, then stops everything within 5 seconds; leaves no process and no file.

    Raises OperatorError, in one line, for what a person must change.
    """
    require_loopback(options.http_host)
    require_free(options.http_host, options.http_port)
    configure_logs("console", "error")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started with nohup
        loop.add_signal_handler(number, stopped.set)
    demo = Demo(options, Screen())
    running = asyncio.create_task(demo.run())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    running.cancel()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
        demo.farewell()
    except ScreenClosed:
        # Whatever the interpreter still wants to flush has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Demo:
    """One run, from the first ticked line to the last sentence."""

    def __init__(self, options: DevOptions, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._world: World = make_world(options.seed)
        self._narrator = Narrator(self._world)
        self._begin = time.monotonic()
        self._first_goal = asyncio.Event()
        self._early: deque[Line] = deque(maxlen=20)
        self._is_live = False
        self._addresses: guide.Addresses | None = None

    @property
    def _age(self) -> float:
        return time.monotonic() - self._begin

    async def run(self) -> None:
        """Until cancelled, or until something fails, which it raises."""
        self._screen.title()
        async with contextlib.AsyncExitStack() as stack:
            postgres = EmbeddedPostgres(self._options.keep)
            starting = asyncio.create_task(asyncio.to_thread(postgres.start))
            stack.push_async_callback(_close_postgres, postgres, starting)
            kafka = EmbeddedKafka(dict.fromkeys(ALL_TOPICS, PARTITIONS))
            kafka.start()
            stack.callback(kafka.close)
            self._tick("Kafka", f"in-process, {len(ALL_TOPICS)} topics   {kafka.bootstrap_servers}", since=0)
            await asyncio.to_thread(_import_what_takes_long)
            await starting
            kept = "throw-away" if self._options.keep is None else f"in {self._options.keep}"
            hint = "--keep DIR saves it" if self._options.keep is None else ""
            about = f"{postgres.version}, {kept}   127.0.0.1:{postgres.port}"
            self._tick("PostgreSQL", about, since=0, hint=hint)
            settings = make_settings(self._options, kafka=kafka.bootstrap_servers, database_url=postgres.url)
            await self._prepare(settings)
            await self._work(settings, stack)

    def farewell(self) -> None:
        """What was seen, and what to do next."""
        if self._addresses is None:
            return
        kept = self._options.keep
        what = "nothing stays behind" if kept is None else f"the database stays in {kept}"
        self._screen.block(f"Stopped; {what}.", [guide.seen(self._narrator.counts, self._age)])
        self._screen.block("Next", guide.next_steps(self._world, self._addresses, seed=self._options.seed))

    async def _prepare(self, settings: Settings) -> None:
        from goalstream.dev.goals import ensure_goals
        from goalstream.storage.migrate import known_migrations, migrate

        since = self._age
        await migrate(settings.database_url.get_secret_value())
        documents = await ensure_goals(settings, self._world)
        for document in documents:
            self._narrator.configure(document)
        kinds = "one per type" if len(documents) == len(GoalType) else "your own among them"
        about = f"{len(known_migrations())} migrations, {len(documents)} demo goals ({kinds})"
        self._tick("Schema", about, since=since)

    async def _work(self, settings: Settings, stack: contextlib.AsyncExitStack) -> None:
        from goalstream.api.server import serve
        from goalstream.streams.connection import Kafka
        from goalstream.streams.letter_desk import LetterDesk
        from goalstream.worker import Worker

        feed, crm = Feed(settings.kafka_bootstrap_servers, self._narrator), Crm(settings.kafka_bootstrap_servers)
        for part in (feed, crm):
            stack.push_async_callback(_stop, part.stop)
            await part.start()
        worker = Worker(settings)
        stack.push_async_callback(_stop, worker.stop)
        listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = serve(
            settings,
            on_listening=listening.set_result,
            hidden=lambda _: False,
            letters=LetterDesk(Kafka.of(settings), topic_prefix=settings.kafka_topic_prefix),
        )
        tasks = [self._spawn(work, stack) for work in (worker.failed(), serving, self._follow(feed, crm))]
        await worker.start()
        story = Story(self._world, seed=self._options.seed, start=datetime.now(UTC), rate=self._options.rate)
        if self._options.simulate:
            tasks.append(self._spawn(crm.play(story), stack))
        else:
            await crm.play(story.beginning())
        await _unless_one_fails(tasks, self._show_start(settings, worker, listening))
        await _unless_one_fails(tasks, self._report_health(worker))

    async def _show_start(self, settings: Settings, worker: Any, listening: asyncio.Future[int]) -> None:
        since = self._age
        await worker.wait_until_ready()
        self._tick("Worker", f"{worker.partitions} partitions", since=since)
        port = await asyncio.shield(listening)
        if self._options.simulate:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._first_goal.wait(), FIRST_GOAL_SECONDS)
                self._tick("First goal", "achieved", since=0, hint="from start")
        self._addresses = addresses_of(settings, port, self._world)
        self._screen.block("", guide.where(self._addresses))
        self._screen.block("Try it in another terminal", guide.try_now(self._world, self._addresses))
        self._screen.blank()
        if not self._options.simulate:
            self._screen.note("Waiting for your events.")
        self._is_live = True
        for line in self._early:
            self._show(line)

    async def _follow(self, feed: Feed, crm: Crm) -> None:
        async for record, line in feed.follow():
            if record.topic == GOAL_EXIT_TOPIC and self._options.simulate:
                await crm.let_out(json.loads(record.value), datetime.now(UTC))
            if line is None:
                continue
            if line.kind is Kind.ACHIEVED:
                self._first_goal.set()
            if self._is_live:
                self._show(line)
            else:
                self._early.append(line)

    async def _report_health(self, worker: Any) -> None:
        while True:
            before = self._narrator.counts["events"]
            await asyncio.sleep(HEALTH_SECONDS)
            rate = (self._narrator.counts["events"] - before) / HEALTH_SECONDS
            trouble = "; ".join(worker.reasons().values())
            self._screen.health(self._narrator.counts, clock=_clock(), events_per_second=rate, trouble=trouble)

    def _tick(self, name: str, detail: str, *, since: float, hint: str = "") -> None:
        self._screen.tick(name, detail, self._age - since, hint)

    def _show(self, line: Line) -> None:
        self._screen.show(line, clock=_clock(), now=time.monotonic())

    def _spawn(self, work: Coroutine[Any, Any, None], stack: contextlib.AsyncExitStack) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        stack.push_async_callback(_cancel, task)
        return task


def addresses_of(settings: Settings, http_port: int, world: World) -> guide.Addresses:
    """Where this run is, with a token for an hour."""
    from goalstream.api.tokens import issue_token

    assert settings.jwt_secret is not None  # noqa: S101 - set by make_settings
    token = issue_token(
        settings.jwt_secret.get_secret_value(),
        account_id=world.account_id,
        subject="dev",
        scope="goals:read goals:write operator",
        expires_in_seconds=3600,
        now=int(time.time()),
    )
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    return guide.Addresses(
        http=f"http://{host}:{http_port}",
        kafka=settings.kafka_bootstrap_servers,
        database_url=settings.database_url.get_secret_value(),
        token=token,
    )


async def _unless_one_fails(tasks: list[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    """Does the work, unless one of the tasks that should go on for ever ends: then raises why."""
    mine = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait([mine, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
            if task is not mine:
                raise OperatorError("a part of `goalstream dev` ended by itself: start it again")
    finally:
        await _cancel(mine)


async def _close_postgres(postgres: EmbeddedPostgres, starting: asyncio.Task[None]) -> None:
    await asyncio.wait([starting])
    if not starting.cancelled():
        starting.exception()
    await asyncio.to_thread(postgres.close)


async def _stop(stop: Callable[[], Awaitable[None]]) -> None:
    """Stops a part, for a while; whatever it says then is of no interest any more."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(stop(), STOP_SECONDS)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=STOP_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()


def _import_what_takes_long() -> None:
    import goalstream.api.server
    import goalstream.worker  # noqa: F401


def _clock() -> str:
    return datetime.now(UTC).astimezone().strftime("%H:%M:%S")

"""One run: everything in one process, started in order, shown as it becomes true, and stopped in the opposite order."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import time
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from goalstream.config import Settings
from goalstream.dev import beside, guide
from goalstream.dev.crm import Crm
from goalstream.dev.feed import Feed
from goalstream.dev.health import Health, Pulse, health_of
from goalstream.dev.kafka import EmbeddedKafka
from goalstream.dev.keys import Keys
from goalstream.dev.live import View
from goalstream.dev.narrator import Kind, Line, Narrator
from goalstream.dev.options import PARTITIONS, DevOptions, make_settings
from goalstream.dev.postgres import EmbeddedPostgres
from goalstream.dev.screen import Screen
from goalstream.dev.session import Session
from goalstream.dev.simulation import Story
from goalstream.dev.terminal import Terminal
from goalstream.dev.world import World, make_world
from goalstream.domain.goals import GoalType
from goalstream.domain.messages import GOAL_EXIT_TOPIC
from goalstream.errors import OperatorError
from goalstream.observability.metrics import LAG_RECORDS
from goalstream.streams.topics import ALL_TOPICS

HEALTH_SECONDS = 10.0
FIRST_GOAL_SECONDS = 15.0
"""After so long the feed begins, also where nobody has achieved anything."""

LOOK_SECONDS = 1.0
"""The start stays on the screen for so long before the live one covers it."""

EARLY_LINES = 20
TOKEN_SECONDS = 7 * 24 * 3600
SCOPE = "goals:read goals:write webhooks:read webhooks:write operator"


class Demo:
    """One run, from the first ticked line to the last sentence. `terminal` is where it is shown live, if anywhere."""

    def __init__(
        self, options: DevOptions, screen: Screen, *, terminal: Terminal | None, stop: Callable[[], None]
    ) -> None:
        self._options = options
        self._screen = screen
        self._terminal = terminal
        self._stop = stop
        self._world: World = make_world(options.seed)
        self._narrator = Narrator(self._world)
        self._begin = time.monotonic()
        self._first_goal = asyncio.Event()
        self._pulse = Pulse()
        self._early: deque[Line] = deque(maxlen=EARLY_LINES)
        self._shower: Callable[[Line], None] = self._early.append
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
            self._tick("Kafka", f"in-process, {len(ALL_TOPICS)} topics", since=0, address=kafka.bootstrap_servers)
            await asyncio.to_thread(importlib.import_module, "goalstream.worker")
            await starting
            kept = "throw-away" if self._options.keep is None else f"in {self._options.keep}"
            hint = "--keep DIR saves it" if self._options.keep is None else ""
            address = f"127.0.0.1:{postgres.port}"
            self._tick("PostgreSQL", f"{postgres.version}, {kept}", since=0, address=address, hint=hint)
            # Without TLS no certificates are looked for in a home directory that may be closed.
            url = f"{postgres.url}?sslmode=disable"
            settings = make_settings(self._options, kafka=kafka.bootstrap_servers, database_url=url)
            await self._prepare(settings)
            await self._work(settings, stack)

    def farewell(self) -> None:
        """What was seen, and what to do next."""
        if self._addresses is None:
            return
        kept = self._options.keep
        what = "nothing stays behind" if kept is None else f"the database stays in {kept}"
        self._screen.block(f"Stopped; {what}.", [guide.seen(self._narrator.counts, self._age)])
        steps = guide.next_steps(self._world, self._addresses, self._narrator.question, options=self._options)
        self._screen.block("Next", steps)

    async def _prepare(self, settings: Settings) -> None:
        from goalstream.dev.goals import ensure_goals
        from goalstream.storage.migrate import known_migrations, migrate

        since = self._age
        try:
            await migrate(settings.database_url.get_secret_value())
        except OperatorError as error:
            kept = self._options.keep
            raise OperatorError(
                f"the database in {kept} was made by another goalstream ({error}): "
                "take that one, or another folder with --keep"
            ) from None
        documents = await ensure_goals(settings, self._world)
        for document in documents:
            self._narrator.configure(document)
        kinds = "one per type" if len(documents) == len(GoalType) else "your own among them"
        about = f"{len(known_migrations())} migrations, {len(documents)} demo goals ({kinds})"
        self._tick("Schema", about, since=since)

    async def _work(self, settings: Settings, stack: contextlib.AsyncExitStack) -> None:
        from goalstream.worker import Worker

        feed, crm = Feed(settings.kafka_bootstrap_servers, self._narrator), Crm(settings.kafka_bootstrap_servers)
        for part in (feed, crm):
            stack.push_async_callback(beside.stop, part.stop)
            await part.start()
        tasks = [self._spawn(self._follow(feed, crm), stack)]
        story = Story(self._world, seed=self._options.seed, start=datetime.now(UTC), rate=self._options.rate)
        if self._options.simulate:
            tasks.append(self._spawn(crm.play(story), stack))
        else:
            await crm.announce(story.beginning())
        worker = Worker(settings)
        stack.push_async_callback(beside.stop, worker.stop)
        await worker.start()
        listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        tasks += [self._spawn(work, stack) for work in (worker.failed(), _serve(settings, listening))]
        addresses = await beside.unless_one_fails(tasks, self._show_start(settings, worker, listening))
        tasks.append(self._spawn(_deliver(settings), stack))
        told = story if self._options.simulate else None
        going_on = (
            self._tell(worker) if self._terminal is None else self._live(self._terminal, addresses, worker, crm, told)
        )
        await beside.unless_one_fails(tasks, going_on)

    async def _show_start(self, settings: Settings, worker: Any, listening: asyncio.Future[int]) -> guide.Addresses:
        since = self._age
        await worker.wait_until_ready()
        self._tick("Worker", f"{worker.partitions} partitions", since=since)
        if self._options.simulate:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._first_goal.wait(), FIRST_GOAL_SECONDS)
                self._tick("First goal", "achieved, counted from the start", since=0)
        self._addresses = addresses_of(settings, await asyncio.shield(listening), self._world)
        self._screen.block("", guide.where(self._addresses))
        return self._addresses

    async def _tell(self, worker: Any) -> None:
        """Lines, for whoever has no terminal."""
        assert self._addresses is not None  # noqa: S101 - the start was shown
        self._screen.block("Try it", guide.try_now(self._world, self._addresses, self._narrator.question))
        self._screen.blank()
        if not self._options.simulate:
            self._screen.note("Waiting for your events.")
        self._show_lines(lambda line: self._screen.show(line, clock=_clock(), now=time.monotonic()))
        while True:
            self._health(worker)  # the rate is one of the time since
            await asyncio.sleep(HEALTH_SECONDS)
            self._screen.health(self._health(worker), clock=_clock())

    async def _live(
        self, terminal: Terminal, addresses: guide.Addresses, worker: Any, crm: Crm, story: Story | None
    ) -> None:
        """The screen with keys. What was shown until now stays on the usual one."""
        await asyncio.sleep(LOOK_SECONDS)
        keys = Keys(self._world, crm, self._narrator, story=story, console=addresses.console)

        def view(session: Session) -> View:
            return View(
                age_seconds=self._age,
                rate=None if story is None else story.rate,
                is_paused=crm.is_paused,
                console=addresses.http,
                goals=self._narrator.goal_counts(),
                health=self._health(worker),
                feed=session.feed,
                notice=session.notice,
            )

        def show_help() -> None:
            lines = guide.help_lines(self._world, addresses, self._narrator.question)
            self._screen.block(guide.seen(self._narrator.counts, self._age), lines)
            self._screen.block("", ["Any key leads back, q ends it."])

        session = Session(terminal, view=view, press=keys.press, show_help=show_help, stop=self._stop)
        self._show_lines(lambda line: session.show(line, clock=_clock(), now=time.monotonic()))
        if story is None:
            session.notice = "waiting for your events: press e, or ? for a command"
        await session.run()
        self._screen.note("Stopping …")
        await asyncio.Event().wait()

    def _show_lines(self, show: Callable[[Line], None]) -> None:
        """From now on; what came before now, as far as it is remembered, too."""
        for line in self._early:
            show(line)
        self._shower = show

    async def _follow(self, feed: Feed, crm: Crm) -> None:
        async for record, lines in feed.follow():
            if record.topic == GOAL_EXIT_TOPIC and self._options.simulate:
                await crm.let_out(json.loads(record.value), datetime.now(UTC))
            for line in lines:
                if line.kind is Kind.ACHIEVED:
                    self._first_goal.set()
                self._shower(line)

    def _health(self, worker: Any) -> Health:
        return health_of(
            self._narrator.counts,
            self._narrator.latencies_ms,
            events_per_second=self._pulse.beat(time.monotonic(), self._narrator.counts["events"]),
            lag_records=round(sum(s.value for family in LAG_RECORDS.collect() for s in family.samples)),
            trouble="; ".join(worker.reasons().values()),
        )

    def _tick(self, name: str, about: str, *, since: float, address: str = "", hint: str = "") -> None:
        self._screen.tick(name, about, self._age - since, address=address, hint=hint)

    def _spawn(self, work: Coroutine[Any, Any, None], stack: contextlib.AsyncExitStack) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        stack.push_async_callback(beside.cancel, task)
        return task


def addresses_of(settings: Settings, http_port: int, world: World) -> guide.Addresses:
    """Where this run is, with a token of the demo account for a week: the secret that it is signed with ends with the run."""
    from goalstream.api.tokens import issue_token

    assert settings.jwt_secret is not None  # noqa: S101 - set by make_settings
    token = issue_token(
        settings.jwt_secret.get_secret_value(),
        account_id=world.account_id,
        subject="dev",
        scope=SCOPE,
        expires_in_seconds=TOKEN_SECONDS,
        now=int(time.time()),
    )
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    return guide.Addresses(
        http=f"http://{host}:{http_port}",
        kafka=settings.kafka_bootstrap_servers,
        database_url=settings.database_url.get_secret_value(),
        token=token,
    )


async def _close_postgres(postgres: EmbeddedPostgres, starting: asyncio.Task[None]) -> None:
    await asyncio.wait([starting])
    if not starting.cancelled():
        starting.exception()
    await asyncio.to_thread(postgres.close)


async def _deliver(settings: Settings) -> None:
    """Webhooks, which nobody waits for at the start."""
    await asyncio.to_thread(importlib.import_module, "goalstream.deliverer")
    from goalstream.deliverer import Deliverer

    await Deliverer(settings).run()


async def _serve(settings: Settings, listening: asyncio.Future[int]) -> None:
    """The API, which is loaded meanwhile: nobody needs it for the first goal."""
    await asyncio.to_thread(importlib.import_module, "goalstream.serving")
    from goalstream.serving import serve_api

    await serve_api(settings, on_listening=listening.set_result, hidden=lambda _: False)


def _clock() -> str:
    return datetime.now(UTC).astimezone().strftime("%H:%M:%S")

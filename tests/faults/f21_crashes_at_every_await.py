"""F21: a state machine over facts, settlements and the outbox, in which everything can crash at any of its awaits.

Two workers of the product's own classes on a real PostgreSQL, and a Kafka of lists. Hypothesis chooses what happens, and
where it is broken off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.faults.crashing_world import Connections, CrashingWorld, Link, wait_for_no_disk
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, Stage, stage
from tests.oracle import generator
from tests.oracle.history import ENROLLMENT_STARTED, EVENT_TOPICS, STATUS_CHANGED

EXAMPLES = {Size.CI: 60, Size.FULL: 2_000}
PHASES = {Size.CI: (Phase.generate,), Size.FULL: (Phase.generate, Phase.shrink)}
STEPS = 12
HISTORIES = 1_000
SIZES = (10, 30, 60)

_awaits = st.none() | st.integers(0, 8) | st.integers(0, 30)
"""Where something crashes, if at all; what is over before does not crash."""

_few_awaits = st.none() | st.integers(0, 8)
_known = st.sampled_from([(), EVENT_TOPICS, (ENROLLMENT_STARTED, STATUS_CHANGED)])
"""What is through before anything crashes: of two sides that need each other, the second is then the one that matters."""

_links = st.sampled_from(Link)


@dataclass(slots=True, kw_only=True)
class Scene:
    """Where examples are played, and what they come to together."""

    loop: asyncio.Runner
    connections: Connections
    now: datetime
    seed: int
    show: Callable[[int], None]
    examples: int = 0
    crashes: int = 0
    rows: int = 0
    messages: int = 0
    sent_again: int = 0

    def count(self, world: CrashingWorld) -> None:
        """Adds an example that is over."""
        messages = {message.message_id for message in world.evidence.messages}
        self.crashes += sum(worker.crashes for worker in world.workers)
        self.rows += len(world.evidence.rows)
        self.messages += len(messages)
        self.sent_again += len(world.evidence.messages) - len(messages)


class Crashes(RuleBasedStateMachine):
    """What can happen to two workers."""

    scene: ClassVar[Scene]

    def __init__(self) -> None:
        super().__init__()
        self.scene.examples += 1
        self.scene.show(self.scene.examples)
        self._is_well = True

    @initialize(number=st.integers(0, HISTORIES - 1), size=st.sampled_from(SIZES), known=_known)
    def tell(self, number: int, size: int, known: tuple[str, ...]) -> None:
        told = generator.history(self.scene.seed * HISTORIES + number, size, now=self.scene.now, references=False)
        self._world = CrashingWorld(self.scene.connections, told)
        self._do(self._world.begin())
        self._do(self._world.work_off(known))

    @rule(
        worker=st.integers(0, 1),
        topic=st.integers(0, 9),
        most=st.integers(1, 12),
        crash_at=_awaits,
        acknowledges=st.booleans(),
    )
    def process(self, worker: int, topic: int, most: int, crash_at: int | None, acknowledges: bool) -> None:
        self._do(self._world.process(worker, topic, most, crash_at, acknowledges=acknowledges))

    @rule(
        topics=st.tuples(st.integers(0, 9), st.integers(0, 9)),
        most=st.integers(1, 12),
        crashes=st.tuples(_awaits, _awaits),
    )
    def process_at_once(self, topics: tuple[int, int], most: int, crashes: tuple[int | None, int | None]) -> None:
        self._do(*(self._world.process(n, topics[n], most, crashes[n], acknowledges=True) for n in (0, 1)))

    @rule(
        topics=st.lists(st.integers(0, 9), min_size=2, max_size=4),
        sweeps=st.booleans(),
        crash_at=_few_awaits,
        link=_links,
    )
    def process_and_publish(self, topics: list[int], sweeps: bool, crash_at: int | None, link: Link) -> None:
        one, other = self._world.workers
        for topic in topics:
            self._do(self._world.process(0, topic, 30, None, acknowledges=True))
        self._do(other.sweep(crash_at, link) if sweeps else one.publish(crash_at, link))

    @rule(worker=st.integers(0, 1), crash_at=_few_awaits, link=_links)
    def publish(self, worker: int, crash_at: int | None, link: Link) -> None:
        self._do(self._world.workers[worker].publish(crash_at, link))

    @rule(worker=st.integers(0, 1), crash_at=_few_awaits, link=_links)
    def sweep(self, worker: int, crash_at: int | None, link: Link) -> None:
        self._do(self._world.workers[worker].sweep(crash_at, link))

    @rule(crashes=st.tuples(_few_awaits, _few_awaits))
    def publish_and_sweep_at_once(self, crashes: tuple[int | None, int | None]) -> None:
        one, other = self._world.workers
        self._do(one.publish(crashes[0]), other.sweep(crashes[1]))

    @rule(topic=st.integers(0, 9), back=st.integers(1, 10))
    def set_back(self, topic: int, back: int) -> None:
        self._world.set_back(topic, back)

    @invariant()
    def what_is_acknowledged_is_stored_and_what_is_true_is_told(self) -> None:
        self._require_none(self.scene.loop.run(self._world.look()))

    def teardown(self) -> None:
        if self._is_well:
            self._do(self._world.work_off())
            self._require_none(self.scene.loop.run(self._world.judge()))
            self.scene.count(self._world)

    def _do(self, *works: Awaitable[None]) -> None:
        """Everything at once. Whatever it raises is a defect: crashes are none."""

        async def all_of_it() -> None:
            await asyncio.gather(*works)

        self._is_well = False
        self.scene.loop.run(all_of_it())
        self._is_well = True

    def _require_none(self, found: Findings) -> None:
        self._is_well = found.is_clean
        assert found.is_clean, "\n".join(found.sentences())


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    async with stage(ground, "awaits", topics=False) as here:
        await wait_for_no_disk(here.database)
        return await asyncio.to_thread(_play, here, size, seed)


def _play(here: Stage, size: Size, seed: int) -> Outcome:
    """All examples, in a thread with a loop of its own: hypothesis knows nothing of loops."""
    findings = Findings()
    with asyncio.Runner() as loop:
        # What dead processes have left waiting, nobody looks at any more.
        loop.get_loop().set_exception_handler(lambda *_: None)
        scene = Scene(
            loop=loop,
            connections=Connections(here.database_url),
            now=datetime.now(UTC),
            seed=seed,
            show=lambda done: here.show("crashing", done, EXAMPLES[size]),
        )
        machine = hypothesis.seed(seed)(type("Crashes", (Crashes,), {"scene": scene}))
        settings = hypothesis.settings(
            max_examples=EXAMPLES[size],
            stateful_step_count=STEPS,
            phases=PHASES[size],
            deadline=None,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(machine, settings=settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, hypothesis has noted how to come to it
            findings.wrong = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
        loop.run(scene.connections.close())
    return Outcome(
        findings=findings,
        figures={
            "examples": scene.examples,
            "crashes": scene.crashes,
            "rows": scene.rows,
            "messages": scene.messages,
            "sent_again": scene.sent_again,
        },
    )


ROW = Row(fault="F21", title="anything crashes at any of its awaits", run=run)

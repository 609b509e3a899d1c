"""What workers must be like while a service is away, whichever it is: frank about it, alive, quiet, idle, and no larger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from tests.faults.rows import Outcome, Size
from tests.faults.stage import NotQuiet, Stage
from tests.faults.stream import Stream, recovered, telling
from tests.faults.watch import Watch

NOT_READY_SECONDS = 2
"""Within so many seconds of an outage /readyz must tell of it."""

MOST_GROWTH_BYTES = 64 << 20
MOST_CPU_SHARE = 0.2
READY_SECONDS = 20
"""For /readyz to say yes again, once all is worked off; generous, since how fast work resumes is measured by itself."""

GIVE_UP_SECONDS = 120
TELLING_SECONDS = {Size.CI: 3, Size.FULL: 8}
"""How long each part is told: into the outage, most of it."""

QUICK_LINES = 5
"""Different warnings may come at once; over the whole time there is no more than one line a second."""


class Outages:
    """Carries out outages one by one, each under its part of a stream, and adds what they show to the outcome."""

    def __init__(
        self,
        stage: Stage,
        size: Size,
        watches: Sequence[Watch],
        outcome: Outcome,
        parts: Sequence[Stream],
        *,
        within: float = GIVE_UP_SECONDS,
    ) -> None:
        """There is one of the parts for each outage; work must resume within so many seconds after a service is back."""
        self._stage = stage
        self._size = size
        self._watches = watches
        self._outcome = outcome
        self._parts = iter(parts)
        self._within = within
        self.reasons: set[str] = set()
        """Everything that /readyz said during the last outage."""

    async def happen(
        self, name: str, fault: Callable[[], Awaitable[None]], *, after: float, must_notice: bool = True
    ) -> None:
        """The fault takes a service away and brings it back, so many seconds after its part of the stream has begun.

        Where `must_notice`, /readyz must tell of it.
        """
        async with telling(next(self._parts), TELLING_SECONDS[self._size]):
            await asyncio.sleep(after)
            began = time.monotonic()
            self._stage.note(name)
            await fault()
            back = time.monotonic()
            self._stage.note(f"{name}: over", seconds=round(back - began, 2))
            self.reasons = {reason for watch in self._watches for reason in watch.period(began).reasons}
            for watch in self._watches:
                self._check_down(name, watch, began, must_notice=must_notice)
        seconds = await recovered(self._stage, back, GIVE_UP_SECONDS)
        self._outcome.recoveries.append(seconds)
        if self._size is Size.FULL and seconds > self._within:
            self._miss(f"{name}: work resumed only after {seconds:.1f} s, not within {self._within} s")
        for watch in self._watches:
            if not await watch.until_ready(max(READY_SECONDS, self._within - seconds)):
                raise NotQuiet(f"{watch.worker.name} is not ready after {name}: {watch.period(back).reasons}")
            self._check_whole(name, watch, began)

    def _check_down(self, name: str, watch: Watch, began: float, *, must_notice: bool) -> None:
        period = watch.period(began)
        self._stage.note(f"{name}: while down", worker=watch.worker.name, **asdict(period))
        self._most("cpu_share_while_down", round(period.cpu_share, 3))
        if not must_notice:
            return
        after = period.not_ready_after_seconds
        if after is None:
            self._miss(f"{name}: {watch.worker.name} was ready all the time")
            return
        self._most("not_ready_after_seconds", round(after, 2))
        if self._size is Size.FULL and after > NOT_READY_SECONDS:
            self._miss(f"{name}: {watch.worker.name} was ready for {after:.1f} s more")
        if self._size is Size.FULL and period.cpu_share > MOST_CPU_SHARE:
            self._miss(f"{name}: {watch.worker.name} took {period.cpu_share:.0%} of a core meanwhile")

    def _check_whole(self, name: str, watch: Watch, began: float) -> None:
        period = watch.period(began)
        self._stage.note(f"{name}: all in all", worker=watch.worker.name, **asdict(period))
        self._most("growth_mebibytes", round(period.growth_bytes / (1 << 20), 1))
        self._most("log_lines", period.lines)
        if period.growth_bytes > MOST_GROWTH_BYTES:
            self._miss(f"{name}: {watch.worker.name} grew by {period.growth_bytes >> 20} MiB")
        if period.lines > max(period.seconds, QUICK_LINES):
            self._miss(f"{name}: {watch.worker.name} logged {period.lines} lines in {period.seconds:.1f} s")
        if not period.is_live:
            self._miss(f"{name}: {watch.worker.name} did not say that it is live")

    def _most(self, figure: str, value: float) -> None:
        self._outcome.figures[figure] = max(value, self._outcome.figures.get(figure, 0))

    def _miss(self, sentence: str) -> None:
        self._outcome.findings.limits_missed.append(sentence)

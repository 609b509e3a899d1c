"""A `goalstream worker` as a process of its own, and what it costs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

STOP_SECONDS = 20


class WorkerProcess:
    """A worker that can be killed and started again; CPU adds up over all its lives."""

    def __init__(self, environment: dict[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOALSTREAM_")}
        self._environment = inherited | environment
        self._earlier_cpu_seconds = 0.0
        self._rests = False
        self.max_rss_bytes = 0
        """The most seen by `sample`, in one life."""
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "goalstream", "worker"], env=self._environment)
        self._seen = psutil.Process(self._process.pid)

    def sample(self) -> float:
        """CPU seconds so far, user and system, of all lives; also notes the memory. Exits if the worker has ended."""
        if self._rests:
            return self._earlier_cpu_seconds
        if (code := self._process.poll()) is not None:
            raise SystemExit(f"the worker ended by itself, exit code {code}")
        self.max_rss_bytes = max(self.max_rss_bytes, self._seen.memory_info().rss)
        times = self._seen.cpu_times()
        return self._earlier_cpu_seconds + float(times.user + times.system)

    def kill_and_restart(self) -> None:
        """kill -9, and the next life begins at once."""
        self._earlier_cpu_seconds = self.sample()
        self._process.kill()
        self._process.wait()
        self._start()

    async def restart(self) -> int:
        """SIGTERM, and the next life begins when this one has ended; returns the exit code."""
        self._earlier_cpu_seconds, self._rests = self.sample(), True
        code = await self.stop()
        self._start()
        self._rests = False
        return code

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, STOP_SECONDS)

    def close(self) -> None:
        """Ends it, whatever it does; more than once is harmless."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def running_worker(environment: dict[str, str]) -> Iterator[WorkerProcess]:
    """A worker that is gone after the block."""
    with running_workers(environment, 1) as (worker,):
        yield worker


@contextmanager
def running_workers(
    environment: dict[str, str], count: int, *, are_static: bool = False
) -> Iterator[list[WorkerProcess]]:
    """Workers of one group that are gone after the block; static members have names that outlive a restart."""
    with ExitStack() as ends:
        workers = []
        for number in range(count):
            name = {"GOALSTREAM_KAFKA_GROUP_INSTANCE_ID": f"worker-{number}"} if are_static else {}
            workers.append(WorkerProcess(environment | name))
            ends.callback(workers[-1].close)
        yield workers


class MachineLoad:
    """How busy all cores are from now on, whoever keeps them busy: a result on a machine that others use means little."""

    def __init__(self) -> None:
        psutil.cpu_percent(None)

    def busy_share(self) -> float:
        """From 0 to 1, since the beginning or the last call."""
        return psutil.cpu_percent(None) / 100

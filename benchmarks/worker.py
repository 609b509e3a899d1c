"""A `goalstream worker`, or another program, as a process of its own, and what it costs with all its children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import psutil

STOP_SECONDS = 20
WORKER = ("goalstream", "worker")


class WorkerProcess:
    """A worker that can be killed and started again; CPU adds up over all its lives."""

    def __init__(self, environment: dict[str, str], command: Sequence[str] = WORKER, folder: str | None = None) -> None:
        """`command` is a module and its arguments; it runs in `folder`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOALSTREAM_")}
        self._environment = inherited | environment
        self._command = [sys.executable, "-m", *command]
        self._folder = folder
        self._earlier_cpu_seconds = 0.0
        self._rests = False
        self.max_rss_bytes = 0
        """The most seen by `sample`, in one life, of the process and its children together."""
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environment, cwd=self._folder)
        self._seen = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        """Of the life that it has."""
        return self._process.pid

    def sample(self) -> float:
        """CPU seconds so far, user and system, of all lives; also notes the memory. Exits if the worker has ended."""
        if self._rests:
            return self._earlier_cpu_seconds
        if (code := self._process.poll()) is not None:
            raise SystemExit(f"{' '.join(self._command[2:])} ended by itself, exit code {code}")
        cpu_seconds, rss_bytes = tree_usage(self._seen)
        self.max_rss_bytes = max(self.max_rss_bytes, rss_bytes)
        return self._earlier_cpu_seconds + cpu_seconds

    def kill_and_restart(self) -> None:
        """kill -9, the children too, and the next life begins at once."""
        self._earlier_cpu_seconds = self.sample()
        self.close()
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
        """Ends it and its children, whatever they do; more than once is harmless."""
        if self._process.poll() is None:
            children = self._seen.children(recursive=True)
            self._process.kill()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
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


@contextmanager
def running_program(environment: dict[str, str], command: Sequence[str]) -> Iterator[WorkerProcess]:
    """A program of ours in a folder for whatever it leaves behind; both are gone after the block."""
    with tempfile.TemporaryDirectory(prefix="goalstream-benchmark-") as folder:
        path = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
        program = WorkerProcess({"PYTHONPATH": path} | environment, command, folder)
        try:
            yield program
        finally:
            program.close()


def tree_usage(process: psutil.Process) -> tuple[float, int]:
    """CPU seconds, user and system, and resident bytes of a process and all its children, the ended ones' CPU too."""
    seconds, rss_bytes = 0.0, 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
            rss_bytes += one.memory_info().rss
    return seconds, rss_bytes


class MachineLoad:
    """How busy all cores are from now on, whoever keeps them busy: a result on a machine that others use means little."""

    def __init__(self) -> None:
        psutil.cpu_percent(None)

    def busy_share(self) -> float:
        """From 0 to 1, since the beginning or the last call."""
        return psutil.cpu_percent(None) / 100

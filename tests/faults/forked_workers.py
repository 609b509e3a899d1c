"""Workers whose lives are forked off a process that has imported everything: most of a start would be imports.

They run the very command. Something may be wrapped in a life before it begins, so that it fails at a point of its path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import TimeoutExpired

from tests.faults import stock_faust
from tests.faults.workers import Running, WorkerProcess

_FORKING = get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.faults.failpoints", "goalstream.cli", "goalstream.worker"])

Arm = Callable[[], None]
"""Wraps what shall fail. Travels to the process, so it is a function of a module, or a part of one."""


class ForkedWorker(WorkerProcess):
    """A worker whose lives begin quickly."""

    is_static = False
    """Whether it is a static member of its group: its next life then goes on at once where it was, and need not wait until the
    session of the last one is over."""

    arm: Arm | None = None

    def _launched(self) -> Running:
        instance = self.name if self.is_static else None
        process = _FORKING.Process(
            target=_be_worker, args=(self.module, instance, self.environment, self.log, self.arm)
        )
        process.start()
        self.arm = None
        return _Forked(process)


class FailingWorker(ForkedWorker):
    """A worker that may fail in each of its lives at another point."""

    is_static = True

    def start_failing(self, arm: Arm) -> None:
        """Begins a life in which something will fail."""
        self.arm = arm
        self.start()


class _Forked:
    """A process that was forked elsewhere, with the face of `Popen`."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None, "not started"
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutExpired("worker", timeout or 0)
        return code


def _be_worker(module: str, instance: str | None, environment: Mapping[str, str], log: Path, arm: Arm | None) -> None:
    from goalstream.cli import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(log.parent)
    said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for standard in (sys.stdout, sys.stderr):
        os.dup2(said, standard.fileno())
    if instance is not None:
        os.environ["GOALSTREAM_KAFKA_GROUP_INSTANCE_ID"] = instance
    if module == stock_faust.MODULE:
        stock_faust.take_over()
    if arm is not None:
        arm()
    sys.argv = ["goalstream", "worker"]
    main()

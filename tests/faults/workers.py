"""A `goalstream worker` as a process that faults can happen to; what it says goes to a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

STOP_SECONDS = 20
_ROOT = Path(__file__).parents[2]


class Running(Protocol):
    """A process as `subprocess.Popen` shows it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def send_signal(self, sig: int, /) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class WorkerProcess:
    """One worker through all its lives."""

    module = "goalstream"
    """What is run; `tests.faults.stock_faust` for comparison."""

    command = "worker"

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOALSTREAM_")}
        self.name = name
        self.log = log
        self.environment = {**inherited, **environment}
        self._root = _ROOT
        self._process: Running | None = None
        self._shall_live = False

    @property
    def pid(self) -> int:
        """Of the life that it has, or last had."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def probe_port(self) -> int:
        """Where it serves its probes; 0: nowhere."""
        return int(self.environment["GOALSTREAM_METRICS_PORT"])

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return None if self._process is None else self._process.poll()

    @property
    def is_meant_to_live(self) -> bool:
        """Whether it was started and nobody here has ended it since."""
        return self._shall_live

    @property
    def can_be_told_to_stop(self) -> bool:
        """Whether it lives and is far enough to take a SIGTERM for what it means: before that Python ends at once."""
        if not self._shall_live or self.exit_code is not None:
            return False
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))

    @property
    def ended_by_itself(self) -> bool:
        """Whether it is gone and nobody here has ended it."""
        return self._shall_live and self.exit_code is not None

    def run_tree(self, root: Path) -> None:
        """Its next lives run the code of another tree, of which nobody measures the coverage."""
        self._root = root
        self.environment = {name: value for name, value in self.environment.items() if not name.startswith("COVERAGE_")}

    def start(self) -> None:
        """Begins a life; returns at once."""
        self._shall_live = True
        self._process = self._launched()

    def _launched(self) -> Running:
        with self.log.open("ab") as log:
            # In the folder of its log, where no .env lies.
            return subprocess.Popen(
                [sys.executable, "-m", self.module, self.command],
                env={**self.environment, "PYTHONPATH": str(self._root)}, cwd=self.log.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self._shall_live = False
        self._signal(signal.SIGKILL)
        self._wait()

    def pause(self) -> None:
        """SIGSTOP: it hangs without dying."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused worker go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; returns the exit code. Raises TimeoutExpired, whereupon it is still alive."""
        self._shall_live = False
        self._signal(signal.SIGTERM)
        return self._wait()

    def close(self) -> None:
        """Ends it, whatever it does; more than once is harmless."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def _wait(self) -> int:
        assert self._process is not None, "not started"
        return self._process.wait(STOP_SECONDS)

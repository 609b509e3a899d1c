"""How long `goalstream dev` takes from the command to the first achieved goal, and how much memory it takes then.

python -m benchmarks.first_goal [--runs 10] [--cold]

`--cold`: without compiled modules, and with nothing of Python, packages and programs in memory, as right after an installation.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, NamedTuple

import psutil

GOALS = {False: 5.0, True: 10.0}
MEMORY_GOAL_BYTES = 400 * 1024 * 1024
SETTLE_SECONDS = 5.0
MEBIBYTE = 1024 * 1024


class Measured(NamedTuple):
    """`resident_bytes` counts what processes share in each of them, `proportional_bytes` once."""

    seconds: float
    resident_bytes: int
    proportional_bytes: int


def forget_files() -> None:
    """Has the kernel drop what it remembers of everything that is loaded at a start."""
    for root in {Path(sys.prefix), Path(sys.base_prefix) / "lib", Path(__file__).parents[1] / "goalstream"}:
        for folder, _, names in os.walk(root):
            for name in names:
                try:
                    descriptor = os.open(Path(folder) / name, os.O_RDONLY | os.O_NOFOLLOW)
                except OSError:
                    continue
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def measure(*, is_cold: bool) -> Measured:
    """One run, from the command to the line about the first goal, and the memory a few seconds later."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if is_cold:
            forget_files()
            environment["PYTHONPYCACHEPREFIX"] = compiled
        begin = time.monotonic()
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("goalstream")), "dev", "--plain"],
            env=environment,
            stdout=subprocess.PIPE,
        )
        with process:
            try:
                assert process.stdout is not None
                wait_for(b"First goal", process.stdout)
                seconds = time.monotonic() - begin
                time.sleep(SETTLE_SECONDS)
                return Measured(seconds, *memory_of(psutil.Process(process.pid)))
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate()


def memory_of(process: psutil.Process) -> tuple[int, int]:
    """Of a process and all below it."""
    resident = proportional = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # PostgreSQL's come and go
            memory = one.memory_full_info()
            resident, proportional = resident + memory.rss, proportional + memory.pss
    return resident, proportional


def wait_for(text: bytes, output: IO[bytes]) -> None:
    for line in output:
        if text in line:
            return
    raise SystemExit(f"it ended without {text.decode()!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    runs: list[Measured] = []
    is_missed = False
    for number in range(options.runs):
        runs.append(measure(is_cold=options.cold))
        load = os.getloadavg()[0]
        print(f"{number + 1:>3}: {runs[-1].seconds:5.2f} s  {runs[-1].resident_bytes // MEBIBYTE} MB  load {load:.1f}")
    for name, values, unit, goal in (
        ("command to first goal", [run.seconds for run in runs], "s", GOALS[options.cold]),
        ("resident memory", [run.resident_bytes / MEBIBYTE for run in runs], "MB", MEMORY_GOAL_BYTES / MEBIBYTE),
        ("of it without what is shared", [run.proportional_bytes / MEBIBYTE for run in runs], "MB", None),
    ):
        aim = "" if goal is None else f", aim {goal:g}"
        print(f"{name}: median {statistics.median(values):.1f} {unit}, worst {max(values):.1f}{aim}")
        is_missed |= goal is not None and statistics.median(values) > goal
    sys.exit(is_missed)


if __name__ == "__main__":
    main()

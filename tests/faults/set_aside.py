"""Records that a fault itself makes dead letters: what must hold of them, and sending them again once it is over."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterable

from goalstream.streams.topics import READ_TOPICS
from tests.faults.evidence import Evidence
from tests.faults.expectation import BadLetter, Expected
from tests.faults.judge import Findings, judge
from tests.faults.stage import Stage
from tests.faults.topics import Stored
from tests.oracle.history import GoalVersion, Record

REDRIVE_SECONDS = 60
MARK = "goalstream_mark"

Fails = Callable[[Record], bool]
"""Whether a record is meant to fail."""


async def only_what_failed(here: Stage, fails: Fails, reason: str) -> Findings:
    """The dead letters are the right ones. What follows from the facts cannot be said yet: some of them are missing."""
    expected, seen = await expected_after(here, (), fails, reason), await evidence_without_marks(here)
    return Findings(dead_letters_wrong=judge(expected, seen).dead_letters_wrong)


async def expected_after(here: Stage, versions: Iterable[GoalVersion], fails: Fails, reason: str) -> Expected:
    """What the oracle says, and a dead letter for every record that failed; none for those that were sent again."""
    expected = await here.expected(versions)
    for one in await asyncio.to_thread(here.topics.read, READ_TOPICS):
        if fails(one.record) and not one.record.headers:
            expected.dead_letters[one.origin] = BadLetter(record=one.record, reason=reason)
    return expected


async def evidence_without_marks(here: Stage) -> Evidence:
    """What is there, but for the marks that a redrive leaves on the dead-letter topic."""
    seen = await here.evidence()
    seen.dead_letters = [one for one in seen.dead_letters if not _is_mark(one)]
    return seen


def _is_mark(one: Stored) -> bool:
    return one.record.headers[-1][0] == MARK


def redrive(here: Stage, reason: str) -> None:
    """As an operator does it. Raises RuntimeError."""
    command = [sys.executable, "-m", "goalstream", "dead-letters", "redrive", "--reason", reason, "--yes"]
    worker = here.workers[0]
    done = subprocess.run(
        command, env=worker.environment, cwd=worker.log.parent,
        capture_output=True, text=True, timeout=REDRIVE_SECONDS, check=False,
    )  # fmt: skip
    here.note("redriven", exit_code=done.returncode, said=done.stdout + done.stderr)
    if done.returncode:
        raise RuntimeError(f"redrive: exit code {done.returncode}, {done.stdout} {done.stderr}")

"""Rows of the table: what each is, where they are found, and running one."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import statistics
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import tests.faults
from tests.faults.breakable import Breakable
from tests.faults.judge import Findings
from tests.faults.stage import Ground, NotQuiet, Show


class Size(StrEnum):
    """How much of a row is run."""

    CI = "ci"
    FULL = "full"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a row found. `recoveries` in seconds, one for each fault that was recovered from; `figures` as measured."""

    findings: Findings = field(default_factory=Findings)
    recoveries: list[float] = field(default_factory=list)
    figures: dict[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. `run` is deterministic in its seed, as far as machines allow."""

    fault: str
    """As `F16`."""

    title: str
    run: Callable[[Ground, Size, int], Awaitable[Outcome]]
    full_only: str = ""
    """Why there is no size for CI, where there is none."""

    def has(self, size: Size) -> bool:
        """Whether there is such a size of it."""
        return size is Size.FULL or not self.full_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A line of the table."""

    fault: str
    title: str
    size: Size
    seed: int
    seconds: float
    outcome: Outcome
    folder: Path | None
    """Where the logs and the timeline are, if they were kept."""

    @property
    def is_clean(self) -> bool:
        return self.outcome.findings.is_clean

    def recovery(self) -> tuple[float, float] | None:
        """Median and maximum in seconds, where there is any."""
        seconds = self.outcome.recoveries
        return (statistics.median(seconds), max(seconds)) if seconds else None


def rows() -> Sequence[Row]:
    """All rows there are, in the order of their numbers: every module of this folder whose name begins with f and a number."""
    names = [module.name for module in pkgutil.iter_modules(tests.faults.__path__)]
    modules = [importlib.import_module(f"tests.faults.{name}") for name in names if _is_row(name)]
    return sorted((module.ROW for module in modules), key=lambda row: int(row.fault[1:]))


def _is_row(module_name: str) -> bool:
    return module_name.startswith("f") and module_name[1:].partition("_")[0].isdigit()


async def run_row(
    row: Row,
    size: Size,
    seed: int,
    *,
    kafka: str,
    postgres: str,
    breakable: Breakable,
    show: Show,
    keep: bool = False,
) -> Result:
    """Runs a row; logs and timeline are kept where it is not clean, or where `keep` says so."""
    folder = Path(tempfile.mkdtemp(prefix=f"goalstream-{row.fault}-"))
    ground = Ground(kafka=kafka, postgres=postgres, breakable=breakable, folder=folder, show=show)
    began = time.monotonic()
    is_kept = True
    try:
        try:
            outcome = await row.run(ground, size, seed)
        except NotQuiet as missing:
            outcome = Outcome(findings=Findings(lost=[str(missing)]))
        except Exception as error:  # noqa: BLE001 - whatever breaks off a row, the next ones are run, and this one failed
            _write(folder / "traceback.txt", "".join(traceback.format_exception(error)))
            outcome = Outcome(findings=Findings(limits_missed=[f"broken off: {error!r}"]))
        is_kept = keep or not outcome.findings.is_clean
        if not outcome.findings.is_clean:
            _write(folder / "findings.txt", "\n".join(outcome.findings.sentences()) + "\n")
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)
    return Result(
        fault=row.fault,
        title=row.title,
        size=size,
        seed=seed,
        seconds=time.monotonic() - began,
        outcome=outcome,
        folder=folder if is_kept else None,
    )


def _write(path: Path, text: str) -> None:
    """Also where a cleaner of temporary files has been at work during a long run."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

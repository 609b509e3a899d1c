"""The command that looks whether everything around goalstream is well: doctor."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from goalstream.cli.terminal import out, settings_in_force
from goalstream.errors import SettingsError
from goalstream.observability.findings import Verdict

if TYPE_CHECKING:
    from goalstream.doctor import Result

SIGNS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.WRONG: "✗", Verdict.UNKNOWN: "?"}
STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.WRONG: "red", Verdict.UNKNOWN: "dim"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="as one JSON document")] = False) -> None:
    """Checks settings, database, topics, clocks and workers, and says what to do; exit 1 when something is wrong."""
    from goalstream.doctor import checks, examine, examine_without_settings, worst

    try:
        settings = settings_in_force()
    except SettingsError as error:
        _show(asyncio.run(examine_without_settings(error)), Verdict.WRONG, as_json)
        raise typer.Exit(2) from None
    results = asyncio.run(examine(checks(settings, _now)))
    verdict = worst(results)
    _show(results, verdict, as_json)
    if verdict is Verdict.WRONG:
        raise typer.Exit(1)


def _show(results: Sequence[Result], verdict: Verdict, as_json: bool) -> None:
    if as_json:
        found = [
            {"check": name, "verdict": each.verdict, "sentence": each.sentence, "advice": each.advice or None}
            for name, each in results
        ]
        sys.stdout.write(json.dumps({"verdict": verdict, "checks": found}, indent=2, ensure_ascii=False) + "\n")
        return
    width = max(len(name) for name, _ in results)
    for name, finding in results:
        out.print(f"{SIGNS[finding.verdict]} {name:{width}}  ", style=STYLES[finding.verdict], markup=False, end="")
        advice = f" → {finding.advice}" if finding.advice else ""
        out.print(f"{finding.sentence}{advice}", markup=False)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a composition root reads the clock

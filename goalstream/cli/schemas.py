"""Commands about the contracts of the topics: list, show, validate."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.table import Table

from goalstream.cli.terminal import err, out, printable, wide
from goalstream.errors import Problem

app = typer.Typer(
    help="The contracts of the topics, as JSON Schemas; and whether events keep them.", no_args_is_help=True
)


@app.command("list")
def list_contracts(as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Lists every topic with its direction, the version of its schema, and what it tells."""
    from goalstream.contracts import known_contracts

    contracts = known_contracts()
    if as_json:
        for one in contracts:
            found = {"topic": one.topic, "direction": one.direction, "version": one.version, "title": one.title}
            sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("TOPIC", "DIRECTION", "VERSION", "TITLE"):
        table.add_column(name, no_wrap=True)
    for one in contracts:
        table.add_row(one.topic, one.direction, f"v{one.version}", one.title)
    wide.print(table)


@app.command()
def show(
    topic: Annotated[str, typer.Argument(help="as `list` shows it")],
    version: Annotated[int | None, typer.Option(help="by default the newest", min=1)] = None,
) -> None:
    """Shows the JSON Schema of a topic."""
    from goalstream.contracts import find_contract

    sys.stdout.write(find_contract(topic, version).text)


@app.command()
def validate(
    files: Annotated[list[str], typer.Argument(help="files of JSON lines; - for standard input")],
    topic: Annotated[str | None, typer.Option(help="of all lines; by default each tells it by its type")] = None,
) -> None:
    """Checks events (JSON lines) without sending them; tells what breaks a contract as file:line: pointer: what."""
    from goalstream.contracts import find_contract, problems_of
    from goalstream.streams.send import numbered_lines

    valid = bad = 0
    if topic is not None:
        find_contract(topic)
    with ExitStack() as stack:
        for place, line in numbered_lines(files, stack):
            problems = problems_of(line, topic)
            for problem in problems:
                err.print(_told(place, problem), style="red", markup=False)
            bad, valid = bad + bool(problems), valid + (not problems)
    out.print(f"{valid} valid, {bad} bad")
    if bad:
        raise typer.Exit(1)


def _told(place: str, problem: Problem) -> str:
    parts = (place, problem.pointer, problem.message) if problem.pointer else (place, problem.message)
    return printable(": ".join(parts))

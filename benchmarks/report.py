"""How results are shown: a table on standard output, and JSON in a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

Value = float | int | str | bool | None


def show(title: str, sections: Mapping[str, Mapping[str, Value]]) -> None:
    """One table, its sections apart from each other."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, values in sections.items():
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]")
        for label, value in values.items():
            table.add_row(f"  {label.replace('_', ' ')}", _shown(value))
    Console(highlight=False).print(table)


def write_json(path: Path | None, results: Mapping[str, Mapping[str, Value]] | Sequence[Mapping[str, Value]]) -> None:
    """Writes the same to a file, where one was asked for."""
    if path is not None:
        path.write_text(json.dumps(results, indent=2) + "\n")


def parser_with_services(description: str | None, *, kafka: bool = True) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if kafka:
        parser.add_argument("--kafka", metavar="HOST:PORT", help="a real Kafka; by default one of our own")
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database; by default one of our own")
    parser.add_argument("--seed", type=int, default=1, help="of ids, events, and moments to kill")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser


def _shown(value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else value

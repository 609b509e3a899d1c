"""Commands about events: send."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from goalstream.cli.terminal import err, out, settings_in_force


def send(
    files: Annotated[list[str], typer.Argument(help="files of JSON lines; - for standard input")],
) -> None:
    """Sends events (JSON lines) to the topics of their types; a bad line is reported, the rest is sent."""
    from goalstream.streams.connection import Kafka
    from goalstream.streams.send import send_files

    settings = settings_in_force()
    report = asyncio.run(
        send_files(
            files,
            kafka=Kafka.of(settings),
            prefix=settings.kafka_topic_prefix,
            on_problem=lambda problem: err.print(problem, style="red", markup=False),
            console=err,
        )
    )
    out.print(f"{report.sent} sent, {report.bad} bad")
    if report.bad:
        raise typer.Exit(1)

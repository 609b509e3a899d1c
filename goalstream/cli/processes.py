"""Commands that run until they are told to stop: worker, api, deliverer, dev."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated

import typer

from goalstream.cli.terminal import err, settings_in_force


def worker() -> None:
    """Consumes, decides, publishes; as many as there are partitions."""
    settings = settings_in_force(is_process=True)

    async def run() -> None:
        from goalstream.worker import Worker

        instance = Worker(settings)
        await instance.start()
        try:
            await _until_signal(instance.failed())
        finally:
            await instance.stop()

    asyncio.run(run())


def deliverer() -> None:
    """Sends messages to webhooks; as many as one likes."""
    settings = settings_in_force(is_process=True)

    async def run() -> None:
        from goalstream.deliverer import Deliverer

        sending = asyncio.create_task(Deliverer(settings).run())
        try:
            await _until_signal(asyncio.shield(sending))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    asyncio.run(run())


def api() -> None:
    """Serves the HTTP API."""
    settings = settings_in_force(is_process=True)

    async def run() -> None:
        from goalstream.api.server import serve
        from goalstream.contracts import examples
        from goalstream.intake import intake_of
        from goalstream.streams.connection import Kafka
        from goalstream.streams.letter_desk import LetterDesk

        intake = intake_of(settings)
        serving = asyncio.create_task(
            serve(
                settings,
                intake=intake,
                letters=LetterDesk(Kafka.of(settings), topic_prefix=settings.kafka_topic_prefix),
                on_listening=lambda port: err.print(f"listening on http://{settings.http_host}:{port}"),
                examples=examples,
            )
        )
        try:
            await _until_signal(asyncio.shield(serving))
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await intake.close()

    asyncio.run(run())


def dev(
    rate: Annotated[float, typer.Option(help="simulated events per second", min=0.1, max=2_000)] = 40,
    seed: Annotated[int, typer.Option(help="seed of the simulated story")] = 7,
    keep: Annotated[Path | None, typer.Option(help="keep the database in this folder")] = None,
    sim: Annotated[bool, typer.Option("--sim/--no-sim", help="simulate a CRM")] = True,
    plain: Annotated[bool, typer.Option("--plain", help="lines instead of a live screen with keys")] = False,
    host: Annotated[str, typer.Option(help="address of this machine that the API listens on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="HTTP port; 0: a free one", min=0, max=65_535)] = 0,
) -> None:
    """Everything on this machine, without Docker: embedded Kafka and PostgreSQL, a simulated CRM, the API."""
    from goalstream.dev.options import DevOptions, require_posix

    require_posix(os.name)
    from goalstream.dev.run import run  # terminals, accounts and locks: modules that only POSIX has

    options = DevOptions(rate=rate, seed=seed, keep=keep, simulate=sim, plain=plain, http_host=host, http_port=port)
    asyncio.run(run(options))


async def _until_signal(failure: Awaitable[None]) -> None:
    """Waits for SIGTERM or SIGINT, or for a failure, which it raises. A second signal ends the process at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stopped.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    waiting = [asyncio.ensure_future(failure), asyncio.create_task(stopped.wait())]
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()

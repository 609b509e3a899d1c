"""Commands that run until they are told to stop: worker, api, deliverer, dev."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Annotated, Any

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

        await _until_ended(Deliverer(settings).run())

    asyncio.run(run())


def api() -> None:
    """Serves the HTTP API."""
    settings = settings_in_force(is_process=True)

    async def run() -> None:
        from goalstream.serving import serve_api

        await _until_ended(
            serve_api(settings, on_listening=lambda port: err.print(f"listening on http://{settings.http_host}:{port}"))
        )

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


async def _until_ended(work: Coroutine[Any, Any, None]) -> None:
    """Does the work until a signal comes, or until it fails, which it raises."""
    task = asyncio.create_task(work)
    try:
        await _until_signal(asyncio.shield(task))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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

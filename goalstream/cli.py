"""The command line: one function per command. Exit codes: 0 done, 1 failed, 2 wrong usage or settings; never a traceback."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer
from rich.console import Console

from goalstream.config import Settings, describe_settings, load_settings
from goalstream.errors import GoalstreamError, SettingsError, Unavailable
from goalstream.observability.logs import configure_logs

app = typer.Typer(
    name="goalstream",
    help="Decides that an enrolled contact has achieved a workflow's goal, and tells the workflow engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

GIVE_UP_SECONDS = 30
"""After this, a command other than `worker` and `api` stops waiting for a service."""

_Result = TypeVar("_Result")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """Runs a command and turns what goes wrong into one line and an exit code."""
    try:
        app()
    except SettingsError as error:
        for problem in error.problems:
            err.print(f"goalstream: {problem}", style="red", markup=False)
        sys.exit(2)
    except GoalstreamError as error:
        err.print(f"goalstream: {error}", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - a defect of ours: the log has the details, the person gets one line
        structlog.get_logger().error("defect", exc_info=error)
        err.print(f"goalstream: a defect of goalstream: {type(error).__name__}: {error}", style="red", markup=False)
        sys.exit(1)


@app.command()
def worker() -> None:
    """Consumes, decides, publishes; as many as there are partitions."""
    settings = _settings()

    async def run() -> None:
        from goalstream.worker import Worker

        instance = Worker(settings)
        await instance.start()
        try:
            await _until_signal(instance.failed())
        finally:
            await instance.stop()

    asyncio.run(run())


@app.command()
def api() -> None:
    """Serves the HTTP API."""
    settings = _settings()

    async def run() -> None:
        from goalstream.api.server import serve

        serving = asyncio.create_task(
            serve(settings, on_listening=lambda port: err.print(f"listening on http://{settings.http_host}:{port}"))
        )
        try:
            await _until_signal(asyncio.shield(serving))
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(run())


@app.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="only tell; exit 1 when something is pending")] = False,
) -> None:
    """Brings the database up to date; safe from many places at once."""
    from goalstream.storage import migrate as migrations

    url = _settings().database_url.get_secret_value()
    if check:
        pending = _within_deadline(lambda: migrations.pending(url))
        for name in pending:
            out.print(f"pending  {name}")
        if pending:
            raise typer.Exit(1)
        out.print("up to date")
        return
    applied = _within_deadline(lambda: migrations.migrate(url))
    for name in applied:
        out.print(f"applied  {name}")
    if not applied:
        out.print("up to date")


@app.command()
def topics() -> None:
    """Creates the topics that are missing, and tells where existing ones differ."""
    from goalstream.streams.topics import create_topics

    settings = _settings()
    reports = _within_deadline(
        lambda: create_topics(
            settings.kafka_bootstrap_servers,
            prefix=settings.kafka_topic_prefix,
            partitions=settings.topic_partitions,
            replication_factor=settings.topic_replication_factor,
        )
    )
    for report in reports:
        state = "created" if report.created else "differs" if report.differences else "exists"
        detail = "; ".join(report.differences) or f"{report.partitions} partitions"
        out.print(f"{state:8} {report.name}  {detail}")


@app.command()
def send(
    files: Annotated[list[str], typer.Argument(help="files of JSON lines; - for standard input")],
) -> None:
    """Sends events (JSON lines) to the topics of their types; a bad line is reported, the rest is sent."""
    from goalstream.streams.send import send_files

    settings = _settings()
    report = asyncio.run(
        send_files(
            files,
            bootstrap_servers=settings.kafka_bootstrap_servers,
            prefix=settings.kafka_topic_prefix,
            on_problem=lambda problem: err.print(problem, style="red", markup=False),
            console=err,
        )
    )
    out.print(f"{report.sent} sent, {report.bad} bad")
    if report.bad:
        raise typer.Exit(1)


@app.command()
def token(
    account: Annotated[str, typer.Option(help="the account's UUID")],
    subject: Annotated[str, typer.Option(help="who acts")] = "developer",
    scope: Annotated[str, typer.Option(help="what it may do")] = "goals:read goals:write",
    expires_in: Annotated[int, typer.Option(help="seconds", min=1)] = 3600,
) -> None:
    """Prints a bearer token for development, from the HS256 secret."""
    from goalstream.api.tokens import issue_token
    from goalstream.domain.texts import is_uuid

    secret = _settings().jwt_secret
    if secret is None:
        raise SettingsError("GOALSTREAM_JWT_SECRET: is not set; choose one of at least 32 bytes")
    if not is_uuid(account):
        raise SettingsError(f"--account: {account} is no UUID")
    sys.stdout.write(
        issue_token(
            secret.get_secret_value(),
            account_id=account.lower(),
            subject=subject,
            scope=scope,
            expires_in_seconds=expires_in,
            now=int(time.time()),  # noqa: TID251 - a composition root reads the clock
        )
        + "\n"
    )


@app.command()
def config() -> None:
    """Shows the settings in force, where each comes from and what it means; secrets stay hidden."""
    for line in describe_settings():
        out.print(f"{line.name}={line.value}", markup=False, end="")
        out.print(f"  # {line.origin}: {line.meaning}", style="dim", markup=False)


@app.command()
def dev(
    rate: Annotated[float, typer.Option(help="simulated events per second", min=0.1, max=2_000)] = 40,
    seed: Annotated[int, typer.Option(help="seed of the simulated story")] = 7,
    keep: Annotated[Path | None, typer.Option(help="keep the database in this folder")] = None,
    sim: Annotated[bool, typer.Option("--sim/--no-sim", help="simulate a CRM")] = True,
    port: Annotated[int, typer.Option(help="HTTP port; 0: a free one", min=0, max=65_535)] = 0,
) -> None:
    """Everything on this machine, without Docker: embedded Kafka and PostgreSQL, a simulated CRM, the API."""
    from goalstream.dev.run import DevOptions, run

    asyncio.run(run(DevOptions(rate=rate, seed=seed, keep=keep, simulate=sim, http_port=port)))


def _settings() -> Settings:
    settings = load_settings()
    configure_logs(settings.log_format, settings.log_level)
    return settings


def _within_deadline(action: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
    """Repeats an action while its service is away, for 30 seconds at most. Raises what it raised last."""

    async def run() -> _Result:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return await action()
            except Unavailable:
                if time.monotonic() + 1 > deadline:
                    raise
            await asyncio.sleep(1)

    return asyncio.run(run())


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

"""Running the API: waits for its database instead of dying, and stops gracefully."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from goalstream import __version__
from goalstream.api.app import create_app
from goalstream.api.console.page import Examples
from goalstream.api.dead_letters import DeadLetters
from goalstream.api.events import Intake
from goalstream.api.gate import Gate
from goalstream.config import Settings
from goalstream.errors import OperatorError, Unavailable
from goalstream.observability.health import Health
from goalstream.observability.metrics import announce_build, is_none_of_api, watch_connections
from goalstream.observability.probes import serve_app
from goalstream.storage.migrate import require_current
from goalstream.storage.pool import Database

log = structlog.get_logger()

CHECK_SECONDS = 1.0


async def serve(
    settings: Settings,
    *,
    intake: Intake | None = None,
    on_listening: Callable[[int], None] | None = None,
    hidden: Callable[[str], bool] = is_none_of_api,
    letters: DeadLetters | None = None,
    examples: Callable[[], Examples] = dict,
) -> None:
    """Serves until cancelled; open requests are finished first. `intake` takes events, and is closed by whoever made it; `letters`
    are what operators handle; `on_listening` hears of the port; `hidden` are the metrics of others; `examples` what the console
    offers to send.

    While the database is away or not migrated it answers 503 and says why on /readyz; also while the public keys of tokens were
    never read, since whoever has read them is the better one to ask. Raises SettingsError, or OperatorError when the port is
    taken.
    """
    database = Database(settings.database_url.get_secret_value(), size=settings.database_pool_size)
    health = Health()
    health.report("database", "starting")
    announce_build(__version__)
    watch_connections(lambda: database.connections)
    app = create_app(
        settings,
        database,
        intake=intake,
        letters=letters,
        reasons=lambda: health.reasons | gate.reasons,
        hidden=hidden,
        examples=examples,
    )
    gate: Gate = app.state.gate
    tasks = [
        asyncio.create_task(_watch(settings.database_url.get_secret_value(), health)),
        asyncio.create_task(gate.keep_fresh()),
    ]
    try:
        await serve_app(
            app,
            host=settings.http_host,
            port=settings.http_port,
            on_listening=on_listening,
            on_stopping=app.state.feeds.close,
        )
    except OSError as error:
        raise OperatorError(f"{error}; set GOALSTREAM_HTTP_PORT") from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gate.close()
        await database.close()


async def _watch(url: str, health: Health) -> None:
    """Keeps the readiness true, once a second; says in the log when it changes."""
    while True:
        reason = None
        try:
            await require_current(url)
        except (Unavailable, OperatorError) as error:
            reason = str(error)
        if reason != health.reasons.get("database"):
            log.info("ready") if reason is None else log.warning("not_ready", reason=reason)
        health.report("database", reason)
        await asyncio.sleep(CHECK_SECONDS)

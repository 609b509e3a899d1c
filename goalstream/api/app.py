"""The application: routes, errors, health and documents put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from goalstream import __version__
from goalstream.api import (
    activation,
    dead_letters,
    deliveries,
    events,
    feed,
    goals,
    history,
    hook_calls,
    hook_trials,
    hooks,
    listings,
    me,
    pages,
    stats,
    webhooks,
    why,
)
from goalstream.api.console import page
from goalstream.api.console.page import Examples
from goalstream.api.contract import complete_openapi
from goalstream.api.dead_letters import DeadLetters
from goalstream.api.events import Intake
from goalstream.api.feed import OpenFeeds
from goalstream.api.gate import Gate
from goalstream.api.hardening import REQUEST_ID, Hardening
from goalstream.api.hook_room import HookRoom
from goalstream.api.idempotency import REPLAYED
from goalstream.api.problems import add_problem_handlers
from goalstream.api.rate_limit import RateLimit
from goalstream.api.sealing import seal_of
from goalstream.config import Settings
from goalstream.observability.metrics import is_none_of_api
from goalstream.observability.probes import probe_routes
from goalstream.storage.pool import Database


def create_app(
    settings: Settings,
    database: Database,
    *,
    intake: Intake | None = None,
    letters: DeadLetters | None = None,
    reasons: Callable[[], Mapping[str, str]] = dict,
    hidden: Callable[[str], bool] = is_none_of_api,
    examples: Callable[[], Examples] = dict,
) -> FastAPI:
    """The HTTP API over a database whose connections see one account at a time.

    `intake` takes events, and `letters` are what operators handle: without, these operations answer 503. `reasons` tells why it is
    not ready, by part; `hidden` which metrics are not its own, by name; `examples` are events that the console offers to send.
    Raises SettingsError where tokens could not be checked. Who runs it keeps `app.state.gate` fresh, and closes it in the end,
    `app.state.feeds` first.
    """
    gate = Gate(settings, database)
    app = FastAPI(
        title="goalstream",
        version=__version__,
        summary="Goals of workflows: configuration, and how well they convert.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.database = database
    app.state.gate = gate
    app.state.rate_limit = RateLimit(settings.rate_limit_per_minute)
    app.state.seal = seal_of(settings)
    app.state.feeds = OpenFeeds()
    app.state.hook_room = HookRoom(settings.database_pool_size)
    app.state.intake = intake
    app.state.dead_letters = letters
    app.state.examples = examples
    app.state.max_body_bytes = settings.max_body_bytes
    app.include_router(stats.router)  # before the goals, whose {goal_id} would take its path
    app.include_router(history.router)
    app.include_router(goals.router)
    app.include_router(listings.router)
    app.include_router(why.router)
    app.include_router(activation.router)
    app.include_router(events.router)
    app.include_router(feed.router)
    app.include_router(dead_letters.router)
    app.include_router(webhooks.router)
    app.include_router(deliveries.router)
    app.include_router(hook_trials.router)
    app.include_router(hooks.router)
    app.include_router(hook_calls.router)
    app.include_router(me.router)
    app.include_router(pages.router)
    app.include_router(page.router)
    app.router.routes.extend(probe_routes(reasons, hidden=hidden))
    add_problem_handlers(app)
    app.add_middleware(Hardening)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins.split(","),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "If-Match",
                "If-None-Match",
                "Idempotency-Key",
                "Last-Event-ID",
                REQUEST_ID,
            ],
            expose_headers=["ETag", "Location", "Link", "Effective-From", "Retry-After", REPLAYED, REQUEST_ID],
            max_age=600,
        )
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete_openapi(describe())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
    return app

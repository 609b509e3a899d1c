"""The feed: server-sent events about what is decided and changed, for pages that stay open."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from goalstream.api.auth import Reader
from goalstream.api.contract import Responses, problems
from goalstream.api.gate import Gate
from goalstream.api.parts import query_uuid
from goalstream.api.problems import ApiError
from goalstream.api.tokens import InvalidToken
from goalstream.errors import Problem, Unavailable
from goalstream.storage.codecs import encode_json
from goalstream.storage.feed import Feed, FeedFilter, News

router = APIRouter(prefix="/api/v1")

LOOK_SECONDS = 0.5
QUIET_SECONDS = 15.0
"""After so long without news a comment is sent, so that nobody on the way takes the connection for dead."""

ADMIT_SECONDS = 10.0
"""How often it is asked whether the reader may still read: a token that expires, or a key that is revoked, ends the stream."""

MOST_OF_ACCOUNT = 20
MOST_OF_PROCESS = 200
"""Open feeds: each asks PostgreSQL twice a second."""

Action = Literal["achieved", "moved", "revoked", "restored", "goal_created", "goal_changed", "goal_deleted"]

_EVENTS: Responses = {
    200: {
        "description": "`decision`: an entry, whose `entry_id` tells repetitions after a resume; `skipped`: how many are not"
        " shown because too many came at once; comments while there is nothing to tell",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 41\nevent: decision\ndata: {"entry_id": 42, "action": "achieved", "revision": 1}\n\n',
            }
        },
    }
}


class OpenFeeds:
    """The feeds that a process serves: counted, and ended when it stops."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._is_closed = asyncio.Event()

    def enter(self, account_id: str) -> None:
        """Counts one more of an account. Raises ApiError: 429 where it has too many, 503 where the process has."""
        if self._open[account_id] >= MOST_OF_ACCOUNT:
            raise ApiError(429, f"The account has {MOST_OF_ACCOUNT} open feeds here", headers={"Retry-After": "10"})
        if self._open.total() >= MOST_OF_PROCESS:
            raise ApiError(503, f"{MOST_OF_PROCESS} feeds are open here", headers={"Retry-After": "10"})
        self._open[account_id] += 1

    def leave(self, account_id: str) -> None:
        self._open -= Counter({account_id: 1})

    async def pause(self, seconds: float) -> bool:
        """Waits; False when it is time to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_closed.wait()
        return not self._is_closed.is_set()

    def close(self) -> None:
        """Ends all of them, now and later."""
        self._is_closed.set()


def _wanted(
    workflow_id: Annotated[str | None, Query(json_schema_extra={"format": "uuid"})] = None,
    goal_id: Annotated[str | None, Query(json_schema_extra={"format": "uuid"})] = None,
    contact_id: Annotated[str | None, Query(json_schema_extra={"format": "uuid"})] = None,
    action: Annotated[list[Action] | None, Query(description="one or several; all without it")] = None,
) -> FeedFilter:
    """The filters of a query. Raises ApiError: 422."""
    return FeedFilter(
        workflow_id=query_uuid("workflow_id", workflow_id),
        goal_id=query_uuid("goal_id", goal_id),
        contact_id=query_uuid("contact_id", contact_id),
        actions=action,
    )


@router.get(
    "/feed",
    tags=["achievements"],
    operation_id="readFeed",
    summary="Follow what is achieved and changed",
    response_class=StreamingResponse,
    responses={**_EVENTS, **problems(422)},
)
async def read_feed(
    request: Request,
    reader: Reader,
    wanted: Annotated[FeedFilter, Depends(_wanted)],
    last_event_id: Annotated[
        str | None, Header(description="where a stream was cut; without it the last 50 entries come first")
    ] = None,
) -> StreamingResponse:
    """Server-sent events, for as long as the connection and the token hold. Nothing is missed between `Last-Event-ID` and
    now; some of it may come twice.
    """
    after = _after(last_event_id)
    feeds: OpenFeeds = request.app.state.feeds
    feeds.enter(reader.account_id)
    feed = Feed(database=request.app.state.database, account_id=reader.account_id, wanted=wanted, after=after)
    credentials = request.headers["authorization"].partition(" ")[2].strip()
    return _FeedResponse(_stream(feed, feeds, request.app.state.gate, credentials), feeds, reader.account_id)


class _FeedResponse(StreamingResponse):
    """A stream that is counted until it ends, however it ends."""

    def __init__(self, content: AsyncIterator[str], feeds: OpenFeeds, account_id: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type="text/event-stream", headers=headers)
        self._feeds = feeds
        self._account_id = account_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feeds.leave(self._account_id)


async def _stream(feed: Feed, feeds: OpenFeeds, gate: Gate, credentials: str) -> AsyncIterator[str]:
    """Whoever leaves meanwhile cuts no transaction: what is asked of PostgreSQL is answered, and nobody hears it."""
    admitted_at = told_at = time.monotonic()
    yield ": follows what is achieved and changed\n\n"
    while True:
        try:
            if time.monotonic() - admitted_at > ADMIT_SECONDS:
                await asyncio.shield(gate.admit(credentials))
                admitted_at = time.monotonic()
            text = _events(await asyncio.shield(feed.look()))
        except InvalidToken:
            return
        except Unavailable:
            text = ""
        if not text and time.monotonic() - told_at > QUIET_SECONDS:
            text = ": nothing new\n\n"
        if text:
            told_at = time.monotonic()
            yield text
        if not await feeds.pause(LOOK_SECONDS):
            return


def _events(news: News) -> str:
    events = [_event(news, "skipped", {"entries": news.skipped})] if news.skipped else []
    events += [_event(news, "decision", entry) for entry in news.entries]
    return "".join(events)


def _event(news: News, name: str, data: dict[str, Any]) -> str:
    return f"id: {news.resume_after}\nevent: {name}\ndata: {encode_json(data)}\n\n"


def _after(last_event_id: str | None) -> int | None:
    if last_event_id is None:
        return None
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        problem = Problem("/header/Last-Event-ID", "Last-Event-ID is not from this feed")
        raise ApiError(422, problem.message, problems=[problem])
    return int(last_event_id)

"""What holds for every request, whatever it asks for: its id, how long its body may take, headers that browsers obey, its log line.

Pure ASGI: it looks at messages as they pass, and keeps no body.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import MutableMapping
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goalstream.api.problems import ApiError, defect_response
from goalstream.observability.metrics import API_SECONDS

log = structlog.get_logger()

REQUEST_ID = "X-Request-ID"

MAX_BODY_SECONDS: Final = 30.0
"""Who sends a body more slowly is told so: a connection that trickles holds a request open for no longer."""

_is_request_id = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""What an answer carries unless its route says otherwise."""


class Hardening:
    """Around the whole application."""

    def __init__(self, app: ASGIApp, *, max_body_seconds: float = MAX_BODY_SECONDS) -> None:
        self._app = app
        self._max_body_seconds = max_body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; also where a defect of ours is in the way, which the log then tells with the request's id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        told_id = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = told_id if _is_request_id(told_id) else str(uuid4())
        answer = _Answer(scope, send, request_id)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, self._in_time(receive), answer.send)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=_template(scope))
            if answer.status is not None:
                raise
            await defect_response(request_id)(scope, receive, answer.send)
        finally:
            _report(scope, answer, time.perf_counter() - began)

    def _in_time(self, receive: Receive) -> Receive:
        """Raises ApiError, 408, where a body is not whole in time; afterwards it waits for the client's leave, however long."""
        deadline = asyncio.get_running_loop().time() + self._max_body_seconds
        has_more = True

        async def receive_in_time() -> Message:
            nonlocal has_more
            if not has_more:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise ApiError(408, "The body took too long", headers={"Connection": "close"}) from None
            has_more = bool(message.get("more_body", False))
            return message

        return receive_in_time


class _Answer:
    """An answer on its way out, with the headers that all have."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self.status: int | None = None
        self.is_stream = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            self.is_stream = headers.get("content-type", "").startswith("text/event-stream")
            headers[REQUEST_ID] = self._request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if _is_api(self._scope):
                # What has an ETag may be kept by whoever asked for it, and asked for again before it is used.
                headers.setdefault("Cache-Control", "private, no-cache" if "etag" in headers else "no-store")
        await self._send(message)


def _report(scope: Scope, answer: _Answer, seconds: float) -> None:
    """Paths without their ids, and no query: what a line tells is which operation, and how it went.

    How long a stream was open says nothing about how fast we are.
    """
    if not _is_api(scope):
        return
    operation = getattr(scope.get("route"), "operation_id", None) or "none"
    if not answer.is_stream:
        API_SECONDS.labels(operation, str(answer.status)).observe(seconds)
    log.info(
        "request", method=scope["method"], path=_template(scope), status=answer.status, ms=round(seconds * 1000, 1)
    )


def _is_api(scope: Scope) -> bool:
    return bool(scope["path"].startswith(("/api/", "/hooks/")))


def _template(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unknown"))

"""The pages that every process serves, /livez, /readyz and /metrics, and the server for them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import uvicorn
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goalstream.errors import OperatorError
from goalstream.observability.connections import MAX_HEAD_BYTES, Impatient
from goalstream.observability.metrics import of_process

GRACE_SECONDS = 10
"""For requests that are open when the server stops."""


class _Shown:
    """The metrics of one kind of process, as the encoder wants to be given them."""

    def __init__(self, hidden: Callable[[str], bool]) -> None:
        self._hidden = hidden

    def collect(self) -> Iterator[Metric]:
        return of_process(self._hidden)


def probe_routes(
    reasons: Callable[[], Mapping[str, str]], *, hidden: Callable[[str], bool] = lambda _: False
) -> list[Route]:
    """Live while it answers; ready while `reasons` is empty, else 503 with the reasons; metrics but those `hidden`, by name."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def readyz(_: Request) -> Response:
        found = dict(reasons())
        if found:
            return JSONResponse({"status": "not ready", "reasons": found}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(_Shown(hidden)), headers={"content-type": content_type})

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


async def serve_probes(
    reasons: Callable[[], Mapping[str, str]], *, hidden: Callable[[str], bool], host: str, port: int
) -> None:
    """Serves the probes alone, until cancelled. Raises OperatorError when the port is taken."""
    try:
        await serve_app(Starlette(routes=[*probe_routes(reasons, hidden=hidden)]), host=host, port=port)
    except OSError as error:
        raise OperatorError(f"{error}; set GOALSTREAM_METRICS_PORT") from None


class _Server(uvicorn.Server):
    """A server that leaves the process's signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_app(
    app: Any,
    *,
    host: str,
    port: int,
    on_listening: Callable[[int], None] | None = None,
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serves an ASGI application until cancelled, and then finishes open requests. Port 0 takes a free one.

    `on_listening` hears of the port, `on_stopping` of the end before open requests are waited for. Raises OSError when the port
    is taken.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        http=Impatient,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        if on_listening is not None:
            on_listening(listener.getsockname()[1])
        await asyncio.shield(serving)
    finally:
        on_stopping()
        server.should_exit = True
        await serving


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: only then asyncio sends what it is given at once (TCP_NODELAY); else an answer waits 40 ms for its second half.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port} ({error.strerror})") from None
    return listener

"""The pages of a process without an API of its own: /livez, /readyz and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping

import uvicorn
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def probes(reasons: Callable[[], Mapping[str, str]]) -> Starlette:
    """An application that is live while it answers, and ready while `reasons` is empty (else 503, with the reasons)."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def readyz(_: Request) -> Response:
        found = dict(reasons())
        if found:
            return JSONResponse({"status": "not ready", "reasons": found}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)

    return Starlette(
        routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)],
    )


class _Server(uvicorn.Server):
    """A server that leaves the process's signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_probes(reasons: Callable[[], Mapping[str, str]], *, host: str, port: int) -> None:
    """Serves the probes until cancelled. Raises OSError when the port is taken."""
    server = _Server(
        uvicorn.Config(probes(reasons), host=host, port=port, log_config=None, access_log=False, lifespan="off")
    )
    try:
        await server.serve()
    except SystemExit:
        raise OSError(f"cannot listen on {host}:{port}; is it taken? Set GOALSTREAM_METRICS_PORT") from None
    except asyncio.CancelledError:
        await server.shutdown()
        raise

"""A TCP proxy that misbehaves: it delays, falls silent, resets, and forgets connections on one side only."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 65_536
CHUNKS_UNDER_WAY = 64
"""Bounds what a link holds while nothing passes; beyond it the senders wait, as they do for a full window."""


class Proxy:
    """Passes on to one address; what it does wrong can be changed at any time, and holds for both directions."""

    def __init__(self, host: str, port: int, *, listen_port: int = 0) -> None:
        """`listen_port` 0: a free one."""
        self.latency_seconds = 0.0
        self.reset_every_bytes: int | None = None
        self._target = host, port
        self._listen_port = listen_port
        self._passes = asyncio.Event()
        self._passes.set()
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._listen_port

    def cut(self) -> None:
        """A black hole from now on: connections stay open, new ones are accepted, and nothing passes."""
        self._passes.clear()

    def mend(self) -> None:
        """Everything that was held passes, as when a network comes back before anybody has given up."""
        self._passes.set()

    def reset(self) -> None:
        """RST to both ends of every connection."""
        for link in list(self._links):
            link.reset()

    def forget(self) -> None:
        """Half-open: the far side loses every connection, and who has connected is not told."""
        for link in list(self._links):
            link.forget()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._listen_port)
        self._listen_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()

    async def passes(self) -> None:
        """Returns when something may pass."""
        await self._passes.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.passes()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _abort(writer)
            return
        link = _Link(self, (reader, writer), (far_reader, far_writer))
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


_End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, near: _End, far: _End) -> None:
        self._proxy = proxy
        self._near = near
        self._far = far
        self._bytes = 0
        self._pumps: list[asyncio.Task[None]] = []
        self._is_forgotten = False

    async def run(self) -> None:
        self._pumps = [
            asyncio.create_task(self._pump(self._near[0], self._far[1])),
            asyncio.create_task(self._pump(self._far[0], self._near[1])),
        ]
        await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        if self._is_forgotten:
            _abort(self._far[1])
            with suppress(OSError):
                while await self._near[0].read(CHUNK_BYTES):
                    pass
        for _, writer in (self._near, self._far):
            writer.close()

    def reset(self) -> None:
        for _, writer in (self._near, self._far):
            _abort(writer)

    def forget(self) -> None:
        self._is_forgotten = True
        for pump in self._pumps:
            pump.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_UNDER_WAY)
        delivering = asyncio.create_task(self._deliver(under_way, writer))
        try:
            with suppress(OSError):
                while data := await reader.read(CHUNK_BYTES):
                    await under_way.put((time.monotonic() + self._proxy.latency_seconds, data))
            await under_way.put((0.0, b""))
            await delivering
        finally:
            delivering.cancel()

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """Until there is nothing more, or the other end is gone."""
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(due - time.monotonic(), 0))
            await self._proxy.passes()
            if not data:
                return
            self._bytes += len(data)
            limit = self._proxy.reset_every_bytes
            if limit is not None and self._bytes > limit:
                self.reset()
                return
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                return


def through(url: str, proxy: Proxy) -> str:
    """The URL of a database by way of a proxy."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit((parts.scheme, f"{credentials}@127.0.0.1:{proxy.port}", *parts[2:]))


def _abort(writer: asyncio.StreamWriter) -> None:
    """With RST and not with FIN."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError, ValueError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

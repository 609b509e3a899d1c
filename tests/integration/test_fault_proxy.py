"""The proxy of the fault table: what it does wrong is what it was told to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import Proxy

SHORT_SECONDS = 0.3
WAIT_SECONDS = 10


class Echo:
    """A server that says everything back, and counts who has gone."""

    def __init__(self) -> None:
        self.gone = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                writer.write(data)
        except ConnectionError:
            pass
        self.gone += 1
        writer.close()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy, echo
    server.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes, seconds: float = WAIT_SECONDS) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(seconds):
            return await self.reader.readexactly(len(data))


@asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    found = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
    yield found
    found.writer.transport.abort()


async def test_what_was_held_in_a_black_hole_passes_when_it_is_mended() -> None:
    async with proxied() as (proxy, _), client(proxy) as one:
        assert await one.ask(b"before") == b"before"
        proxy.cut()
        with pytest.raises(TimeoutError):
            await one.ask(b"held", SHORT_SECONDS)
        async with client(proxy) as another:
            with pytest.raises(TimeoutError):
                await another.ask(b"too", SHORT_SECONDS)
            proxy.mend()
            async with asyncio.timeout(WAIT_SECONDS):
                assert await one.reader.readexactly(4) == b"held"
                assert await another.reader.readexactly(3) == b"too"


async def test_latency_delays_each_way_and_not_the_rate() -> None:
    async with proxied() as (proxy, _), client(proxy) as one:
        assert await one.ask(b"warm") == b"warm"
        proxy.latency_seconds = SHORT_SECONDS / 2
        began = time.monotonic()
        for _ in range(50):
            one.writer.write(b"x")
            await asyncio.sleep(0.01)
        assert await one.reader.readexactly(50) == b"x" * 50
        assert SHORT_SECONDS <= time.monotonic() - began < 25 * SHORT_SECONDS


async def test_a_connection_is_reset_after_so_many_bytes() -> None:
    async with proxied() as (proxy, _), client(proxy) as one:
        proxy.reset_every_bytes = 10
        assert await one.ask(b"four") == b"four"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await one.ask(b"four more")


async def test_of_a_forgotten_connection_only_the_far_side_hears() -> None:
    async with proxied() as (proxy, echo), client(proxy) as one:
        assert await one.ask(b"before") == b"before"
        proxy.forget()
        with pytest.raises(TimeoutError):
            await one.ask(b"nobody", SHORT_SECONDS)
        assert echo.gone == 1
        async with client(proxy) as another:
            assert await another.ask(b"new") == b"new"

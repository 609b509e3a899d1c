"""Endpoints of webhooks that behave well, badly, or not at all; each remembers what it was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def answer(status: int, body: str = "", headers: str = "") -> bytes:
    """A whole answer; `headers`: lines that each end with CR LF."""
    return f"HTTP/1.1 {status} Some\r\n{headers}content-length: {len(body)}\r\n\r\n{body}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as it came; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


Behaviour: TypeAlias = Callable[[Call, asyncio.StreamWriter], AsyncIterator[bytes]]
"""What an endpoint does with a request: the parts of its answer."""


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A server on the loopback; each path behaves as its function says, or well."""

    port: int = 0
    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    connections: int = 0
    at_once: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_at_once: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    """Held here: what waits for nothing, and whose caller is gone, nobody else holds."""

    def ids(self, path: str) -> list[str]:
        """The webhook-id of each call, as they came."""
        return [call.headers["webhook-id"] for call in self.calls[path]]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as many requests as come."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                call = Call(path=head[0].split(" ")[1], headers=headers, body=body)
                self.calls[call.path].append(call)
                self.at_once[call.path] += 1
                self.most_at_once[call.path] = max(self.most_at_once[call.path], self.at_once[call.path])
                try:
                    async for part in self.behaviours.get(call.path, well)(call, writer):
                        writer.write(part)
                        await writer.drain()
                finally:
                    self.at_once[call.path] -= 1
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # whoever called is gone, or the receiver is
        finally:
            writer.close()


async def well(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    """At once, with 200."""
    yield OK


async def dies(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    """In the middle of its answer."""
    yield OK[:20]
    writer.transport.abort()


async def never(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    """Says nothing, and keeps the connection."""
    await asyncio.Event().wait()
    yield b""


async def drips(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    """A byte now and then, for ever."""
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while True:
        await asyncio.sleep(0.05)
        yield b"x"


def says(*answers: bytes) -> Behaviour:
    """These answers one after the other, the last again and again."""
    left = list(answers)

    async def behave(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
        yield left.pop(0) if len(left) > 1 else left[0]

    return behave


def slowly(seconds: float) -> Behaviour:
    """With 200 after a while."""

    async def behave(call: Call, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
        await asyncio.sleep(seconds)
        yield OK

    return behave


@asynccontextmanager
async def running_receiver(
    context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> AsyncIterator[Receiver]:
    """A receiver, with TLS where there is a context."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.serving:
            task.cancel()
        await asyncio.gather(*receiver.serving, return_exceptions=True)

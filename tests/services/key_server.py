"""A server of public keys on this machine, as an identity provider has one, that does what a test wants of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress


class KeyServer:
    """Answers every request with what it is set to."""

    def __init__(self) -> None:
        self.document = b'{"keys": []}'
        self.status = "200 OK"
        self.headers: Mapping[str, str] = {}
        self.pause_seconds = 0.0
        """Before each tenth of the answer's body."""

        self.asked: list[bytes] = []
        """The first line and headers of each request."""

        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            document = self.document
            headers = {"content-type": "application/json", "content-length": str(len(document)), "connection": "close"}
            lines = [f"{name}: {value}" for name, value in (headers | dict(self.headers)).items()]
            writer.write("\r\n".join([f"HTTP/1.1 {self.status}", *lines, "", ""]).encode())
            step = max(1, len(document) // 10)
            for first in range(0, len(document), step):
                await asyncio.sleep(self.pause_seconds)
                writer.write(document[first : first + step])
                await writer.drain()
        writer.close()


@asynccontextmanager
async def running_key_server(port: int = 0) -> AsyncIterator[KeyServer]:
    """The server, on a free port unless one is named."""
    found = KeyServer()
    async with await asyncio.start_server(found.answer, "127.0.0.1", port) as server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        yield found

"""Reading a small document from somebody else's server: within seconds, up to a size, from that address and no other."""

from __future__ import annotations

import asyncio

import httpx

from goalstream.errors import KeysUnavailable

FETCH_SECONDS = 5.0
"""For all of it: a server that gives a byte every now and then holds up nobody for longer."""

MAX_BYTES = 262_144


class Document:
    """The document at one address. Redirects are not followed, and nothing is unpacked, so that its size is what it says."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(
            headers={"accept": "application/json", "accept-encoding": "identity"},
            timeout=FETCH_SECONDS,
            follow_redirects=False,
        )

    async def fetch(self) -> bytes:
        """What is there now. Raises KeysUnavailable, within seconds, for everything else than an answer of 200."""
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._client.stream("GET", self._url) as answer:
                return await _body(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise KeysUnavailable(f"{type(error).__name__} {error}".rstrip()) from None

    async def close(self) -> None:
        """Closes the connection that was kept for the next time."""
        await self._client.aclose()


async def _body(answer: httpx.Response) -> bytes:
    if answer.status_code != httpx.codes.OK:
        raise KeysUnavailable(f"it answers {answer.status_code}")
    if "content-encoding" in answer.headers:
        raise KeysUnavailable("it answers with what is packed")
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeysUnavailable(f"it answers with more than {MAX_BYTES} bytes")
    return bytes(body)

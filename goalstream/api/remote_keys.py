"""The public keys at an address: read every so often, and at once where a token names one that is not known.

A key that the document no longer has is forgotten as soon as that is read, so at most `refresh_seconds` later. While the
server is away the keys known last stay valid, however long that takes, since nobody has taken them back; a token that names
another may be good, and cannot be judged: KeysUnavailable. Once the server answers, what is still unknown is invalid.
Whoever comes with names of keys that never were makes us ask once in `UNKNOWN_KEY_SECONDS`, however many they are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from goalstream.api.jwks import KeySet, parse_jwks
from goalstream.api.tokens import InvalidToken, Key, Signature
from goalstream.errors import KeysUnavailable
from goalstream.observability.metrics import JWKS_READS

log = structlog.get_logger()

UNKNOWN_KEY_SECONDS = 10.0
"""The server is asked for an unknown key this long after it was last asked for anything, and no sooner."""

RETRY_SECONDS = 10.0
"""How often it is asked while it is away."""


class RemoteKeys:
    """Holds the keys, and reads them again; of one event loop."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        refresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetch` gives the document, or raises KeysUnavailable within seconds."""
        self._fetch = fetch
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._keys: KeySet | None = None
        self._asked_at: float | None = None
        self._problem: str | None = "the keys of tokens were not read yet"
        self._reading: asyncio.Task[None] | None = None

    @property
    def reason(self) -> str | None:
        """Why no token can be judged; None once any keys were read, however long ago."""
        return self._problem if self._keys is None else None

    async def find(self, signature: Signature) -> Key:
        """The key that a token names. Raises InvalidToken where there is none, KeysUnavailable where that cannot be told."""
        key = self._known(signature)
        if key is None and self._may_ask():
            await self.refresh()
            key = self._known(signature)
        if key is not None:
            return key
        if self._problem is not None:
            raise KeysUnavailable(self._problem)
        raise InvalidToken("it is signed with a key that is not known")

    async def refresh(self) -> None:
        """Reads the keys; whoever asks meanwhile waits for the same answer. A failure is logged, and changes no key."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)  # a request that is given up takes the others' answer from nobody

    async def keep_fresh(self) -> None:
        """Reads the keys every `refresh_seconds`, and more often while that fails; for ever."""
        while True:
            await self.refresh()
            pause = self._refresh_seconds if self._problem is None else min(RETRY_SECONDS, self._refresh_seconds)
            await asyncio.sleep(pause)

    def _known(self, signature: Signature) -> Key | None:
        return None if self._keys is None else self._keys.find(*signature)

    def _may_ask(self) -> bool:
        if self._reading is not None and not self._reading.done():
            return True
        return self._asked_at is None or self._clock() - self._asked_at >= UNKNOWN_KEY_SECONDS

    async def _read(self) -> None:
        self._asked_at = self._clock()
        try:
            keys = parse_jwks(await self._fetch())
        except (KeysUnavailable, ValueError) as error:
            self._problem = f"GOALSTREAM_JWKS_URL gives no keys: {error}"
            JWKS_READS.labels("failed").inc()
            log.warning("jwks_not_read", reason=str(error))
            return
        if self._keys is None or keys.names != self._keys.names:
            log.info("jwks_read", keys=len(keys.names), left_out=keys.left_out)
        self._keys, self._problem = keys, None
        JWKS_READS.labels("read").inc()

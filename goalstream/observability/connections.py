"""Connections that do not wait for ever: whoever does not say what they want is cut off."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD_BYTES: Final = 16_384
"""Of a request's line and headers; more is answered with 400."""

HEAD_SECONDS: Final = 10.0
"""From a connection's beginning, or a later request's first byte, until its headers are whole."""


class Impatient(H11Protocol):
    """uvicorn's protocol, which sets no limit to how long the head of a request may take."""

    head_seconds = HEAD_SECONDS
    _cutting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """What was sent ahead is answered next; without anything, the limit of idle connections holds. Who was answered before
        their body was whole, and may never finish it, is cut off.
        """
        is_in_body = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if is_in_body:
            self.transport.close()
        elif self.conn.trailing_data[0]:
            self._watch_head()

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._cutting is None:
            self._cutting = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_watching(self) -> None:
        if self._cutting is not None:
            self._cutting.cancel()
            self._cutting = None

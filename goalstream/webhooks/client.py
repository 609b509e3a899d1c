"""Requests to addresses that somebody else has chosen: checked when they are connected to, bounded in time and size."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

import httpcore
import structlog

from goalstream.config import Settings
from goalstream.domain.addresses import Network, is_within, may_be_called, networks
from goalstream.domain.deliveries import is_delivered
from goalstream.tls import client_context

log = structlog.get_logger()

LOOKUPS_AN_ENDPOINT = 5
"""As many as it has requests at once: whose name servers are slow waits for them alone."""

MOST_ANSWER_BYTES = 16 * 1024
"""Of an answer are read; whoever sends more is cut off."""

SHOWN_CHARACTERS = 1_000
"""Of an answer are kept."""

KEEPALIVE_SECONDS = 30.0

CONNECT_SECONDS = 4.0
"""For one address; then the next one of the name is tried."""

MOST_ERROR_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint says: status, the beginning of its body, and for how long it asks to be left alone.

    Without a status it said nothing; `error` tells why it has not taken the message, and is None where it has.
    """

    duration_seconds: float
    status: int | None = None
    text: str | None = None
    retry_after_seconds: float | None = None
    error: str | None = None


class Forbidden(Exception):
    """What may not be called. To whoever asks, names that are not found and names inside of a network are the same."""


class Client:
    """Posts to any number of endpoints. Redirects, proxies of the environment and cookies do not exist for it."""

    def __init__(
        self,
        *,
        private_networks: Sequence[Network],
        ssl_context: ssl.SSLContext,
        timeout_seconds: float,
        lookups_at_once: int,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        # Slow name servers of one endpoint hold up nobody else.
        self._resolvers = ThreadPoolExecutor(lookups_at_once, thread_name_prefix="resolve")
        self._pools = {
            "https": self._pool(_Guarded(private_networks, self._resolvers), ssl_context),
            "http": self._pool(_Guarded(private_networks, self._resolvers, is_private_only=True), ssl_context),
        }

    @classmethod
    def of(cls, settings: Settings) -> Client:
        """As the settings say."""
        return cls(
            private_networks=networks(settings.webhook_private_networks),
            ssl_context=client_context(ca_file=settings.webhook_ssl_ca_file),
            timeout_seconds=settings.webhook_timeout_seconds,
            lookups_at_once=settings.webhook_concurrency * LOOKUPS_AN_ENDPOINT,
        )

    async def close(self) -> None:
        """Ends all connections."""
        for pool in self._pools.values():
            await pool.aclose()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends a body; whatever comes of it is an answer."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status, text, retry_after_seconds = await self._post(url, headers, body)
        except TimeoutError:
            error = f"no answer within {self._timeout_seconds:g} s"
        except (Forbidden, httpcore.UnsupportedProtocol) as refused:
            error = f"not called: {refused}"
        except (
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
            OSError,
            ValueError,
        ) as failed:
            error = _in_words(failed)
        else:
            return Answer(
                duration_seconds=time.monotonic() - began,
                status=status,
                text=text,
                retry_after_seconds=retry_after_seconds,
                error=None if is_delivered(status) else f"answers {status}",
            )
        return Answer(duration_seconds=time.monotonic() - began, error=error)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, float | None]:
        target = httpcore.URL(url)
        pool = self._pools.get(target.scheme.decode())
        if pool is None:
            raise Forbidden(f"{target.scheme.decode()} is neither https nor http")
        async with pool.stream("POST", target, headers=list(headers.items()), content=body) as response:
            content = b""
            async for chunk in response.aiter_stream():
                content += chunk
                if len(content) >= MOST_ANSWER_BYTES:
                    break
            asked = {name.lower(): value for name, value in response.headers}.get(b"retry-after", b"")
            text = content[:MOST_ANSWER_BYTES].decode(errors="replace").replace("\0", "\ufffd")[:SHOWN_CHARACTERS]
            return response.status, text, float(asked) if asked.isdigit() and len(asked) < 10 else None

    @staticmethod
    def _pool(backend: httpcore.AsyncNetworkBackend, ssl_context: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
        return httpcore.AsyncConnectionPool(
            ssl_context, max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS, network_backend=backend
        )


class _Guarded(httpcore.AsyncNetworkBackend):
    """Looks up a name once, checks all of its addresses, and connects to one of these very addresses: what a name server answers
    the next time is of no interest. TLS asks for the name's certificate all the same.
    """

    def __init__(
        self, private_networks: Sequence[Network], resolvers: ThreadPoolExecutor, *, is_private_only: bool = False
    ) -> None:
        self._private_networks = private_networks
        self._resolvers = resolvers
        self._is_private_only = is_private_only
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        for address in addresses:
            self._check(host, address)
        for position, address in enumerate(addresses):
            try:
                return await self._backend.connect_tcp(address, port, CONNECT_SECONDS, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        def look_up() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(place[0]) for *_, place in found))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._resolvers, look_up)
        except (OSError, UnicodeError) as error:
            log.debug("webhook_host_not_found", host=host, error=str(error))
            raise Forbidden(f"{host} is not found, or not public") from error

    def _check(self, host: str, text: str) -> None:
        address = ip_address(text.partition("%")[0])
        if self._is_private_only and not is_within(address, self._private_networks):
            raise Forbidden("http:// is only for GOALSTREAM_WEBHOOK_PRIVATE_NETWORKS; elsewhere it must be https://")
        if not may_be_called(address, self._private_networks):
            log.debug("webhook_host_not_public", host=host, address=text)
            raise Forbidden(f"{host} is not found, or not public")


def _in_words(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"shows a certificate that is not taken: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.ProtocolError):
        return "gives no whole answer in HTTP"  # what it gives instead is of no use here
    return f"{type(error).__name__}: {error}".rstrip(": ")[:MOST_ERROR_CHARACTERS]

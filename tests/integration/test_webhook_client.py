"""Where requests to webhooks may go: every address is checked at the moment it is connected to, whatever names and URLs say."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import pytest

from goalstream.domain.addresses import networks
from goalstream.webhooks.client import Client

PUBLIC = "93.184.215.14"

FORBIDDEN = [
    "https://127.0.0.1/",
    "https://127.0.0.1:443/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://100.64.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25lo]/",
    "https://[fc00::1]/",
    "https://[::127.0.0.1]/",
    "https://localhost/",
    "https://private.example/",
    "https://mixed.example/",
    "https://six.example/",
    "https://public.example@127.0.0.1/",
    "https://public.example:x@127.0.0.1/",
    "https://127.0.0.1#@public.example/",
    "https://127.0.0.1?@public.example/",
    "http://public.example/",
    "http://127.0.0.1/",
    "ftp://public.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "//public.example/",
    "https://",
    "https:///",
    "",
]

NAMES = {
    "public.example": [PUBLIC],
    "two.example": ["93.184.215.14", "93.184.215.15"],
    "private.example": ["10.1.2.3"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "six.example": ["fd00::1"],
}


class Stream(httpcore.AsyncMockStream):
    """An endpoint that takes everything, and remembers the name that TLS asked for."""

    server_names: list[str]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore has it
    ) -> httpcore.AsyncNetworkStream:
        self.server_names.append(server_hostname or "")
        return self


class Backend(httpcore.AsyncNetworkBackend):
    """A network that is only looked at."""

    def __init__(self) -> None:
        self.connected: list[str] = []
        self.server_names: list[str] = []
        self.refusing: set[str] = set()
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        if host in self.refusing:
            raise httpcore.ConnectError("refused")
        stream = Stream([self.answer])
        stream.server_names = self.server_names
        return stream


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The network, and name servers that know a few names; what is written as an address is read as the C library does."""
    found, real = Backend(), socket.getaddrinfo

    def look_up(host: str, port: int, **options: Any) -> list[Any]:
        if host == "localhost":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        if host in NAMES:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in NAMES[host]]
        return real(host, port, flags=socket.AI_NUMERICHOST, **options)

    monkeypatch.setattr(httpcore, "AnyIOBackend", lambda: found)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return found


@pytest.fixture
async def client(backend: Backend) -> AsyncIterator[Client]:
    found = Client(private_networks=(), ssl_context=ssl.create_default_context(), timeout_seconds=2, lookups_at_once=2)
    yield found
    await found.close()


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_nothing_leaves_for_an_address_that_is_not_public(client: Client, backend: Backend, url: str) -> None:
    answer = await client.post(url, {}, b"{}")
    assert answer.status is None
    assert answer.error
    assert backend.connected == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(client: Client, backend: Backend) -> None:
    assert (await client.post("https://public.example/hook?a=b", {}, b"{}")).status == 200
    assert (backend.connected, backend.server_names) == ([PUBLIC], ["public.example"])


async def test_a_name_that_changes_its_mind_is_checked_each_time(
    client: Client, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[PUBLIC], ["127.0.0.1"]]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (one, 443)) for one in answers.pop(0)])
    assert (await client.post("https://rebinding.example/", {}, b"{}")).status == 200
    assert backend.connected == [PUBLIC]
    answer = await client.post("https://rebinding.example/", {}, b"{}")
    assert answer.error == "not called: rebinding.example is not found, or not public"
    assert backend.connected == [PUBLIC]


async def test_where_parsers_differ_the_host_that_is_checked_is_the_one_that_is_called(
    client: Client, backend: Backend
) -> None:
    assert (await client.post("https://127.0.0.1\\@public.example/", {}, b"{}")).status == 200
    assert (backend.connected, backend.server_names) == ([PUBLIC], ["public.example"])


async def test_a_redirect_is_an_answer_and_is_not_followed(client: Client, backend: Backend) -> None:
    backend.answer = (
        b"HTTP/1.1 307 Moved\r\nlocation: https://127.0.0.1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    answer = await client.post("https://public.example/", {}, b"{}")
    assert (answer.status, answer.error) == (307, "answers 307")
    assert backend.connected == [PUBLIC]


async def test_of_several_addresses_the_next_is_tried(client: Client, backend: Backend) -> None:
    backend.refusing = {"93.184.215.14"}
    assert (await client.post("https://two.example/", {}, b"{}")).status == 200
    assert backend.connected == ["93.184.215.14", "93.184.215.15"]
    backend.refusing |= {"93.184.215.15"}
    assert (await client.post("https://two.example/", {}, b"{}")).error == "ConnectError: refused"


async def test_what_an_operator_names_may_be_called_but_for_metadata(backend: Backend) -> None:
    named = networks("10.0.0.0/8, 169.254.0.0/16, ::1/128")
    client = Client(
        private_networks=named, ssl_context=ssl.create_default_context(), timeout_seconds=2, lookups_at_once=2
    )
    assert (await client.post("https://private.example/", {}, b"{}")).status == 200
    assert (await client.post("http://10.9.9.9/", {}, b"{}")).status == 200
    assert (await client.post("http://[::1]/", {}, b"{}")).status == 200
    assert backend.connected == ["10.1.2.3", "10.9.9.9", "::1"]
    for url in ("http://127.0.0.1/", "http://public.example/", "https://169.254.169.254/", "https://192.168.0.1/"):
        assert "not called" in str((await client.post(url, {}, b"{}")).error)
    assert len(backend.connected) == 3
    await client.close()


async def test_nobody_learns_by_it_which_names_there_are_inside_of_a_network(client: Client) -> None:
    for name in ("unknown.example", "private.example"):
        answer = await client.post(f"https://{name}/", {}, b"{}")
        assert answer.error == f"not called: {name} is not found, or not public"


async def test_what_is_no_answer_is_not_repeated(client: Client, backend: Backend) -> None:
    backend.answer = b"HTTP/1.1 200 OK\r\n" + b"x" * 50_000 + b"\r\n\r\n"
    answer = await client.post("https://public.example/", {}, b"{}")
    assert answer.error == "gives no whole answer in HTTP"

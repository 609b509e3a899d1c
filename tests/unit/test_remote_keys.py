"""Keys at an address: when they are read, and what becomes of tokens while they cannot be."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from goalstream.api.remote_keys import RETRY_SECONDS, UNKNOWN_KEY_SECONDS, RemoteKeys
from goalstream.api.tokens import InvalidToken, Signature
from goalstream.errors import KeysUnavailable
from tests.signers import jwks, signer

OLD, NEW = signer("ES256", "old"), signer("ES256", "new")


class FakeServer:
    """Gives a document, or fails, and counts; slow while `gate` is closed."""

    def __init__(self) -> None:
        self.document: bytes | None = jwks(OLD)
        self.asked = 0
        self.now = 1_000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys = RemoteKeys(self.fetch, refresh_seconds=300, clock=lambda: self.now)

    async def fetch(self) -> bytes:
        self.asked += 1
        await self.gate.wait()
        if self.document is None:
            raise KeysUnavailable("it is away")
        return self.document


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


def named(key_id: str | None) -> Signature:
    return Signature("ES256", key_id)


async def test_the_first_token_reads_the_keys_and_others_do_not(server: FakeServer) -> None:
    for _ in range(3):
        assert (await server.keys.find(named("old"))).material == OLD.private.public_key()
    assert server.asked == 1


async def test_many_first_tokens_at_once_read_the_keys_once(server: FakeServer) -> None:
    server.gate.clear()
    asking = [asyncio.create_task(server.keys.find(named("old"))) for _ in range(20)]
    await asyncio.sleep(0)
    server.gate.set()
    assert len({key.algorithm for key in await asyncio.gather(*asking)}) == 1
    assert server.asked == 1


async def test_a_new_key_is_fetched_by_the_first_token_that_names_it(server: FakeServer) -> None:
    await server.keys.refresh()
    server.document = jwks(OLD, NEW)
    server.now += UNKNOWN_KEY_SECONDS
    assert (await server.keys.find(named("new"))).material == NEW.private.public_key()
    assert (await server.keys.find(named("old"))).material == OLD.private.public_key()
    assert server.asked == 2


async def test_names_of_keys_that_never_were_make_us_ask_only_every_now_and_then(server: FakeServer) -> None:
    for number in range(1_000):
        with pytest.raises(InvalidToken, match="not known"):
            await server.keys.find(named(f"guess {number}"))
        server.now += 0.1
    assert server.asked == pytest.approx(100 / UNKNOWN_KEY_SECONDS, abs=1)


async def test_a_key_that_the_document_no_longer_has_is_refused_once_that_is_read(server: FakeServer) -> None:
    server.document = jwks(OLD, NEW)
    await server.keys.find(named("old"))
    server.document = jwks(NEW)
    await server.keys.find(named("old"))
    await server.keys.refresh()
    with pytest.raises(InvalidToken, match="not known"):
        await server.keys.find(named("old"))
    await server.keys.find(named("new"))


async def test_while_the_server_is_away_known_keys_stay_good_and_others_cannot_be_judged(server: FakeServer) -> None:
    await server.keys.refresh()
    server.document = None
    for _ in range(10):
        server.now += 86_400
        await server.keys.refresh()
        await server.keys.find(named("old"))
        with pytest.raises(KeysUnavailable, match="it is away"):
            await server.keys.find(named("new"))
    assert server.keys.reason is None


async def test_once_the_server_is_back_what_is_unknown_is_invalid_again(server: FakeServer) -> None:
    server.document = None
    with pytest.raises(KeysUnavailable):
        await server.keys.find(named("new"))
    assert server.keys.reason is not None
    server.document = jwks(OLD)
    server.now += UNKNOWN_KEY_SECONDS
    with pytest.raises(InvalidToken, match="not known"):
        await server.keys.find(named("new"))
    assert server.keys.reason is None


@pytest.mark.parametrize("document", [b"", b"<html>", b"{}", b'{"keys": 7}'])
async def test_a_document_that_is_no_jwks_takes_no_key_away(server: FakeServer, document: bytes) -> None:
    await server.keys.refresh()
    server.document = document
    await server.keys.refresh()
    await server.keys.find(named("old"))


async def test_a_document_without_keys_takes_all_away(server: FakeServer) -> None:
    await server.keys.refresh()
    server.document = jwks()
    await server.keys.refresh()
    with pytest.raises(InvalidToken):
        await server.keys.find(named("old"))
    assert server.keys.reason is None


async def test_a_request_that_is_given_up_leaves_the_reading_to_the_others(server: FakeServer) -> None:
    server.gate.clear()
    first, second = (asyncio.create_task(server.keys.find(named("old"))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    server.gate.set()
    assert (await second).algorithm == "ES256"
    assert first.cancelled()
    assert server.asked == 1


async def test_the_keys_are_read_again_and_again_and_sooner_while_that_fails(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        server.document = None if len(pauses) in (2, 3) else jwks(OLD)
        if len(pauses) == 6:
            raise asyncio.CancelledError

    monkeypatch.setattr("goalstream.api.remote_keys.asyncio.sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await server.keys.keep_fresh()
    assert pauses == [300, 300, RETRY_SECONDS, RETRY_SECONDS, 300, 300]
    assert server.asked == 6


async def test_the_log_tells_of_a_change_and_of_a_failure_and_of_nothing_else(server: FakeServer) -> None:
    with capture_logs() as lines:
        await server.keys.refresh()
        await server.keys.refresh()
        server.document = jwks(OLD, NEW)
        await server.keys.refresh()
        server.document = None
        await server.keys.refresh()
    assert [(line["event"], line.get("keys")) for line in lines] == [
        ("jwks_read", 1),
        ("jwks_read", 2),
        ("jwks_not_read", None),
    ]

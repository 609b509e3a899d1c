"""Public keys from a real server: rotation, outages, and answers that are none."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from goalstream.api import fetch, remote_keys
from goalstream.api.fetch import MAX_BYTES, Document
from goalstream.api.jwks_checkup import check_jwks
from goalstream.errors import KeysUnavailable
from goalstream.observability.findings import Verdict
from tests.integration.serving import PATIENCE_SECONDS, serving, settings_of, until_ready
from tests.services.key_server import KeyServer, running_key_server
from tests.signers import ALGORITHMS, Signer, jwks, signer

GOALS = "/api/v1/workflows/bbbbbbbb-0000-4000-8000-000000000001/goals"
OLD, NEW = signer("ES256", "old"), signer("EdDSA", "new")
NEVER = 86_400


@pytest.fixture
async def key_server() -> AsyncIterator[KeyServer]:
    async with running_key_server() as found:
        found.document = jwks(OLD)
        yield found


@pytest.fixture
async def document(key_server: KeyServer) -> AsyncIterator[Document]:
    found = Document(key_server.url)
    yield found
    await found.close()


async def ask(client: httpx.AsyncClient, who: Signer, **changes: Any) -> httpx.Response:
    return await client.get(GOALS, headers={"authorization": f"Bearer {who.sign(**changes)}"})


async def until(client: httpx.AsyncClient, who: Signer, status: int) -> None:
    """Waits until a token of this key is answered so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await ask(client, who)).status_code != status:  # noqa: ASYNC110 - the server has no event for this
            await asyncio.sleep(0.05)


async def test_tokens_of_every_algorithm_are_good_and_those_of_the_secret_too(
    database_url: str, key_server: KeyServer
) -> None:
    signers = [signer(algorithm, algorithm) for algorithm in ALGORITHMS]
    key_server.document = jwks(*signers)
    async with serving(settings_of(database_url, jwks_url=key_server.url)) as (client, _):
        await until_ready(client, lambda response: response.is_success)
        for one in signers:
            assert (await ask(client, one)).status_code == 200
            assert (await ask(client, one, exp=1)).status_code == 401
        assert (await client.get(GOALS)).status_code == 200
    assert len(key_server.asked) == 1


async def test_without_the_secret_tokens_of_public_keys_are_the_only_ones(
    database_url: str, key_server: KeyServer
) -> None:
    async with serving(settings_of(database_url, jwks_url=key_server.url, jwt_secret=None)) as (client, _):
        assert (await ask(client, OLD)).status_code == 200
        assert (await client.get(GOALS)).status_code == 401


async def test_a_new_key_is_good_from_the_first_token_that_names_it(
    database_url: str, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "UNKNOWN_KEY_SECONDS", 0.0)
    settings = settings_of(database_url, jwks_url=key_server.url, jwks_refresh_seconds=NEVER)
    async with serving(settings) as (client, _):
        assert (await ask(client, OLD)).status_code == 200
        refused = await ask(client, NEW)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        key_server.document = jwks(OLD, NEW)
        assert (await ask(client, NEW)).status_code == 200
        assert (await ask(client, OLD)).status_code == 200
        assert len(key_server.asked) == 3


async def test_a_key_that_was_taken_away_is_refused_at_the_next_reading(
    database_url: str, key_server: KeyServer
) -> None:
    key_server.document = jwks(OLD, NEW)
    settings = settings_of(database_url, jwks_url=key_server.url, jwks_refresh_seconds=1)
    async with serving(settings) as (client, _):
        assert (await ask(client, OLD)).status_code == 200
        key_server.document = jwks(NEW)
        await until(client, OLD, 401)
        assert (await ask(client, NEW)).status_code == 200


async def test_guessed_names_of_keys_do_not_make_the_server_busy(database_url: str, key_server: KeyServer) -> None:
    settings = settings_of(database_url, jwks_url=key_server.url, jwks_refresh_seconds=NEVER)
    async with serving(settings) as (client, _):
        await until_ready(client, lambda response: response.is_success)
        for number in range(50):
            assert (await ask(client, OLD, headers={"kid": f"guess {number}"})).status_code == 401
    assert len(key_server.asked) == 1


async def test_an_outage_of_the_server_is_survived_with_the_keys_that_are_known(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "UNKNOWN_KEY_SECONDS", 0.0)
    async with running_key_server() as first:
        first.document = jwks(OLD)
        settings = settings_of(database_url, jwks_url=first.url, jwks_refresh_seconds=1)
        async with serving(settings) as (client, _):
            assert (await ask(client, OLD)).status_code == 200
            first.status, first.document = "503 Service Unavailable", b"later"
            await until(client, NEW, 503)
            refused = await ask(client, NEW)
            assert (refused.json()["error"], refused.headers["retry-after"]) == ("unavailable", "2")
            assert first.url not in refused.text
            assert (await ask(client, OLD)).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            first.status, first.document = "200 OK", jwks(NEW)
            await until(client, NEW, 200)
            assert (await ask(client, OLD)).status_code == 401


async def test_until_the_keys_were_read_once_it_is_not_ready_and_says_why(database_url: str) -> None:
    async with running_key_server() as taken:
        url = taken.url
    port = int(url.split(":")[2].split("/")[0])
    async with serving(settings_of(database_url, jwks_url=url, jwks_refresh_seconds=1)) as (client, task):
        waiting = await until_ready(client, lambda response: "ConnectError" in response.text)
        assert waiting.status_code == 503
        assert "GOALSTREAM_JWKS_URL" in waiting.json()["reasons"]["jwks"]
        assert (await ask(client, OLD)).status_code == 503
        assert (await client.get(GOALS)).status_code == 200
        async with running_key_server(port) as back:
            back.document = jwks(OLD)
            await until_ready(client, lambda response: response.is_success)
            assert (await ask(client, OLD)).status_code == 200
        assert not task.done()


async def test_a_server_that_hangs_holds_up_nobody_who_needs_no_new_key(
    database_url: str, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "UNKNOWN_KEY_SECONDS", 0.0)
    settings = settings_of(database_url, jwks_url=key_server.url, jwks_refresh_seconds=NEVER)
    async with serving(settings) as (client, _):
        await until_ready(client, lambda response: response.is_success)
        key_server.pause_seconds = PATIENCE_SECONDS
        waiting = asyncio.create_task(ask(client, NEW))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(key_server.asked) < 2:  # noqa: ASYNC110 - the server has no event for this
                await asyncio.sleep(0.01)
        assert (await ask(client, OLD)).status_code == 200
        assert (await client.get(GOALS)).status_code == 200
        assert not waiting.done()
        assert (await waiting).status_code == 503


async def test_the_document_is_asked_for_unpacked_and_without_credentials(
    document: Document, key_server: KeyServer
) -> None:
    assert await document.fetch() == key_server.document
    (request,) = (asked.decode().lower() for asked in key_server.asked)
    assert "accept-encoding: identity" in request
    assert "authorization" not in request
    assert "cookie" not in request


@pytest.mark.parametrize(
    "status", ["204 No Content", "301 Moved", "302 Found", "404 Not Found", "500 Broken", "206 Part"]
)
async def test_only_an_answer_of_200_is_one(document: Document, key_server: KeyServer, status: str) -> None:
    key_server.status, key_server.headers = status, {"location": key_server.url}
    if status.startswith("204"):
        key_server.document = b""
    with pytest.raises(KeysUnavailable, match=f"it answers {status[:3]}"):
        await document.fetch()
    assert len(key_server.asked) == 1


async def test_a_document_of_the_greatest_size_is_read_and_one_byte_more_is_not(
    document: Document, key_server: KeyServer
) -> None:
    key_server.document = b" " * MAX_BYTES
    assert len(await document.fetch()) == MAX_BYTES
    key_server.document += b" "
    with pytest.raises(KeysUnavailable, match=f"more than {MAX_BYTES} bytes"):
        await document.fetch()


async def test_a_document_without_end_is_cut_off_at_the_same_size(document: Document, key_server: KeyServer) -> None:
    key_server.document, key_server.headers = b" " * (40 * MAX_BYTES), {"content-length": str(10**12)}
    with pytest.raises(KeysUnavailable, match=f"more than {MAX_BYTES} bytes"):
        await document.fetch()


async def test_what_is_packed_is_not_unpacked(document: Document, key_server: KeyServer) -> None:
    key_server.document, key_server.headers = gzip.compress(key_server.document), {"content-encoding": "gzip"}
    with pytest.raises(KeysUnavailable, match="packed"):
        await document.fetch()


async def test_a_document_that_comes_byte_by_byte_is_given_up(
    document: Document, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "FETCH_SECONDS", 0.2)
    key_server.pause_seconds = 0.1
    with pytest.raises(KeysUnavailable, match="TimeoutError"):
        await document.fetch()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/keys", "http://nobody.invalid/keys", "http://a..b/", "http://[::1]:1/"]
)
async def test_an_address_where_nobody_is_is_told_in_a_line(url: str) -> None:
    document = Document(url)
    with pytest.raises(KeysUnavailable) as refused:
        await document.fetch()
    await document.close()
    assert "\n" not in str(refused.value)


async def test_the_doctor_reads_the_keys_as_the_api_does(key_server: KeyServer) -> None:
    assert (await check_jwks(key_server.url)).sentence == "1 key for ES256"
    key_server.document = b"<html>"
    found = await check_jwks(key_server.url)
    assert (found.verdict, found.sentence) == (Verdict.WRONG, "GOALSTREAM_JWKS_URL gives no keys: it is no JWKS")
    key_server.status = "404 Not Found"
    assert "it answers 404" in (await check_jwks(key_server.url)).sentence

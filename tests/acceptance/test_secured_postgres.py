"""A PostgreSQL that takes nobody without TLS and a certificate: every part of the product on it, and what is said otherwise."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from goalstream.config import Settings
from goalstream.errors import DatabaseUnavailable
from goalstream.storage.migrate import pending
from goalstream.storage.pool import Database
from tests.acceptance.command import run
from tests.acceptance.crm import environment, eventually, running_worker
from tests.certificates import Authority
from tests.services.broker import free_ports
from tests.services.postgres_server import PostgresServer

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True, slots=True)
class Secured:
    """A server whose certificate is for 127.0.0.1 alone, who vouches for it and for clients, and somebody whom nobody knows."""

    server: PostgresServer
    authority: Authority
    stranger: Authority

    def url(self, *, host: str = "127.0.0.1", **changes: str) -> str:
        """The right one, with changes."""
        ours = self.authority.folder / "client"
        options = {
            "sslmode": "verify-full",
            "sslrootcert": str(self.authority.file),
            "sslcert": f"{ours}.pem",
            "sslkey": f"{ours}.key",
            "sslpassword": "hidden",
        } | changes
        asked = urlencode({name: value for name, value in options.items() if value})
        return f"{self.server.url.replace('127.0.0.1', host)}?{asked}"


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with tempfile.TemporaryDirectory() as folder:
        authority, stranger = Authority(Path(folder), "authority"), Authority(Path(folder), "stranger")
        authority.certificate("client", password="hidden")
        own = authority.certificate("server", "127.0.0.1")
        with PostgresServer(certificate=own, clients=authority) as server:
            yield Secured(server, authority, stranger)


async def test_everything_that_goes_to_postgresql_goes_there_encrypted(
    secured: Secured, kafka_servers: str, topic_prefix: str
) -> None:
    worker_port, api_port = free_ports(2)
    settings = Settings.model_validate(
        {
            "kafka_bootstrap_servers": kafka_servers,
            "kafka_topic_prefix": topic_prefix,
            "kafka_group_id": f"{topic_prefix}group",
            "database_url": secured.url(),
            "jwt_secret": "s" * 40,
            "metrics_port": worker_port,
            "http_port": api_port,
        }
    )
    migrated = await asyncio.to_thread(run, "migrate", **environment(settings))
    assert (migrated.returncode, migrated.stderr) == (0, "")
    serving = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "goalstream", "api", env=environment(settings), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with running_worker(settings):
            await eventually(lambda: _is_ready(worker_port))
            await eventually(lambda: _is_ready(api_port))
            found = await asyncio.to_thread(run, "doctor", "--json", **environment(settings))
    finally:
        serving.terminate()
        await serving.wait()
    checks = {check["check"]: check for check in json.loads(found.stdout)["checks"]}
    assert checks["database"]["verdict"] == checks["outbox"]["verdict"] == "ok"
    assert checks["database"]["sentence"].endswith(", encrypted (TLSv1.3)")
    assert "hidden" not in found.stdout
    database = Database(secured.url(), size=2)
    async with database.connection() as connection:
        assert await connection.fetchval("select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)"
                                         " where usename = current_user")  # fmt: skip
    await database.close()


async def test_what_keeps_us_out_is_told_in_words_with_what_to_do(secured: Secured) -> None:
    authority = "look at sslrootcert in GOALSTREAM_DATABASE_URL, and at the names in that certificate"
    refusals = {
        secured.url(sslrootcert=str(secured.stranger.file)): (
            "PostgreSQL shows a certificate that is not taken: self-signed certificate in certificate chain",
            authority,
        ),
        secured.url(host="localhost"): (
            "PostgreSQL shows a certificate that is not taken: Hostname mismatch, certificate is not valid for 'localhost'.",
            authority,
        ),
        secured.url(sslcert="", sslkey=""): (
            "InvalidAuthorizationSpecificationError: connection requires a valid client certificate",
            "",
        ),
    }
    for url, expected in refusals.items():
        with pytest.raises(DatabaseUnavailable) as refused:
            await pending(url)
        assert (refused.value.sentence, refused.value.advice) == expected
    with pytest.raises(DatabaseUnavailable, match=r"no pg_hba.conf entry for host .* no encryption"):
        await pending(secured.url(sslmode="disable"))


async def test_a_server_without_tls_is_not_taken_for_one_with(secured: Secured) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DatabaseUnavailable) as refused:
            await pending(secured.url().replace(f":{secured.server.port}/", f":{port}/"))
    assert refused.value.sentence == "PostgreSQL does not speak TLS"
    assert refused.value.advice == "set ssl=on there, or look at sslmode in GOALSTREAM_DATABASE_URL"


def test_a_command_that_is_kept_out_says_so_in_one_line_and_waits_for_nothing(secured: Secured) -> None:
    found = run("migrate", GOALSTREAM_DATABASE_URL=secured.url(sslrootcert=str(secured.stranger.file)))
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        "goalstream: PostgreSQL shows a certificate that is not taken: self-signed certificate in certificate chain: "
        "look at sslrootcert in GOALSTREAM_DATABASE_URL, and at the names in that certificate\n"
    )


async def _is_ready(port: int) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

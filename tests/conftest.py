"""Services and what hangs on them: started when a test first asks, once per run; every test has a database of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest
import pytest_socket

from goalstream.config import Settings
from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import ALL_TOPICS, create_topics
from tests.services import tiers
from tests.services.tiers import RunningKafka, Tier

UNIT = Path(__file__).parent / "unit"
JWT_SECRET = "a secret for tests, of enough bytes"
ENCRYPTION_KEYS = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
POSTGRES_PORT = 5432
"""Where a developer's own PostgreSQL listens, and where nothing may be touched by mistake."""

DROP_ATTEMPTS = 5

# How long an example takes says something about the machine, and nothing about what is tested.
hypothesis.settings.register_profile(
    "goalstream", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("goalstream")

_kafka_in_use, _postgres_in_use = ExitStack(), ExitStack()


def pytest_configure() -> None:
    _give_programs_all_signals()
    try:
        tiers.describe_tiers()
    except tiers.NoRealService as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header() -> str:
    return tiers.describe_tiers()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if tiers.kafka_tier() is Tier.EMBEDDED:
        skip = pytest.mark.skip(reason="needs a real Kafka: Docker, or Java 17 and Maven, or GOALSTREAM_TEST_KAFKA")
        for item in items:
            if item.get_closest_marker("real_kafka"):
                item.add_marker(skip)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Unit tests have no network; event loops need their own socket pair."""
    if item.path.is_relative_to(UNIT):
        pytest_socket.disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    pytest_socket.enable_socket()


def pytest_sessionfinish() -> None:
    """Stops what was started; where several processes share it, waits until the others are done, however long.

    In the same order everywhere: else two processes could each wait for the other to leave what it holds on to.
    """
    _kafka_in_use.close()
    _postgres_in_use.close()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the developer's environment nor a .env file reaches a test."""
    for name in list(os.environ):
        if name.upper().startswith("GOALSTREAM_") and not name.startswith("GOALSTREAM_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture(autouse=True)
def _no_database_unasked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that did not ask for a database cannot reach one by mistake: neither the developer's own nor the given one.

    Servers that we start listen on ports that only those know who asked.
    """
    if "postgres_url" in request.fixturenames:
        return
    forbidden = {POSTGRES_PORT, urlsplit(tiers.DATABASE_URL or "").port}

    def guard(connect: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(dsn: str = "", *args: Any, **options: Any) -> Any:
            if (options.get("port") or urlsplit(dsn).port or POSTGRES_PORT) in forbidden:
                raise RuntimeError("this test connects to PostgreSQL without asking for a database: use a fixture")
            return connect(dsn, *args, **options)

        return guarded

    monkeypatch.setattr(asyncpg, "connect", guard(asyncpg.connect))
    monkeypatch.setattr(asyncpg, "create_pool", guard(asyncpg.create_pool))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this run know."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def postgres_url(shared_folder: Path) -> str:
    """A PostgreSQL whose role is no superuser, so that row-level security binds it, and may create databases."""
    return _postgres_in_use.enter_context(tiers.running_postgres(shared_folder))


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database, cloned for every test."""
    name = f"template_{secrets.token_hex(4)}"

    async def make() -> None:
        await _execute(postgres_url, f"create database {name}")
        await migrate(_named(postgres_url, name))

    asyncio.run(make())
    yield name
    asyncio.run(_drop(postgres_url, name))


@pytest.fixture
async def database_url(postgres_url: str, template: str) -> AsyncIterator[str]:
    """A migrated database that no other test sees."""
    async with cloned(postgres_url, template) as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database without a single table."""
    name = f"empty_{secrets.token_hex(6)}"
    await _execute(postgres_url, f"create database {name}")
    yield _named(postgres_url, name)
    await _drop(postgres_url, name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A worker's connections: they see all accounts."""
    found = Database(database_url, size=10, sees_all_accounts=True)
    yield found
    await found.close()


@pytest.fixture
async def api_database(database_url: str) -> AsyncIterator[Database]:
    """The API's connections: they see the account of the transaction."""
    found = Database(database_url, size=10)
    yield found
    await found.close()


@pytest.fixture(scope="session")
def kafka(shared_folder: Path) -> RunningKafka:
    """A Kafka of the tier in force."""
    return _kafka_in_use.enter_context(tiers.running_kafka(shared_folder))


@pytest.fixture(scope="session")
def kafka_servers(kafka: RunningKafka) -> str:
    """Its bootstrap servers."""
    return kafka.bootstrap_servers


@pytest.fixture
async def topic_prefix(kafka: RunningKafka) -> str:
    """All topics, under a prefix that no other test knows."""
    return await make_topics(kafka)


@pytest.fixture
def settings(kafka_servers: str, database_url: str, topic_prefix: str) -> Settings:
    """Settings for a worker and an API of this test alone."""
    return settings_for(kafka_servers, database_url, topic_prefix)


@asynccontextmanager
async def cloned(postgres_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a new database like the template, which is gone afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    await _execute(postgres_url, f"create database {name} template {template}")
    yield _named(postgres_url, name)
    await _drop(postgres_url, name)


async def make_topics(kafka: RunningKafka) -> str:
    """Makes all topics, under a new prefix."""
    prefix = f"t{secrets.token_hex(4)}."
    if kafka.embedded is not None:
        for name in ALL_TOPICS:
            kafka.embedded.create_topic(prefix + name, 4)
    else:
        await create_topics(
            Kafka(bootstrap_servers=kafka.bootstrap_servers), prefix=prefix, partitions=4, replication_factor=1
        )
    return prefix


def settings_for(kafka_servers: str, database_url: str, topic_prefix: str) -> Settings:
    """Settings for a worker and an API on these services."""
    return Settings.model_validate(
        {
            "kafka_bootstrap_servers": kafka_servers,
            "kafka_topic_prefix": topic_prefix,
            "kafka_group_id": f"{topic_prefix}group",
            "database_url": database_url,
            "activation_delay_seconds": 0,
            "jwt_secret": JWT_SECRET,
            "encryption_keys": ENCRYPTION_KEYS,
            "metrics_port": 0,
            "http_port": 0,
        }
    )


def _give_programs_all_signals() -> None:
    """A program inherits which signals are ignored, as they are here in the background or under nohup, but no handler."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _drop(url: str, name: str) -> None:
    """Forced, whoever is still connected; unless autovacuum is, which only a plain drop may send away (PostgreSQL 15)."""
    for attempt in range(DROP_ATTEMPTS):
        with suppress(asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
            await _execute(url, f"drop database {name} {'with (force)' if attempt % 2 == 0 else ''}")
            return
    raise RuntimeError(f"database {name} is still in use")


def _named(url: str, database: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{database}", parts.query, ""))

"""The services of the tests themselves: they start, survive what fault tests do to them, and leave nothing behind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from goalstream.config import Settings
from goalstream.storage.pool import Database
from tests.services import jars, tiers
from tests.services.broker import Cluster
from tests.services.shared import shared

WAIT_SECONDS = 30
ROOT = Path(__file__).parents[2]

needs_java = pytest.mark.skipif(
    tiers.MODE == "embedded" or (tiers.MODE == "auto" and not jars.can_run()), reason="needs Java 17 and Maven"
)


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def _create_topic(servers: str, name: str, replicas: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        response = await admin.create_topics([NewTopic(name, 1, replicas)])
        assert [code for _, code, *_ in response.topic_errors] == [0]
    finally:
        await admin.close()


async def _produce(servers: str, topic: str, value: bytes) -> None:
    async with asyncio.timeout(WAIT_SECONDS), AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def _read(servers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    async with asyncio.timeout(WAIT_SECONDS), consumer:
        return [(await consumer.getone()).value for _ in range(count)]


@needs_java
async def test_a_killed_broker_comes_back_with_its_data_and_leaves_nothing_behind() -> None:
    with Cluster(heap="256m") as cluster:
        servers = cluster.bootstrap_servers
        await _create_topic(servers, "kept", replicas=1)
        await _produce(servers, "kept", b"before")
        cluster.kill()
        assert not psutil.pid_exists(cluster.pid())
        await asyncio.to_thread(cluster.revive)
        await _produce(servers, "kept", b"after")
        assert await _read(servers, "kept", 2) == [b"before", b"after"]
        cluster.pause()
        _eventually(lambda: psutil.Process(cluster.pid()).status() == psutil.STATUS_STOPPED)
        cluster.resume()
        assert await _read(servers, "kept", 1) == [b"before"]
    assert not psutil.pid_exists(cluster.pid())
    assert not cluster.folder.exists()


@needs_java
@pytest.mark.skipif(not os.environ.get("GOALSTREAM_TEST_NIGHTLY"), reason="nightly: no row for CI has three brokers")
async def test_three_brokers_go_on_without_one_of_them() -> None:
    with Cluster(3, heap="256m") as cluster:
        servers = cluster.bootstrap_servers
        await _create_topic(servers, "replicated", replicas=3)
        await _produce(servers, "replicated", b"with three")
        cluster.kill(2)
        await _produce(servers, "replicated", b"with two")
        await asyncio.to_thread(cluster.revive, 2)
        assert await _read(servers, "replicated", 2) == [b"with three", b"with two"]


@needs_java
def test_a_broker_ends_with_its_owner_even_after_kill_9() -> None:
    code = "import time; from tests.services.broker import Cluster\n"
    code += "with Cluster(heap='256m') as c: print(c.pid(), c.folder, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        assert psutil.pid_exists(int(pid))
        owner.send_signal(signal.SIGKILL)
    _eventually(lambda: not psutil.pid_exists(int(pid)) and not Path(folder).exists())


async def test_the_role_is_bound_by_row_level_security_and_may_create_databases(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        role = await connection.fetchrow(
            "select rolsuper, rolbypassrls, rolcreatedb from pg_roles where rolname = current_user"
        )
    finally:
        await connection.close()
    assert role is not None
    assert dict(role) == {"rolsuper": False, "rolbypassrls": False, "rolcreatedb": True}


async def test_databases_are_migrated_or_empty_as_asked(database: Database, empty_database_url: str) -> None:
    async with database.transaction() as connection:
        assert await connection.fetchval("select to_regclass('goals') is not null")
    empty = await asyncpg.connect(empty_database_url)
    try:
        assert not await empty.fetchval("select count(*) from pg_class where relnamespace = 'public'::regnamespace")
    finally:
        await empty.close()


async def test_the_api_sees_no_account_that_it_did_not_name(api_database: Database, database: Database) -> None:
    for accounts, visible in ((database, 1), (api_database, 0)):
        async with accounts.transaction() as connection:
            if accounts is database:
                await connection.execute(
                    "insert into enrollments (account_id, enrollment_id) values (gen_random_uuid(), gen_random_uuid())"
                )
            assert await connection.fetchval("select count(*) from enrollments") == visible


def test_settings_point_to_what_this_test_was_given(
    settings: Settings, database_url: str, kafka_servers: str, topic_prefix: str
) -> None:
    assert settings.database_url.get_secret_value() == database_url
    assert settings.kafka_bootstrap_servers == kafka_servers
    assert settings.kafka_topic_prefix == topic_prefix
    assert settings.kafka_group_id.startswith(topic_prefix)


async def test_what_is_produced_under_the_prefix_is_read_back(kafka_servers: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}contact.tag.added"
    await _produce(kafka_servers, topic, b"hello")
    assert await _read(kafka_servers, topic, 1) == [b"hello"]


def _use(folder: Path, name: str, entered: Event, leave: Event) -> None:
    with shared(folder, "thing", lambda: _thing(folder, name)) as address:
        (folder / f"{name}.saw").write_text(address)
        entered.set()
        assert leave.wait(WAIT_SECONDS)


@contextmanager
def _thing(folder: Path, name: str) -> Iterator[str]:
    (folder / f"{name}.started").touch()
    yield f"started by {name}"
    (folder / f"{name}.stopped").touch()


class _User:
    """A process that uses the shared thing until it is told to leave."""

    def __init__(self, folder: Path, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._folder, self._name = folder, name
        self.entered, self.leave = context.Event(), context.Event()
        self.process = context.Process(target=_use, args=(folder, name, self.entered, self.leave))
        self.process.start()
        assert self.entered.wait(WAIT_SECONDS)

    @property
    def saw(self) -> str:
        return (self._folder / f"{self._name}.saw").read_text()


def test_processes_share_one_service_until_the_last_has_left(tmp_path: Path) -> None:
    first, second = _User(tmp_path, "first"), _User(tmp_path, "second")
    assert first.saw == second.saw == "started by first"
    first.leave.set()
    third = _User(tmp_path, "third")
    assert third.saw == "started by first"
    assert first.process.is_alive()
    for user in (second, third):
        assert not (tmp_path / "first.stopped").exists()
        user.leave.set()
    for user in (first, second, third):
        user.process.join(WAIT_SECONDS)
        assert user.process.exitcode == 0
    assert (tmp_path / "first.stopped").exists()
    assert not (tmp_path / "second.started").exists()


def test_a_service_whose_owner_was_killed_is_started_anew(tmp_path: Path) -> None:
    first = _User(tmp_path, "first")
    assert first.process.pid is not None
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.join(WAIT_SECONDS)
    second = _User(tmp_path, "second")
    assert second.saw == "started by second"
    second.leave.set()
    second.process.join(WAIT_SECONDS)


async def test_a_test_that_asked_for_no_database_cannot_reach_one(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text(
        "import asyncpg\nasync def test_it() -> None:\n    await asyncpg.connect('postgresql://127.0.0.1/')\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.conftest",
        "-c",
        str(pytestconfig.inipath),
        str(tmp_path),
    ]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "without asking for a database" in done.stdout
    assert "1 failed" in done.stdout


def test_real_services_are_not_replaced_by_embedded_ones(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "GOALSTREAM_TEST_SERVICES": "real"}
    command = [sys.executable, "-m", "pytest", "-q", "tests/unit/test_tokens.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "GOALSTREAM_TEST_SERVICES=real, but there is no real" in done.stderr

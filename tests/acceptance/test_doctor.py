"""`goalstream doctor` from outside: green where all is well, and each thing that can be wrong found and named."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from cryptography.fernet import Fernet
from pydantic import SecretStr

from goalstream.config import Settings
from goalstream.dev.postgres import EmbeddedPostgres, wheel_programs
from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.storage.sealing import Seal
from goalstream.streams.topics import ALL_TOPICS
from tests.acceptance.command import run
from tests.acceptance.crm import Crm, envelope, environment, eventually, running_worker
from tests.acceptance.test_deliverer import running_deliverer, with_keys
from tests.integration.builders import new_id
from tests.integration.endpoints import add_endpoint
from tests.integration.test_redrive import Stage
from tests.services import tiers
from tests.services.broker import free_ports
from tests.services.tiers import RunningKafka, Tier

pytestmark = pytest.mark.timeout(120)

CHECKS = [
    "settings", "versions", "database", "migrations", "row security", "kafka", "topics", "group", "database clock",
    "kafka clock", "outbox", "dead letters", "webhooks", "secrets",
]  # fmt: skip


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As a deployment would have them."""
    return settings.model_copy(update={"metrics_port": free_ports(1)[0]})


def doctor(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("doctor", *arguments, **environment(settings))


def examined(settings: Settings) -> dict[str, dict[str, Any]]:
    """What each check came to; the exit code must fit."""
    found = doctor(settings, "--json")
    document = json.loads(found.stdout)
    assert found.returncode == (1 if document["verdict"] == "wrong" else 0), found.stderr
    assert found.stderr == ""
    assert [check["check"] for check in document["checks"]] == CHECKS
    return {check.pop("check"): check for check in document["checks"]}


def with_database(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database_url": settings.database_url.__class__(url)})


@asynccontextmanager
async def working_stage(settings: Settings) -> AsyncIterator[Crm]:
    """A worker that has acknowledged something."""
    async with Crm(settings) as crm, running_worker(settings):
        topic = "form.submitted"
        await crm.send(topic, envelope(topic, new_id(), {"contact_id": new_id(), "form_id": "f"}))
        await eventually(crm.committed_everything)
        yield crm


@pytest.mark.real_kafka
async def test_a_healthy_stage_is_green_in_every_line(settings: Settings) -> None:
    async with working_stage(settings):
        found = doctor(settings)
        checks = examined(settings)
    assert found.returncode == 0, found.stdout
    assert [line[:1] for line in found.stdout.splitlines()] == ["✓"] * len(CHECKS), found.stdout
    assert {check["verdict"] for check in checks.values()} == {"ok"}
    assert checks["group"]["sentence"].endswith("1 worker, nothing is left to read")
    assert checks["dead letters"]["sentence"] == "no dead letter in the last hour, beside 1 new record"


async def test_the_embedded_kafka_says_what_it_cannot_tell(settings: Settings, kafka: RunningKafka) -> None:
    if kafka.tier is not Tier.EMBEDDED:
        pytest.skip("on the embedded tier only")
    async with working_stage(settings):
        checks = examined(settings)
    unknown = {name for name, check in checks.items() if check["verdict"] == "unknown"}
    assert unknown == {"topics", "kafka clock"}
    assert all("cannot be asked of this broker" in checks[name]["sentence"] for name in (*unknown, "group"))


async def test_a_database_that_is_not_migrated_is_found(settings: Settings, empty_database_url: str) -> None:
    checks = examined(with_database(settings, empty_database_url))
    assert (checks["migrations"]["verdict"], checks["migrations"]["advice"]) == ("wrong", "run `goalstream migrate`")
    assert checks["row security"]["verdict"] == checks["outbox"]["verdict"] == "unknown"
    assert checks["database"]["verdict"] == "ok"


async def test_a_table_without_forced_row_security_is_found(settings: Settings, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("alter table matches no force row level security")
    checks = examined(settings)
    assert checks["row security"]["verdict"] == "wrong"
    assert checks["row security"]["sentence"] == "it is not enabled and forced on matches"


@pytest.fixture
def superuser_url() -> Iterator[str]:
    """A server whose role is a superuser: made so between two starts, since nobody may become one over the network."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o1777)
    data, programs = folder / "kept", tiers.postgres_binaries() or wheel_programs()
    assert programs is not None
    with EmbeddedPostgres(data, binaries=programs):
        pass
    owner = (data / "pgdata").stat()
    as_owner: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    subprocess.run(
        [programs / "postgres", "--single", "-D", data / "pgdata", "template1"],
        input=b"alter role goalstream superuser\n",
        cwd="/",
        check=True,
        capture_output=True,
        **(as_owner if os.geteuid() == 0 else {}),
    )
    with EmbeddedPostgres(data, binaries=programs) as server:
        yield server.url
    shutil.rmtree(folder)


async def test_a_role_that_row_security_does_not_bind_is_found(settings: Settings, superuser_url: str) -> None:
    await migrate(superuser_url)
    security = examined(with_database(settings, superuser_url))["row security"]
    assert (security["verdict"], security["sentence"]) == ("wrong", "it does not bind the role goalstream")
    assert security["advice"] == "give goalstream a role that is neither superuser nor bypassrls"


async def test_messages_that_nobody_publishes_are_found(settings: Settings, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            """insert into outbox (account_id, message_id, topic, subject, time, body, created_at, publish_after)
               values (gen_random_uuid(), gen_random_uuid(), 't', 's', now(), '{}', now(), now() - interval '2 hours')"""
        )
    outbox = examined(settings)["outbox"]
    assert outbox["verdict"] == "wrong"
    assert outbox["sentence"].startswith("1 message, the oldest due for 2:00:")


async def test_webhooks_to_which_nobody_sends_are_found(settings: Settings, database: Database) -> None:
    assert examined(settings)["webhooks"]["sentence"] == "there are none to send to"
    await add_endpoint(database, "https://example.com/")
    topic = f"{settings.kafka_topic_prefix}workflow.goal.achieved"
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers) as producer:
        await producer.send_and_wait(topic, b"{}")
    webhooks = examined(settings)["webhooks"]
    assert webhooks["verdict"] == "wrong"
    assert webhooks["sentence"].startswith(f"1 webhook, group {settings.deliverers_group_id}: ")
    assert webhooks["sentence"].endswith(f"1 record behind ({topic} 1)")


@pytest.mark.real_kafka
async def test_a_deliverer_that_keeps_up_is_well(settings: Settings, database: Database) -> None:
    settings = with_keys(settings)
    await add_endpoint(database, "https://example.com/")
    webhooks = examined(settings)["webhooks"]
    assert (webhooks["verdict"], webhooks["advice"]) == ("warning", "start `goalstream deliverer`")

    async def has_joined() -> bool:
        found = await asyncio.to_thread(examined, settings)
        wanted = f"1 webhook, group {settings.deliverers_group_id}: 1 deliverer, nothing is left to read"
        return bool(found["webhooks"]["sentence"] == wanted)

    async with running_deliverer(settings):
        await eventually(has_joined)


async def test_secrets_that_no_key_opens_any_more_are_found(settings: Settings, database: Database) -> None:
    first, second = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    def secrets(*keys: str) -> tuple[str, str]:
        given = SecretStr(",".join(keys)) if keys else None
        found = examined(settings.model_copy(update={"encryption_keys": given}))["secrets"]
        return found["verdict"], found["sentence"]

    assert secrets()[0] == secrets(first)[0] == "ok"
    for key in (first, first, second):
        await add_endpoint(database, "https://example.com/", seal=Seal(key))
    assert secrets(second, first) == ("ok", "of 3 webhooks and hooks, 2 need a key that is not the first: keep it")
    assert secrets(second) == ("wrong", "of 3 webhooks and hooks, 2 were encrypted with a key that is gone")
    assert secrets() == ("warning", "GOALSTREAM_ENCRYPTION_KEYS is not set here, and 3 webhooks and hooks need it")


async def test_missing_topics_are_found(settings: Settings) -> None:
    checks = examined(settings.model_copy(update={"kafka_topic_prefix": f"{settings.kafka_topic_prefix}none."}))
    assert (checks["topics"]["verdict"], checks["topics"]["advice"]) == ("wrong", "run `goalstream topics`")
    assert checks["group"]["verdict"] == "unknown"


@pytest.mark.real_kafka
async def test_a_topic_that_is_set_wrongly_is_found_with_the_command_that_mends_it(settings: Settings) -> None:
    prefix = settings.kafka_topic_prefix
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    for topic, changes in {
        "form.submitted": {"message.timestamp.type": "LogAppendTime"},
        "goalstream.dead-letter": {"cleanup.policy": "compact", "max.message.bytes": "1000000"},
        "workflow.goal.configured": {"cleanup.policy": "compact,delete"},
    }.items():
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, prefix + topic, configs=changes)])
    await admin.close()
    wanted = {
        f"{prefix}form.submitted has message.timestamp.type=LogAppendTime",
        f"{prefix}goalstream.dead-letter has cleanup.policy=compact",
        f"{prefix}goalstream.dead-letter has max.message.bytes=1000000",
    }
    topics = examined(settings)["topics"]
    end = time.monotonic() + 30
    while set(topics["sentence"].split("; ")) != wanted and time.monotonic() < end:
        topics = examined(settings)["topics"]  # a change that Kafka has accepted takes a moment to be told
    assert topics["verdict"] == "wrong"
    assert set(topics["sentence"].split("; ")) == wanted
    mending = f"--alter --topic {prefix}form.submitted --add-config message.timestamp.type=CreateTime"
    assert mending in topics["advice"]


async def test_records_that_nobody_reads_are_found(settings: Settings) -> None:
    async with working_stage(settings):
        pass
    async with Crm(settings) as crm:
        await crm.send("form.submitted", b"{}")
    group = examined(settings)["group"]
    assert group["verdict"] == "wrong"
    assert f"1 record behind ({settings.kafka_topic_prefix}form.submitted 1)" in group["sentence"]


@pytest.mark.real_kafka
async def test_before_the_first_worker_there_is_only_a_warning(settings: Settings) -> None:
    group = examined(settings)["group"]
    assert (group["verdict"], group["advice"]) == ("warning", "start `goalstream worker`")


@pytest.mark.real_kafka
async def test_a_worker_that_stands_still_is_found(settings: Settings, database: Database) -> None:
    async with working_stage(settings) as crm:
        async with database.transaction() as connection:
            await connection.execute("alter table enrollment_starts rename to away")
        topic = "workflow.enrollment.started"
        ids = {"enrollment_id": new_id(), "workflow_id": new_id(), "contact_id": new_id()}
        await crm.send(topic, envelope(topic, new_id(), ids))
        group = examined(settings)["group"]
        async with database.transaction() as connection:
            await connection.execute("alter table away rename to enrollment_starts")
    assert (group["verdict"], group["advice"].partition(":")[0]) == ("wrong", "it stands still")


@pytest.mark.real_kafka
async def test_what_a_transaction_leaves_in_the_log_is_no_record_that_waits(settings: Settings) -> None:
    async with working_stage(settings):
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers, transactional_id=settings.kafka_topic_prefix
        )
        async with producer, producer.transaction():
            topic = "form.submitted"
            event = envelope(topic, new_id(), {"contact_id": new_id(), "form_id": "f"})
            await producer.send_and_wait(settings.kafka_topic_prefix + topic, json.dumps(event).encode(), partition=0)
        assert examined(settings)["group"]["verdict"] == "ok"


async def test_dead_letters_of_the_last_hour_are_counted_by_reason_but_not_their_marks(settings: Settings) -> None:
    stage = Stage(settings.kafka_bootstrap_servers, settings.kafka_topic_prefix)
    await stage.set_aside(stage.record(1), stage.record(2))
    await stage.redrive()
    letters = examined(settings)["dead letters"]
    assert letters["verdict"] == "warning"
    assert letters["sentence"].startswith("2 dead letters in the last hour (2 not_json), ")


async def test_with_every_service_away_all_is_told_within_30_seconds(settings: Settings) -> None:
    away = with_database(settings, "postgresql://x@127.0.0.1:1/x")
    begin = time.monotonic()
    checks = examined(away.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"}))
    assert time.monotonic() - begin < 30
    assert {name for name, check in checks.items() if check["verdict"] == "wrong"} == {"database", "kafka"}
    assert {name for name, check in checks.items() if check["verdict"] == "ok"} == {"settings", "versions"}
    assert "GOALSTREAM_DATABASE_URL" in checks["database"]["advice"]
    assert "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS" in checks["kafka"]["advice"]


async def test_one_service_away_hides_nothing_about_the_other(settings: Settings) -> None:
    checks = examined(with_database(settings, "postgresql://x@127.0.0.1:1/x"))
    assert checks["database"]["verdict"] == "wrong"
    assert checks["kafka"]["verdict"] == "ok"
    assert f"{len(ALL_TOPICS)} topics" in checks["topics"]["sentence"]


def test_wrong_settings_are_told_with_exit_code_2() -> None:
    found = run("doctor", "--json", GOALSTREAM_JWT_SECRET="short")
    assert found.returncode == 2
    settings, versions = json.loads(found.stdout)["checks"]
    assert (settings["verdict"], settings["sentence"]) == (
        "wrong",
        "GOALSTREAM_JWT_SECRET: must have at least 32 bytes",
    )
    assert versions["verdict"] == "ok"
    assert run("doctor", GOALSTREAM_JWT_SECRET="short").stdout.startswith(
        "✗ settings  GOALSTREAM_JWT_SECRET: must have"
    )

"""Which PostgreSQL and which Kafka the tests run on, and starting them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from goalstream.dev.kafka import EmbeddedKafka
from goalstream.dev.postgres import EmbeddedPostgres
from tests.services import broker

MODE = os.environ.get("GOALSTREAM_TEST_SERVICES", "auto")
"""`auto` takes the best there is, `real` refuses the embedded tier, `embedded` insists on it."""

KAFKA = os.environ.get("GOALSTREAM_TEST_KAFKA")
DATABASE_URL = os.environ.get("GOALSTREAM_TEST_DATABASE_URL")

POSTGRES_IMAGE = "postgres:17-alpine"
KAFKA_IMAGE = "apache/kafka:4.1.0"


class Tier(StrEnum):
    """Where a service comes from."""

    GIVEN = "given"
    DOCKER = "docker"
    MACHINE = "machine"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class RunningKafka:
    """A Kafka that tests may use; `create_topic` is there on the embedded tier, which has no admin protocol."""

    bootstrap_servers: str
    tier: Tier
    embedded: EmbeddedKafka | None = None


def kafka_tier() -> Tier:
    return _tier(KAFKA, has_own=broker.can_run(), what="Kafka: needs Docker, or Java 17 and Maven")


def postgres_tier() -> Tier:
    has_own = postgres_binaries() is not None
    return _tier(DATABASE_URL, has_own=has_own, what="PostgreSQL: needs Docker, or the server's programs")


def describe_tiers() -> str:
    """One line for the header of a test run."""
    return f"services: postgresql={postgres_tier()} kafka={kafka_tier()} (GOALSTREAM_TEST_SERVICES={MODE})"


@contextmanager
def running_kafka() -> Iterator[RunningKafka]:
    """A Kafka of the tier in force, until the end of the block."""
    match kafka_tier():
        case Tier.GIVEN:
            yield RunningKafka(KAFKA or "", Tier.GIVEN)
        case Tier.DOCKER:
            from testcontainers.community.kafka import KafkaContainer

            with KafkaContainer().with_kraft() as container:
                yield RunningKafka(container.get_bootstrap_server(), Tier.DOCKER)
        case Tier.MACHINE:
            with broker.Broker() as node:
                yield RunningKafka(node.bootstrap_servers, Tier.MACHINE)
        case Tier.EMBEDDED:
            with EmbeddedKafka({}) as embedded:
                yield RunningKafka(embedded.bootstrap_servers, Tier.EMBEDDED, embedded)


@contextmanager
def running_postgres() -> Iterator[str]:
    """The URL of a PostgreSQL whose role is no superuser and may create databases."""
    match postgres_tier():
        case Tier.GIVEN:
            yield DATABASE_URL or ""
        case Tier.DOCKER:
            from testcontainers.community.postgres import PostgresContainer

            with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
                make_role = "create role goalstream login createdb password 'goalstream'; create database goalstream owner goalstream"
                for statement in make_role.split("; "):
                    container.exec(["psql", "-U", container.username, "-d", container.dbname, "-c", statement])
                url = urlsplit(container.get_connection_url())
                address = f"goalstream:goalstream@{url.hostname}:{url.port}"
                yield urlunsplit(("postgresql", address, "/goalstream", "", ""))
        case Tier.MACHINE:
            with EmbeddedPostgres(binaries=postgres_binaries()) as server:
                yield server.url
        case Tier.EMBEDDED:
            with EmbeddedPostgres() as server:
                yield server.url


@cache
def postgres_binaries() -> Path | None:
    """The folder with this machine's own PostgreSQL server, newest first."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@cache
def _has_docker() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=10).returncode == 0


@cache
def _tier(given: str | None, *, has_own: bool, what: str) -> Tier:
    if MODE == "embedded":
        return Tier.EMBEDDED
    if given:
        return Tier.GIVEN
    if has_own:
        return Tier.MACHINE
    if _has_docker():
        return Tier.DOCKER
    if MODE == "real":
        raise RuntimeError(f"GOALSTREAM_TEST_SERVICES=real, but there is no real {what}")
    return Tier.EMBEDDED

"""Which PostgreSQL and which Kafka the tests run on, and starting them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from goalstream.dev.kafka import EmbeddedKafka
from goalstream.dev.postgres import EmbeddedPostgres
from tests.services import containers, jars
from tests.services.broker import Cluster
from tests.services.shared import shared

MODE = os.environ.get("GOALSTREAM_TEST_SERVICES", "auto")
"""`auto` takes the best there is, `real` refuses the embedded tier, `embedded` insists on it."""

KAFKA = os.environ.get("GOALSTREAM_TEST_KAFKA")
DATABASE_URL = os.environ.get("GOALSTREAM_TEST_DATABASE_URL")


class Tier(StrEnum):
    """Where a service comes from, in the order in which they are tried."""

    GIVEN = "given"
    DOCKER = "docker"
    MACHINE = "machine"
    EMBEDDED = "embedded"


class NoRealService(Exception):
    """GOALSTREAM_TEST_SERVICES=real, and there is nothing real to run on."""


@dataclass(frozen=True, slots=True)
class RunningKafka:
    """A Kafka that tests may use; `embedded` is there on that tier, to create topics through."""

    bootstrap_servers: str
    tier: Tier
    embedded: EmbeddedKafka | None = None


@cache
def kafka_tier() -> Tier:
    """Raises NoRealService."""
    needs = "Kafka: set GOALSTREAM_TEST_KAFKA, start Docker, or install Java 17 and Maven"
    return _tier(KAFKA, has_own=jars.can_run, needs=needs)


@cache
def postgres_tier() -> Tier:
    """Raises NoRealService."""
    needs = "PostgreSQL: set GOALSTREAM_TEST_DATABASE_URL, start Docker, or install the server's programs"
    return _tier(DATABASE_URL, has_own=lambda: postgres_binaries() is not None, needs=needs)


def describe_tiers() -> str:
    """One line for the header of a test run. Raises NoRealService."""
    return f"services: postgresql={postgres_tier()} kafka={kafka_tier()} (GOALSTREAM_TEST_SERVICES={MODE})"


@contextmanager
def running_kafka(folder: Path) -> Iterator[RunningKafka]:
    """A Kafka of the tier in force, shared by all processes that name this folder; the embedded one is each its own."""
    tier = kafka_tier()
    if tier is Tier.GIVEN:
        yield RunningKafka(KAFKA or "", tier)
    elif tier is Tier.EMBEDDED:
        with EmbeddedKafka({}) as embedded:
            yield RunningKafka(embedded.bootstrap_servers, tier, embedded)
    else:
        start = containers.kafka if tier is Tier.DOCKER else _machine_kafka
        with shared(folder, "kafka", start) as bootstrap_servers:
            yield RunningKafka(bootstrap_servers, tier)


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL whose role is no superuser and may create databases; shared as Kafka is."""
    tier = postgres_tier()
    if tier is Tier.GIVEN:
        yield DATABASE_URL or ""
    else:
        start = containers.postgres if tier is Tier.DOCKER else _own_postgres
        with shared(folder, "postgres", start) as url:
            yield url


@cache
def postgres_binaries() -> Path | None:
    """The folder with this machine's own PostgreSQL server, newest first."""
    numbered = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdecimal()]
    folders = sorted(numbered, key=lambda path: int(path.parent.name), reverse=True)
    if pg_config := shutil.which("pg_config"):
        said = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False).stdout
        folders.append(Path(said.strip() or "/"))
    if initdb := shutil.which("initdb"):
        folders.append(Path(initdb).resolve().parent)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@contextmanager
def _machine_kafka() -> Iterator[str]:
    with Cluster() as cluster:
        yield cluster.bootstrap_servers


@contextmanager
def _own_postgres() -> Iterator[str]:
    with EmbeddedPostgres(binaries=postgres_binaries() if postgres_tier() is Tier.MACHINE else None) as server:
        yield server.url


def _tier(given: str | None, *, has_own: Callable[[], bool], needs: str) -> Tier:
    if MODE == "embedded":
        return Tier.EMBEDDED
    if MODE not in ("auto", "real"):
        raise NoRealService(f"GOALSTREAM_TEST_SERVICES is auto, real or embedded, not {MODE!r}")
    if given:
        return Tier.GIVEN
    if containers.engine_answers():
        return Tier.DOCKER
    if has_own():
        return Tier.MACHINE
    if MODE == "real":
        raise NoRealService(f"GOALSTREAM_TEST_SERVICES=real, but there is no real {needs}")
    return Tier.EMBEDDED

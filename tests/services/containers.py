"""Apache Kafka and PostgreSQL in containers, where a Docker engine answers; testcontainers removes what is left behind."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from tests.services.broker import free_ports
from tests.services.jars import kafka_version

POSTGRES_IMAGE = "postgres:17-alpine"
ROLE = "goalstream"
SOCKET = Path("/var/run/docker.sock")
PING_SECONDS = 3
START_SECONDS = 120


@cache
def engine_answers() -> bool:
    """Whether there is a Docker engine, not only its client."""
    if "DOCKER_HOST" not in os.environ and not SOCKET.exists():
        return False
    import docker  # type: ignore[import-untyped]
    from docker.errors import DockerException  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        # docker 7.1 leaves its socket open where nobody answers: collected here, it is no warning in some test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(docker.from_env(timeout=PING_SECONDS)) as client:
                return bool(client.ping())
        except (DockerException, OSError):
            return False
        finally:
            gc.collect()


@contextmanager
def kafka() -> Iterator[str]:
    """The bootstrap servers of one broker that speaks to this machine only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    (port,) = free_ports(1)
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "CLIENT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
        # Clients are sent to this address, so the port outside must be known before the broker starts.
        "KAFKA_ADVERTISED_LISTENERS": f"CLIENT://127.0.0.1:{port}",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "CLIENT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    started = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(START_SECONDS)
    container = DockerContainer(f"apache/kafka:{kafka_version()}").with_envs(**settings)
    # with_bind_ports() would open it to the network
    container.ports["9092/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]  # docker takes an address too
    with container.waiting_for(started):
        yield f"127.0.0.1:{port}"


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a role that is no superuser, so that row-level security binds it, and may create databases."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
        for statement in (
            f"create role {ROLE} login createdb password '{ROLE}'",
            f"create database {ROLE} owner {ROLE}",
        ):
            code, said = container.exec(["psql", "-U", container.username, "-d", container.dbname, "-c", statement])
            if code:
                raise RuntimeError(f"PostgreSQL in its container refuses: {said.decode()}")
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(container.port)}"
        yield f"postgresql://{ROLE}:{ROLE}@{address}/{ROLE}"

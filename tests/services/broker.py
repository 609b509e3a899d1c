"""A real Apache Kafka without Docker: one broker or three in KRaft mode, run by this machine's own Java."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services.jars import libraries
from tests.services.leftovers import Watcher

LOGGING = Path(__file__).parent / "kafka" / "log4j2.properties"
START_SECONDS = 90
STOP_SECONDS = 20
CLUSTER_ID = "goalstreamAAAAAAAAAAAA"


@dataclass(slots=True)
class _Node:
    """One broker, which is a controller too."""

    folder: Path
    port: int
    controller_port: int
    detour_port: int
    sasl_port: int
    tls_port: int
    process: subprocess.Popen[bytes] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Detour:
    """A second way to a broker: who comes by `announced_port` is told to stay there, and the broker listens on `port`.

    So that whoever listens on the one and passes on to the other has all that such a client and the broker say.
    """

    announced_port: int
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What secured ways to the brokers need: a file with key and certificate, one with who vouches for clients (all PEM), a user."""

    key_store: Path
    trust_store: Path
    user: str
    password: str


class Cluster:
    """Brokers on free ports of 127.0.0.1, numbered from 1; each can be killed, paused, and revived on its data."""

    def __init__(self, nodes: int = 1, *, heap: str = "384m", security: Security | None = None) -> None:
        """`heap` is the size of each broker's memory, as Java writes it; with `security` there are secured ways as well."""
        self._heap, self._security = heap, security
        self.folder = Path(tempfile.mkdtemp(prefix="goalstream-brokers-"))
        ports = free_ports(6 * nodes)
        self._nodes = {
            number: _Node(
                self.folder / f"node-{number}", ports.pop(), ports.pop(), ports.pop(), ports.pop(), ports.pop()
            )
            for number in range(1, nodes + 1)
        }
        self._announced_ports = dict(zip(self._nodes, ports, strict=True))
        self._watcher: Watcher | None = None

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self._nodes.values())

    @property
    def sasl_port(self) -> int:
        """Where the first broker takes clients with SASL_SSL and SCRAM-SHA-512."""
        return self._nodes[1].sasl_port

    @property
    def tls_port(self) -> int:
        """Where it takes clients with SSL that show a certificate."""
        return self._nodes[1].tls_port

    def detour(self, node: int = 1) -> Detour:
        """A way to this broker on which nobody listens yet."""
        return Detour(self._announced_ports[node], self._nodes[node].detour_port)

    def pid(self, node: int = 1) -> int:
        """The process that is, or last was, this broker."""
        process = self._nodes[node].process
        assert process is not None, "not started"
        return process.pid

    def start(self) -> None:
        """Formats the storage and starts the brokers; returns when all listen."""
        classpath = f"{libraries()}/*"
        self._watcher = Watcher(self.folder, "java")
        secured = self._security
        users = ["--add-scram", f"SCRAM-SHA-512=[name={secured.user},password={secured.password}]"] if secured else []
        for number, node in self._nodes.items():
            node.folder.mkdir()
            properties = node.folder / "server.properties"
            properties.write_text(self._properties(number))
            subprocess.run(
                ["java", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=ERROR", "-cp", classpath,
                 "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties), *users],
                check=True, capture_output=True,
            )  # fmt: skip
        for number in self._nodes:
            self._launch(number)
        for number in self._nodes:
            self._wait_until_it_listens(number)

    def revive(self, node: int = 1) -> None:
        """Starts a killed broker on the data that it has; returns when it listens."""
        self._launch(node)
        self._wait_until_it_listens(node)

    def is_alive(self, node: int = 1) -> bool:
        """Whether its process is there, paused or not."""
        process = self._nodes[node].process
        return process is not None and process.poll() is None

    def kill(self, node: int = 1) -> None:
        """kill -9, as a machine dies; returns when the process is gone."""
        self._signal(node, signal.SIGKILL)

    def pause(self, node: int = 1) -> None:
        """SIGSTOP: the broker hangs without dying; returns when all its threads do, since one that still runs may answer."""
        self._signal(node, signal.SIGSTOP)
        os.waitpid(self.pid(node), os.WUNTRACED)

    def resume(self, node: int = 1) -> None:
        """Lets a paused broker go on."""
        self._signal(node, signal.SIGCONT)

    def close(self) -> None:
        """Ends the brokers and removes their data; more than once is harmless."""
        for number in self._nodes:
            self._signal(number, signal.SIGKILL)
        if self._watcher is not None:
            self._watcher.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _launch(self, number: int) -> None:
        node = self._nodes[number]
        with (node.folder / "broker.log").open("ab") as log:
            node.process = subprocess.Popen(
                ["java", f"-Xmx{self._heap}", f"-Xms{self._heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                 "-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={LOGGING}", "-cp", f"{libraries()}/*",
                 "kafka.Kafka", str(node.folder / "server.properties")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _wait_until_it_listens(self, number: int) -> None:
        node = self._nodes[number]
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and node.process is not None and node.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", node.port)) == 0:
                    return
            time.sleep(0.05)
        said = (node.folder / "broker.log").read_text()[-2_000:]
        raise RuntimeError(f"broker {number} did not start:\n{said}")

    def _signal(self, number: int, signal_number: signal.Signals) -> None:
        process = self._nodes[number].process
        if process is None:
            return
        process.send_signal(signal_number)
        if signal_number is signal.SIGKILL:
            process.wait(STOP_SECONDS)

    def _properties(self, number: int) -> str:
        node, count = self._nodes[number], len(self._nodes)
        voters = ",".join(f"{other}@127.0.0.1:{each.controller_port}" for other, each in self._nodes.items())
        properties = {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"CLIENT://127.0.0.1:{node.port},DETOUR://127.0.0.1:{node.detour_port},"
            f"CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{node.port},"
            f"DETOUR://127.0.0.1:{self._announced_ports[number]}",
            "inter.broker.listener.name": "CLIENT",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": node.folder / "data",
            "default.replication.factor": count,
            "min.insync.replicas": count // 2 + 1,
            "offsets.topic.replication.factor": count,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": count,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 2,
            "share.coordinator.state.topic.replication.factor": count,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "auto.create.topics.enable": "false",
            "log.cleaner.dedupe.buffer.size": 16_000_000,
        }
        if (secured := self._security) is not None:
            for names, ways in {
                "listeners": f"SASL://127.0.0.1:{node.sasl_port},TLS://127.0.0.1:{node.tls_port}",
                "advertised.listeners": f"SASL://127.0.0.1:{node.sasl_port},TLS://127.0.0.1:{node.tls_port}",
                "listener.security.protocol.map": "SASL:SASL_SSL,TLS:SSL",
            }.items():
                properties[names] = f"{properties[names]},{ways}"
            properties |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": secured.key_store,
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": secured.trust_store,
                "listener.name.tls.ssl.client.auth": "required",
                "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
            }
        return "\n".join(f"{name}={value}" for name, value in properties.items())


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports

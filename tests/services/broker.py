"""A real Apache Kafka without Docker: the jars come from Maven, Java 17 or newer runs them, one node in KRaft mode."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent / "kafka"
START_SECONDS = 90
STOP_SECONDS = 20
HEAP = "384m"

_WATCHER = """
import os, shutil, signal, sys
pid, folder = int(sys.argv[1]), sys.argv[2]
sys.stdin.buffer.read()
for line in open(os.path.join(folder, "pid")):
    try:
        os.kill(int(line), signal.SIGKILL)
    except (OSError, ValueError):
        pass
shutil.rmtree(folder, ignore_errors=True)
"""
"""Ends the broker and removes its data when the test run is gone, also after SIGKILL: its end of a pipe closes."""


def can_run() -> bool:
    """Whether this machine has what the broker needs."""
    return shutil.which("java") is not None and shutil.which("mvn") is not None


class Broker:
    """One broker on a free port of 127.0.0.1; it can be killed, frozen and revived on its data."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="goalstream-broker-"))
        self._port, self._controller_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Formats the storage and starts the broker; returns when it listens."""
        libraries = _libraries()
        (self._folder / "pid").write_text("")
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-c", _WATCHER, str(os.getpid()), str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        properties = self._folder / "server.properties"
        properties.write_text(self._properties())
        subprocess.run(
            ["java", "-cp", f"{libraries}/*", "-Dlog4j2.level=ERROR", "kafka.tools.StorageTool", "format",
             "-t", "goalstreamAAAAAAAAAAAA", "-c", str(properties)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.revive()

    def revive(self) -> None:
        """Starts the broker on the data that it has; returns when it listens."""
        log = (self._folder / "broker.log").open("ab")
        self._process = subprocess.Popen(
            ["java", f"-Xmx{HEAP}", f"-Xms{HEAP}", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
             f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
             "-cp", f"{_libraries()}/*", "kafka.Kafka", str(self._folder / "server.properties")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        (self._folder / "pid").write_text(str(self._process.pid))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("the broker did not start:\n" + (self._folder / "broker.log").read_text()[-2_000:])

    def kill(self) -> None:
        """kill -9, as a machine dies."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: the broker hangs without dying."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stops the broker and removes its data."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        if self._watcher is not None and self._watcher.stdin is not None:
            self._watcher.stdin.close()
            self._watcher.wait(STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _properties(self) -> str:
        return "\n".join(
            f"{name}={value}"
            for name, value in {
                "process.roles": "broker,controller",
                "node.id": 1,
                "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
                "controller.listener.names": "CONTROLLER",
                "listeners": f"CLIENT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}",
                "advertised.listeners": f"CLIENT://127.0.0.1:{self._port}",
                "inter.broker.listener.name": "CLIENT",
                "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "log.dirs": self._folder / "data",
                "offsets.topic.replication.factor": 1,
                "offsets.topic.num.partitions": 4,
                "transaction.state.log.replication.factor": 1,
                "transaction.state.log.min.isr": 1,
                "share.coordinator.state.topic.replication.factor": 1,
                "group.initial.rebalance.delay.ms": 0,
                "group.min.session.timeout.ms": 1000,
                "auto.create.topics.enable": "false",
                "log.cleaner.dedupe.buffer.size": 16_000_000,
            }.items()
        )


def _libraries() -> Path:
    """The broker's jars, brought by Maven once and kept in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "goalstream-tests" / "kafka-4.3.0"
    if not (cache / ".complete").exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={cache}"],
            check=True, stdout=sys.stderr,
        )  # fmt: skip
        (cache / ".complete").touch()
    return cache


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports

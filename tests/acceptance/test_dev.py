"""`goalstream dev` from outside: the first goal within seconds, something to try, and nothing left at the end."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import fastapi
import httpx
import psutil
import pytest

from goalstream.dev.world import make_world
from tests.services.interpreters import interpreter_for_everybody
from tests.services.processes import user_ids_of

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
"""For a loaded machine; a free one needs three to five."""

STOP_SECONDS = 30
FIRST_GOAL_SECONDS = 20
"""From the command. Two or three on a machine at rest (`python -m benchmarks.first_goal`); tests share theirs with others."""

MAX_RESIDENT_BYTES = 400 * 1024 * 1024

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everything temporary goes, so that nothing can stay unseen; every account may enter it."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


class Dev:
    """A running `goalstream dev`, whose output is read line by line."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        command: Sequence[str] = (sys.executable, "-m", "goalstream"),
        only: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """`only` is all of the environment, instead of ours; `options` are of the process."""
        self._folder = folder
        self._lines: list[str] = []
        self._rest = ""
        self._begin = time.monotonic()
        self._process = subprocess.Popen(
            [*command, "dev", *arguments],
            env=only or {**os.environ, "TMPDIR": str(folder), "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self.family: list[psutil.Process] = []
        self._ports: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def age_seconds(self) -> float:
        """Since the command was given."""
        return time.monotonic() - self._begin

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line, of those read and those to come, in which the pattern is found."""
        end = time.monotonic() + START_SECONDS
        looked_at = 0
        while True:
            for line in self._lines[looked_at:]:
                if found := re.search(pattern, line):
                    self._remember_family()
                    return found
            looked_at = len(self._lines)
            assert time.monotonic() < end, f"{pattern!r} not seen in:\n{self.text}"
            assert self._read_more(1), f"{pattern!r} not seen before the end of:\n{self.text}\n{self._errors()}"

    def send_signal(self, number: signal.Signals) -> int:
        """Sends a signal and returns the exit code."""
        self._remember_family()
        begin = time.monotonic()
        self._process.send_signal(number)
        while self._read_more(STOP_SECONDS):
            assert time.monotonic() < begin + STOP_SECONDS, "it does not stop"
        return self._process.wait(STOP_SECONDS)

    def close_output(self) -> int:
        """Nobody reads any more; returns the exit code."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self._process.wait(START_SECONDS)

    def resident_bytes(self) -> int:
        """Of all its processes together; what they share is counted in each."""
        resident = 0
        for process in [psutil.Process(self._process.pid), *self.family]:
            with contextlib.suppress(psutil.NoSuchProcess):  # PostgreSQL's come and go
                resident += process.memory_info().rss
        return resident

    def assert_nothing_stays(self) -> None:
        """No process, no file, no port and no shared memory."""
        end = time.monotonic() + STOP_SECONDS
        while any(process.is_running() for process in self.family) or list(self._folder.iterdir()):
            assert time.monotonic() < end, f"left: {self.family} {sorted(self._folder.rglob('*'))[:9]}"
            time.sleep(0.02)
        ports = self._ports | {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", self.text)}
        assert ports, "it listened before"
        assert not ports & listening(None)
        ids = {str(process.pid) for process in self.family}
        shared = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
        assert not [line for line in shared if line[4] in ids]

    def assert_no_errors(self) -> None:
        assert self._errors() == ""

    def _errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read().decode() if self._process.poll() is not None else ""

    def _remember_family(self) -> None:
        if self._process.poll() is None:
            self.family = psutil.Process(self._process.pid).children(recursive=True)
            self._ports |= listening({self._process.pid, *(process.pid for process in self.family)})

    def _read_more(self, seconds: float) -> bool:
        """Whether the output goes on."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return True
        chunk = os.read(self._process.stdout.fileno(), 65_536)
        *lines, self._rest = (self._rest + chunk.decode()).split("\n")
        self._lines += lines
        return bool(chunk)


def pasted(*commands: str) -> str:
    """What printed commands show in another terminal."""
    shell = ["sh", "-euc", "\n".join(commands)]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def listening(processes: set[int] | None) -> set[int]:
    """Ports on which these processes listen, or any."""
    return {
        connection.laddr.port
        for connection in psutil.net_connections("tcp")
        if connection.laddr
        and connection.status == psutil.CONN_LISTEN
        and (processes is None or connection.pid in processes)
    }


def test_the_first_goal_is_achieved_within_seconds_and_ctrl_c_leaves_nothing(folder: Path) -> None:
    with Dev(folder, "--seed", "11", "--rate", "100") as dev:
        dev.wait_for(r"✓ Kafka +in-process, \d+ topics +127\.0\.0\.1:\d+")
        dev.wait_for(r"✓ PostgreSQL +\d+\.\d+, throw-away +127\.0\.0\.1:\d+")
        dev.wait_for(r"✓ Schema +\d+ migrations, 5 demo goals \(one per type\)")
        dev.wait_for(r"✓ Worker +\d+ partitions")
        dev.wait_for(r"✓ First goal +achieved, counted from the start +\d+\.\d s")
        assert dev.age_seconds < FIRST_GOAL_SECONDS

        url = dev.wait_for(r"API +(http://127\.0\.0\.1:\d+)/docs")[1]
        token = dev.wait_for(r"Console +http://127\.0\.0\.1:\d+/#token=(\S+)")[1]
        settings = dev.wait_for(r"^ +(export GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS=.+)$")[1]
        explain = dev.wait_for(r"^ +(\S+goalstream explain --contact [0-9a-f-]{36} --goal [0-9a-f-]{36})$")[1]
        assert re.search("achieved", pasted(settings, explain))
        workflow = dev.wait_for(r"goalstream goals stats ([0-9a-f-]{36})$")[1]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
            assert http.get("/docs").status_code == 200
            assert "goalstream_achievements_total" in http.get("/metrics").text
            goal = {"goal_type": "tag_added", "criteria": {"tag_name": "Newsletter"}}
            made = http.post(f"/api/v1/workflows/{workflow}/goals", json=goal)
            assert made.status_code == 201, made.text
            too_many = {"goal_type": "tag_added", "criteria": {"tag_name": "One more"}}
            assert http.post(f"/api/v1/workflows/{workflow}/goals", json=too_many).status_code == 400

        dev.wait_for(r"achieved +\w+ \w+: achieved form \"spring-promo\" in Spring promo \(1 of 3\)")
        dev.wait_for(r"no match +\w+ \w+: .+ is not ")
        dev.wait_for(r"came again: ignored")
        dev.wait_for(r"health +\d+ events/s, p50 \d+ ms, p99 \d+ ms, lag \d+, \d+ dead letters, \d+ achieved")
        dev.wait_for(r"dead letter .+ set aside: \w+, ")
        assert dev.resident_bytes() < MAX_RESIDENT_BYTES

        assert dev.send_signal(signal.SIGINT) == 0
        assert re.search(r"In \d+ s you saw [\d,]+ records, [\d,]+ achieved goals", dev.text)
        assert "docker compose up" in dev.text
        dev.assert_nothing_stays()
        dev.assert_no_errors()


def test_without_simulation_the_printed_commands_send_events_that_achieve_goals(folder: Path) -> None:
    with Dev(folder, "--no-sim") as dev:
        settings = dev.wait_for(r"^ +(export GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS=\S+ GOALSTREAM_API_URL=.+)$")[1]
        send = dev.wait_for(r"^ +(printf .+ \| \S+goalstream send -)$")[1]
        make, stats = (dev.wait_for(rf"^ +(\S+goalstream goals {verb} .+)$")[1] for verb in ("add", "stats"))
        dev.wait_for("Waiting for your events")
        pasted(settings, send)
        dev.wait_for(r"achieved +contact [0-9a-f]{8}: achieved form \"spring-promo\" in Spring promo \(1 of 3\)")
        assert "tag_name=Newsletter" in pasted(settings, make)
        assert "0 of 0 enrollments" in pasted(settings, stats)
        assert "goalstream-dev" in pasted(settings, f"{make.split()[0]} doctor || true")
        records = send.replace('"form.submitted", ', '"form.submitted", "event_id": "evt-mine", ')
        for _ in range(2):
            pasted(settings, records)
        dev.wait_for(r"duplicate +contact [0-9a-f]{8}: .+ came again: ignored \(evt-mine\)")

        assert dev.send_signal(signal.SIGTERM) == 0
        dev.assert_nothing_stays()
        dev.assert_no_errors()


@pytest.mark.parametrize("when", ["✓ Kafka", "✓ First goal"])
def test_a_kill_leaves_no_process_and_no_file(when: str, folder: Path) -> None:
    with Dev(folder) as dev:
        dev.wait_for(when)
        dev.send_signal(signal.SIGKILL)
        dev.assert_nothing_stays()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=lambda number: str(number.name))
def test_a_signal_during_the_start_leaves_nothing_either(number: signal.Signals, folder: Path) -> None:
    with Dev(folder) as dev:
        dev.wait_for("✓ Kafka")
        assert dev.send_signal(number) == 0
        dev.assert_nothing_stays()
        dev.assert_no_errors()


def test_it_ends_when_nobody_reads_its_output(folder: Path) -> None:
    with Dev(folder) as dev:
        dev.wait_for("✓ First goal")
        assert dev.close_output() == 0
        dev.assert_nothing_stays()
        dev.assert_no_errors()


@pytest.fixture
def kept() -> Iterator[Path]:
    """A folder for a database that stays; every account may enter the one around it."""
    around = Path(tempfile.mkdtemp())
    around.chmod(0o755)
    yield around / "kept"
    shutil.rmtree(around)


async def test_a_kept_database_goes_on_where_it_was_and_serves_one_run_at_a_time(folder: Path, kept: Path) -> None:
    with Dev(folder, "--keep", str(kept), "--rate", "100") as dev:
        dev.wait_for(r"5 demo goals \(one per type\)")
        dev.wait_for(r"✓ First goal +achieved")
        dev.wait_for(r"health ")
        enrolled = stats_of(dev)["total_enrolled"]
        other = told_in_one_line("--keep", str(kept))
        assert f"{kept} is in use by another PostgreSQL of `goalstream dev`" in other
        assert dev.send_signal(signal.SIGINT) == 0
        assert f"the database stays in {kept}" in dev.text
        assert re.search(rf"goalstream dev --seed 7 --port \d+ --keep {kept}$", dev.text, re.MULTILINE)
        dev.assert_nothing_stays()
    with Dev(folder, "--keep", str(kept), "--no-sim") as dev:
        dev.wait_for(r"5 demo goals \(one per type\)")
        url = dev.wait_for(r"psql +(postgresql://\S+)")[1]
        dev.wait_for("Waiting for your events")
        assert stats_of(dev)["total_enrolled"] >= enrolled > 0
        connection = await asyncpg.connect(url)
        await connection.execute("update goalstream_migrations set checksum = 'another'")
        await connection.close()
        assert dev.send_signal(signal.SIGINT) == 0
    assert f"the database in {kept} was made by another goalstream" in told_in_one_line("--keep", str(kept))
    (kept / "pgdata" / "PG_VERSION").write_text("12\n")
    assert "was made by PostgreSQL 12" in told_in_one_line("--keep", str(kept))


def stats_of(dev: Dev) -> Any:
    """What the API tells of the promo."""
    url, token = dev.wait_for(r"Console +(http://127\.0\.0\.1:\d+)/#token=(\S+)").groups()
    workflow = make_world(7).promo.workflow_id
    path = f"/api/v1/workflows/{workflow}/goals/stats"
    return (
        httpx.get(url + path, headers={"Authorization": f"Bearer {token}"}, trust_env=False).raise_for_status().json()
    )


def told_in_one_line(*arguments: str, **variables: str) -> str:
    """What a run says that cannot start; it leaves nothing in its folder for temporary files."""
    temporary = Path(tempfile.mkdtemp())
    temporary.chmod(0o1777)
    done = subprocess.run(
        [sys.executable, "-m", "goalstream", "dev", *arguments],
        env={**os.environ, "TMPDIR": str(temporary), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    temporary.rmdir()
    return done.stderr


def test_a_taken_port_is_told_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        said = told_in_one_line("--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--port 0" in said


def test_other_machines_are_not_served() -> None:
    said = told_in_one_line("--host", "0.0.0.0")
    assert "serves this machine only, not 0.0.0.0" in said
    assert "`goalstream worker` and `goalstream api`" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here runs as a normal user already")
def test_a_normal_user_needs_no_home_and_no_network(folder: Path) -> None:
    """Its home is closed, nothing may be written but temporary files, and whatever is asked for over HTTP is refused."""
    refused = "http://127.0.0.1:9"
    environment = {
        "PATH": os.defpath,
        "HOME": "/root",
        "TMPDIR": str(folder),
        "PYTHONPATH": f"{ROOT}:{Path(fastapi.__file__).parents[1]}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HTTP_PROXY": refused,
        "HTTPS_PROXY": refused,
    }
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    command = [interpreter_for_everybody(), "-m", "goalstream"]
    with Dev(folder, command=command, cwd="/", only=environment, **nobody) as dev:
        dev.wait_for(r"✓ First goal")
        assert user_ids_of(dev.family) == {65534}
        assert dev.send_signal(signal.SIGTERM) == 0
        dev.assert_nothing_stays()
        dev.assert_no_errors()

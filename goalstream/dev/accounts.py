"""Whom PostgreSQL runs as, and which folders and programs that account can use. Standard library only."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNTS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root: the first of these that exists on the machine runs it then."""


class Failed(Exception):
    """PostgreSQL cannot run; the text is one line for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom PostgreSQL runs as; `drop` is empty where it is simply us."""

    name: str
    uid: int
    gid: int
    is_other: bool

    @property
    def drop(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def owns(self, path: Path) -> None:
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        return not self.is_other or all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def choose_account(data: Path | None) -> Account:
    """Us; for root whoever owns the data, else the first account that exists."""
    uid, gid = os.geteuid(), os.getegid()
    if data is not None and (data / "pgdata").exists():
        owner = (data / "pgdata").stat()
        if uid not in (0, owner.st_uid) or owner.st_uid == 0:
            raise Failed(f"{data} was made by user id {owner.st_uid}: start as that user, or take another folder")
        return Account(name=str(owner.st_uid), uid=owner.st_uid, gid=owner.st_gid, is_other=uid == 0)
    if uid != 0:
        return Account(name=str(uid), uid=uid, gid=gid, is_other=False)
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, is_other=True)
    raise Failed(f"PostgreSQL refuses to run as root, and there is no account {' or '.join(ACCOUNTS)}: start as a user")


def throw_away_folder(account: Account, folders: list[Path]) -> Path:
    """A new folder that is ours, and which the account may enter."""
    for base in (Path(tempfile.gettempdir()).resolve(), Path("/var/tmp"), Path("/tmp")):  # noqa: S108 - mkdtemp below
        if base.is_dir() and account.can_enter(base):
            folder = Path(tempfile.mkdtemp(prefix="goalstream-dev-", dir=base))
            folders.append(folder)
            folder.chmod(0o711 if account.is_other else 0o700)
            return folder
    raise Failed(f"{account.name}, as whom PostgreSQL runs for root, can enter no folder for temporary files")


def usable_programs(binaries: Path, account: Account, folders: list[Path]) -> tuple[Path, str]:
    """The folder with programs that the account can run, and their version: `binaries`, or a throw-away copy.

    A virtual environment below /root cannot be entered by others: copied (25 MB) rather than opened to everybody.
    """
    if version := _version_of(binaries, account):
        return binaries, version
    if account.is_other:
        copy = _copy_programs(binaries, account, folders)
        if version := _version_of(copy, account):
            return copy, version
    raise Failed(f"{account.name} cannot run {binaries / 'postgres'}: give another folder with PostgreSQL's programs")


def _version_of(programs: Path, account: Account) -> str | None:
    """PostgreSQL's version as `18.4`; None when the account cannot run it."""
    with contextlib.suppress(OSError):
        command = [str(programs / "postgres"), "-V"]
        told = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **account.drop)
        if found := re.search(r"\d+(\.\d+)*", told.stdout):
            return found[0]
    return None


def _copy_programs(binaries: Path, account: Account, folders: list[Path]) -> Path:
    install = binaries.parent
    package = install.parent  # a wheel's layout: <package>/<install>/bin, with libraries in <package>.libs beside it
    copy = throw_away_folder(account, folders) / package.name / install.name
    for part in ("lib", "share"):
        skipped = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
        shutil.copytree(install / part, copy / part, symlinks=True, ignore=skipped)
    (copy / "bin").mkdir()
    for program in ("postgres", "initdb"):
        shutil.copy2(binaries / program, copy / "bin" / program)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy.parent.with_name(libraries.name))
    return copy / "bin"

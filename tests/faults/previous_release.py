"""The code as it was before the newest migration came, in a folder of its own, run by this environment's interpreter.

The migrations that it has are given today's text: until they are released they may be changed, and a release refuses a database
whose migrations are not its own.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("goalstream", "migrations", "schemas")
COMMAND_SECONDS = 60


class NoPreviousRelease(Exception):
    """It cannot be told what the code was before; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousRelease:
    """A tree that can be run."""

    commit: str
    root: Path
    unknown_migrations: Sequence[str]
    """Those of today that it does not have."""

    def migrate(self, database_url: str) -> None:
        """Its own `goalstream migrate`. Raises CalledProcessError."""
        _run(self.root, "-m", "goalstream", "migrate", GOALSTREAM_DATABASE_URL=database_url)


def previous_release(folder: Path) -> PreviousRelease:
    """Unpacks it into a folder. Raises NoPreviousRelease."""
    newest = _git("log", "-1", "--format=%H", "--diff-filter=A", "--", "migrations").decode().strip()
    if not newest:
        raise NoPreviousRelease("no commit of this repository adds a migration")
    commit = _git("rev-parse", "--verify", f"{newest}^").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, *PARTS))) as archive:
        archive.extractall(folder, filter="data")
    unknown = []
    for today in sorted((ROOT / "migrations").glob("*.sql")):
        then = folder / "migrations" / today.name
        if then.exists():
            then.write_bytes(today.read_bytes())
        else:
            unknown.append(today.stem)
    if not unknown:
        raise NoPreviousRelease(f"{commit} has all migrations of today")
    imported = Path(_run(folder, "-c", "import goalstream; print(goalstream.__file__)").strip())
    if not imported.is_relative_to(folder):
        raise NoPreviousRelease(f"what runs is {imported}, and not what is in {folder}")
    return PreviousRelease(commit=commit, root=folder, unknown_migrations=unknown)


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise NoPreviousRelease("there is no git") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode().strip()
        raise NoPreviousRelease(
            f"the history of this repository is needed, with all its commits (git fetch --unshallow): {said}"
        ) from None


def _run(root: Path, *arguments: str, **variables: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "NO_COLOR": "1"} | variables
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, cwd=root, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True
    ).stdout

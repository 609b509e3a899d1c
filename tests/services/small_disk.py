"""A small disk that can be filled, with a tablespace on it: so that PostgreSQL meets the real error and nobody else does."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.postgres_server import PostgresServer

BLOCKS_BYTES = (1 << 20, 4096)


class CannotMount(Exception):
    """Mounting needs root, sudo without a password, or a container that may."""


class SmallDisk:
    """A folder with little space. Made by `small_disk`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """Takes what space there is, to the last page."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast:
            for block in BLOCKS_BYTES:
                try:
                    while ballast.write(bytes(block)) == block:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Gives it back; harmless where nothing was taken."""
        (self.path / "ballast").unlink(missing_ok=True)


@contextmanager
def small_disk(server: PostgresServer, mebibytes: int) -> Iterator[SmallDisk]:
    """A disk in the server's folder, which the server may write to. Raises CannotMount."""
    path = server.folder / "small-disk"
    path.mkdir(exist_ok=True)
    owner = server.data.stat()
    options = f"size={mebibytes}m,mode=0755,uid={os.geteuid()}"
    _run("mount", "-t", "tmpfs", "-o", options, "goalstream-small-disk", str(path))
    try:
        tablespace = path / "tablespace"
        tablespace.mkdir(mode=0o700)
        if owner.st_uid != os.geteuid():
            os.chown(tablespace, owner.st_uid, owner.st_gid)
        yield SmallDisk(path)
    finally:
        _run("umount", "-l", str(path))


def _run(*command: str) -> None:
    words = command if os.geteuid() == 0 else ("sudo", "-n", *command)
    try:
        subprocess.run(words, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotMount(f"{' '.join(words)}: {getattr(error, 'stderr', error)}") from None

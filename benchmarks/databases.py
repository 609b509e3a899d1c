"""Databases for one data set, on a server that may be used: made, dropped, and what the server's CPU is."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import asyncpg
import psutil

from benchmarks.worker import tree_usage

DROP_SECONDS = 60


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """The URL of an empty database beside the given one, for the length of the block."""
    name = f"bench_{secrets.token_hex(4)}"
    await _execute(server_url, f"create database {name}")
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        await _drop(server_url, name)


async def _drop(server_url: str, name: str) -> None:
    """Tries again while a process of the server's own, which we may not end, looks through the database."""
    async with asyncio.timeout(DROP_SECONDS):
        while True:
            try:
                return await _execute(server_url, f"drop database {name} with (force)")
            except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
                await asyncio.sleep(0.5)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class Server:
    """The PostgreSQL server as the operating system shows it, with all its processes; perhaps it does not."""

    def __init__(self, postmaster: psutil.Process | None, version: str) -> None:
        self._postmaster = postmaster
        self.version = version

    @classmethod
    async def find(cls, url: str) -> Server:
        connection = await asyncpg.connect(url)
        try:
            pid = await connection.fetchval("select pg_backend_pid()")
            version = await connection.fetchval("show server_version")
            postmaster = None
            with suppress(psutil.Error):  # on another machine, or in a container with numbers of its own
                backend = psutil.Process(pid)
                postmaster = backend.parent() if "postgres" in backend.name() else None
        finally:
            await connection.close()
        return cls(postmaster, version)

    def cpu_seconds(self) -> float | None:
        """User and system, since it was started; None where its processes cannot be seen."""
        return None if self._postmaster is None else tree_usage(self._postmaster)[0]

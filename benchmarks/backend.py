"""A connection's server process, seen from the operating system."""

from __future__ import annotations

import psutil

from goalstream.storage.pool import Database


class Backend:
    """The process behind the one connection of a pool."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    @classmethod
    async def of(cls, database: Database) -> Backend:
        async with database.connection() as connection:
            return cls(await connection.fetchval("select pg_backend_pid()"))

    def cpu_seconds(self) -> float:
        """User and system, so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

"""Services that rows may break: started by the first row that asks, one of each for all rows of a process."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Self

from tests.services.broker import Cluster
from tests.services.postgres_server import PostgresServer


class Breakable:
    """A broker and a PostgreSQL that nobody else uses; whoever asks gets them alive, whatever was done to them before."""

    def __init__(self) -> None:
        self._running = ExitStack()

    def kafka(self) -> Cluster:
        """Blocks until it listens."""
        self._kafka.resume()
        if not self._kafka.is_alive():
            self._kafka.revive()
        return self._kafka

    def postgres(self) -> PostgresServer:
        """Blocks until it accepts connections."""
        self._postgres.resume()
        if not self._postgres.is_alive():
            self._postgres.revive()
        return self._postgres

    @cached_property
    def _kafka(self) -> Cluster:
        return self._running.enter_context(Cluster())

    @cached_property
    def _postgres(self) -> PostgresServer:
        return self._running.enter_context(PostgresServer())

    def close(self) -> None:
        """Ends what was started."""
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

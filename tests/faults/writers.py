"""Writers in processes of their own: what a worker is behind its consumer. Store, settle, publish, take out of the outbox.

Processes, since even the order of a set is another one in each. They import no more than they need, and so start quickly.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from random import Random
from typing import TypeVar

import structlog

from goalstream.domain.facts import Fact
from goalstream.domain.messages import EncodedMessage
from goalstream.errors import Unavailable
from goalstream.observability.health import Health
from goalstream.storage.ledger import Ledger
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Database
from goalstream.streams.failure import RetryInPlace
from tests.oracle.generator import LATENESS

WRITERS = 8
PROCESSES = 4
CONNECTIONS = 3
BATCHES = (10, 40, 200)
STOP_SECONDS = 10

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What all writers tell at once."""

    facts: Sequence[Fact]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a round in one process: every message that was settled, and what had to be waited for."""

    messages: list[EncodedMessage]
    waited_for: list[str]


@contextmanager
def process_of_writers(database_url: str, number: int) -> Iterator[Connection[Round | None, Played | None]]:
    """Some of the writers: they say when they are ready, answer each round, and after None say that they are through."""
    ours, theirs = Pipe()
    process = get_context("spawn").Process(target=_be_writers, args=(theirs, database_url, number), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        if not sys.exc_info()[0]:
            process.join(STOP_SECONDS)
        process.kill()
        process.join()
        ours.close()


def _be_writers(end: Connection[Played | None, Round | None], database_url: str, number: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(_play(end, database_url, number))


async def _play(end: Connection[Played | None, Round | None], database_url: str, process: int) -> None:
    numbers = range(process, WRITERS, PROCESSES)
    databases = [Database(database_url, size=CONNECTIONS, sees_all_accounts=True) for _ in numbers]
    for database in databases:
        await database.open()
    end.send(None)
    while (told := await asyncio.to_thread(end.recv)) is not None:
        writers = [_Writer(database) for database in databases]
        async with asyncio.TaskGroup() as writing:
            for number, writer in zip(numbers, writers, strict=True):
                writing.create_task(writer.tell_all(told.facts, number, Random(f"{told.seed} {number}")))
        messages = [message for writer in writers for message in writer.messages]
        end.send(Played(messages=messages, waited_for=[wait for one in writers for wait in one.waited_for]))
    for database in databases:
        await database.close()
    end.send(None)


class _Writer:
    """One worker's way to PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._ledger = Ledger(database, allowed_lateness=LATENESS)
        self._outbox = Outbox(database)
        self._retry = RetryInPlace(Health())
        self.waited_for: list[str] = []
        self.messages: list[EncodedMessage] = []

    async def tell_all(self, facts: Sequence[Fact], number: int, chance: Random) -> None:
        """Everything: the second half of the writers from the end, and every fourth in an order of its own."""
        own = list(facts)
        if number >= WRITERS // 2:
            own.reverse()
        if number % 4 == 3:
            chance.shuffle(own)
        batch = chance.choice(BATCHES)
        async with asyncio.TaskGroup() as publishing:
            for first in range(0, len(own), batch):
                portion = own[first : first + batch]
                await self._patiently("store", partial(self._ledger.store, portion))
                settled = await self._patiently("settle", partial(self._ledger.settle, portion))
                self.messages += settled.messages
                if settled.messages:
                    publishing.create_task(self._take_out(settled.messages))

    async def _take_out(self, messages: Sequence[EncodedMessage]) -> None:
        await self._patiently("outbox", partial(self._outbox.delete, messages))

    async def _patiently(self, step: str, action: Callable[[], Awaitable[_Result]]) -> _Result:
        """As the worker does it; remembers what it had to wait for."""

        async def watched() -> _Result:
            try:
                return await action()
            except Unavailable as error:
                self.waited_for.append(f"{step}: {error}")
                raise

        return await self._retry(step, watched)

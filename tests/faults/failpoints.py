"""Named points on the path of a batch, and passing them: the product knows nothing of them, its parts are wrapped from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any

from aiokafka import AIOKafkaProducer

from goalstream.domain.facts import (
    ContactDeletion,
    ContactMerge,
    EnrollmentEnd,
    EnrollmentStart,
    Match,
    WorkflowStatus,
)
from goalstream.domain.references import ReferenceChange
from goalstream.storage import ledger
from goalstream.storage import outbox as outbox_rows
from goalstream.streams import matching
from goalstream.streams.publisher import Publisher
from goalstream.streams.topics import DEAD_LETTER
from goalstream.streams.transport import BatchConsumer, OneBatchPerTopic

STDERR = 2

Pass = Callable[[], None]
"""Called whenever the point is passed."""

Counts = Callable[..., object]
"""Whether a call is a passing; asked with its arguments, and after the call with its result before them."""


def killing(point: str, passing: int) -> Pass:
    """At the so manieth passing the process is gone, as a machine is that dies."""
    left = passing

    def passed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.write(STDERR, f"killed at {point}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return passed


def before(owner: object, name: str, counts: Counts, passed: Pass) -> None:
    """Passes whenever a function of a class or module is about to begin."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        if counts(*args, **options):
            passed()
        return original(*args, **options)

    setattr(owner, name, wrapped)


def after(owner: object, name: str, counts: Counts, passed: Pass) -> None:
    """Passes whenever a function of a class or module has done its work."""
    original = getattr(owner, name)

    @wraps(original)
    async def wrapped_coroutine(*args: Any, **options: Any) -> Any:
        result = await original(*args, **options)
        if counts(result, *args, **options):
            passed()
        return result

    @wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        result = original(*args, **options)
        if counts(result, *args, **options):
            passed()
        return result

    setattr(owner, name, wrapped_coroutine if iscoroutinefunction(original) else wrapped)


def _always(*_: Any, **__: Any) -> bool:
    return True


def _result(result: object, *_: Any, **__: Any) -> object:
    return result


class _Statements:
    """A connection on which a point is passed between any two statements of its user."""

    def __init__(self, connection: Any, passed: Pass) -> None:
        self._connection = connection
        self._passed = passed
        self._has_run_one = False

    async def execute(self, *args: Any) -> Any:
        if self._has_run_one:
            self._passed()
        self._has_run_one = True
        return await self._connection.execute(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _inside_store(passed: Pass) -> None:
    store_facts = vars(ledger)["store_facts"]

    async def wrapped(connection: Any, facts: Any) -> None:
        watched: Any = _Statements(connection, passed)
        await store_facts(watched, facts)

    vars(ledger)["store_facts"] = wrapped


def _between_store_and_settle(kind: type, passed: Pass) -> None:
    before(ledger.Ledger, "settle", lambda _, facts: any(isinstance(fact, kind) for fact in facts), passed)


def _inside_settle(passed: Pass) -> None:
    """The difference is written, then its messages are, and nothing is committed."""
    after(ledger, "write_changes", lambda _, __, changes: changes, passed)
    after(outbox_rows, "insert", _result, passed)


def _mid_publish(passed: Pass) -> None:
    """The brokers have acknowledged the first of several batches, and do not have the others."""
    send_batch = AIOKafkaProducer.send_batch

    async def wrapped(self: Any, batch: Any, topic: str, *, partition: int) -> Any:
        acknowledged = await send_batch(self, batch, topic, partition=partition)
        if not topic.endswith(DEAD_LETTER):
            await acknowledged
            passed()
        return acknowledged

    AIOKafkaProducer.send_batch = wrapped


POINTS: Mapping[str, Callable[[Pass], None]] = {
    "after fetch": partial(before, OneBatchPerTopic, "iterate", lambda _, records: records),
    "decode": partial(after, matching, "decode", _always),
    "inside store": _inside_store,
    "between store and settle, match": partial(_between_store_and_settle, Match),
    "between store and settle, start": partial(_between_store_and_settle, EnrollmentStart),
    "between store and settle, end": partial(_between_store_and_settle, EnrollmentEnd),
    "between store and settle, status": partial(_between_store_and_settle, WorkflowStatus),
    "between store and settle, merge": partial(_between_store_and_settle, ContactMerge),
    "between store and settle, deletion": partial(_between_store_and_settle, ContactDeletion),
    "between store and settle, reference": partial(_between_store_and_settle, ReferenceChange),
    "inside settle": _inside_settle,
    "after settle": partial(after, ledger.Ledger, "settle", lambda settled, *_: settled.messages),
    "mid-publish": _mid_publish,
    "after publish": partial(after, Publisher, "_send", _always),
    "after outbox delete": partial(after, outbox_rows.Outbox, "delete", _always),
    "after the offset commit": partial(after, BatchConsumer, "_commit", _result),
}
"""What is wrapped, by the name of the point."""


def kill_at(point: str, passing: int) -> None:
    """From now on the so manieth passing of the point is the end of this process."""
    POINTS[point](killing(point, passing))

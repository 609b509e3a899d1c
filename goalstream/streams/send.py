"""Sends events from files of JSON lines to the topics of their types."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import Progress

from goalstream.errors import BrokerUnavailable, OperatorError
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import READ_TOPICS

SEND_TIMEOUT_SECONDS = 30
PORTION = 1_000
"""Lines that are in flight together."""


@dataclass(slots=True)
class SendReport:
    """How many lines were sent, and how many were bad."""

    sent: int = 0
    bad: int = 0


async def send_files(
    names: Sequence[str], *, kafka: Kafka, prefix: str, on_problem: Callable[[str], None], console: Console
) -> SendReport:
    """Sends every line of the files (`-`: standard input), keyed by contact, and waits for Kafka's acknowledgement.

    A bad line goes to `on_problem` as `file:line: why`, the rest is sent. Raises BrokerUnavailable, or OperatorError for
    a file that cannot be read.
    """
    report = SendReport()
    with ExitStack() as stack:
        lines = numbered_lines(names, stack)
        progress = stack.enter_context(Progress(console=console, transient=True, disable=not console.is_terminal))
        task = progress.add_task("sending", total=None)
        producer = AIOKafkaProducer(**kafka.options, enable_idempotence=True, linger_ms=5)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await producer.start()
            portion: list[asyncio.Future[Any]] = []
            for place, line in lines:
                try:
                    topic, key = _address(line)
                except ValueError as error:
                    on_problem(f"{place}: {error}")
                    report.bad += 1
                    continue
                portion.append(await producer.send(prefix + topic, line, key=key))
                if len(portion) == PORTION:
                    await _acknowledged(portion, report)
                    progress.update(task, advance=PORTION)
            await _acknowledged(portion, report)
        except (KafkaError, OSError, TimeoutError) as error:
            why = await kafka.unavailable(error)
            raise BrokerUnavailable(
                f"{why.sentence}; {report.sent} were sent",
                advice=why.advice or "is it running? Set GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS",
            ) from error
        finally:
            await producer.stop()
    return report


async def _acknowledged(portion: list[asyncio.Future[Any]], report: SendReport) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
        await asyncio.gather(*portion)
    report.sent += len(portion)
    portion.clear()


def _open(name: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(name, "rb"))
    except OSError as error:
        raise OperatorError(f"{name}: {error.strerror}") from None


def numbered_lines(names: Sequence[str], stack: ExitStack) -> Iterator[tuple[str, bytes]]:
    """The lines of files (`-`: standard input) that are not blank, each with its place, `file:line`.

    Raises OperatorError at once for a file that cannot be read.
    """
    return _lines([(name, _open(name, stack)) for name in names])


def _lines(files: Sequence[tuple[str, BinaryIO]]) -> Iterator[tuple[str, bytes]]:
    for name, file in files:
        for number, line in enumerate(file, start=1):
            if stripped := line.strip():
                yield f"{name}:{number}", stripped


def _address(line: bytes) -> tuple[str, bytes | None]:
    """The topic and key of an event. Raises ValueError with what is wrong."""
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(event, dict):
        raise ValueError("not a JSON object")
    topic = event.get("type") if "specversion" in event else event.get("event_type")
    if topic not in READ_TOPICS:
        raise ValueError(f"event_type {topic!r} is none of: {', '.join(READ_TOPICS)}")
    return topic, key_of(event)


def key_of(event: Mapping[str, Any]) -> bytes | None:
    """The key of an event's record: whom it is about."""
    data = event.get("data")
    fields = data if isinstance(data, dict) else {}
    key = fields.get("contact_id") or fields.get("enrollment_id") or fields.get("workflow_id")
    return key.encode() if isinstance(key, str) else None

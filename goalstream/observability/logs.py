"""How log lines look: structlog for ours, the same shape for the libraries' own."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Literal

import structlog

NOISY_LOGGERS = (
    "aiokafka",
    "faust",
    "mode",
    "asyncio",
    "uvicorn",
    "httpx",
    "opentelemetry",
    "urllib3",
    "goalstream.streams.app",
    "goalstream.streams.transport",
)
"""Libraries that tell at INFO what only their authors want to know; the last two are where Faust logs under our names."""


SELDOM_SECONDS = 5.0
"""A warning that repeats is written so often: in an outage half a dozen of them repeat, and nobody reads more than a line a
second."""


class Seldom:
    """Lets a repeated warning through only every now and then; our errors, and what is below a warning, always pass.

    A processor for our own log lines, which then tell how many were left out, and a filter for those of libraries, which do
    not tell.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def __call__(self, _: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method == "warning":
            # While Kafka and PostgreSQL are both away, neither hides the other.
            left_out = self._take(f"{event.get('event')} {event.get('service', '')}")
            if left_out is None:
                raise structlog.DropEvent
            if left_out:
                event["repeated"] = left_out
        return event

    def filter(self, record: logging.LogRecord) -> bool:
        """Of libraries also errors are limited: theirs are outages, which we report ourselves.

        Each may say one thing every now and then, since aiokafka has a dozen for one broker that is away; what comes with a
        traceback is told apart, by its kind and the first line: asyncio writes the addresses of objects into the others.
        """
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, asyncio.CancelledError):
            return False  # in a rebalance Faust stops an agent in the middle of its batch, and calls that a crash
        what = next((name for name in NOISY_LOGGERS if record.name.startswith(name)), record.name)
        if error is not None:
            first_line, *_ = str(record.msg).split("\n", 1)
            what = f"{record.name} {type(error).__name__} {first_line}"
        return record.levelno < logging.WARNING or self._take(what) is not None

    def _take(self, name: str) -> int | None:
        """How many were left out since the last one; None if this one is to be left out too."""
        now = self._clock()
        if now - self._last.get(name, -SELDOM_SECONDS) < SELDOM_SECONDS:
            self._left_out[name] = self._left_out.get(name, 0) + 1
            return None
        self._last[name] = now
        return self._left_out.pop(name, 0)


def configure_logs(log_format: Literal["json", "console"], level: str) -> None:
    """Writes log lines to stderr, as JSON or for a person's eyes. Never personal data: ids and counts only."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    seldom = Seldom()
    structlog.configure(
        processors=[*shared, seldom, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    handler.addFilter(lambda record: not record.name.startswith(NOISY_LOGGERS) or seldom.filter(record))

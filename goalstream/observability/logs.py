"""How log lines look: structlog for ours, the same shape for the libraries' own."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

NOISY_LOGGERS = (
    "aiokafka",
    "faust",
    "mode",
    "asyncio",
    "uvicorn",
    "goalstream.streams.app",
    "goalstream.streams.transport",
)
"""Libraries that tell at INFO what only their authors want to know; the last two are where Faust logs under our names."""


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
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
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

"""What commands have in common: the two outputs, settings, and how long they wait for a service."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from rich.console import Console

from goalstream.config import Settings, load_settings
from goalstream.errors import Unavailable
from goalstream.observability.logs import configure_logs

GIVE_UP_SECONDS = 30
"""After this, a command other than `worker` and `api` stops waiting for a service."""

_Result = TypeVar("_Result")

out = Console(highlight=False, soft_wrap=True)
wide = Console(highlight=False, width=1_000)
"""For tables: a row stays one line, which the terminal may wrap."""

err = Console(stderr=True, highlight=False, soft_wrap=True)


def settings_in_force(*, is_process: bool = False) -> Settings:
    """The settings, with logs written as they say. Raises SettingsError.

    What Kafka's client logs is for processes that live on: a command says in one line what it comes to.
    """
    settings = load_settings()
    configure_logs(settings.log_format, settings.log_level)
    if not is_process:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return settings


def printable(text: str) -> str:
    """The text with everything escaped that could steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def within_deadline(action: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
    """Repeats an action while its service is away, for 30 seconds at most, and not where a person must mend something first.

    In a terminal it tells once that it waits, and for what. Raises what it raised last.
    """

    async def run() -> _Result:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        is_told = False
        while True:
            began = time.monotonic()
            try:
                return await action()
            except Unavailable as error:
                now = time.monotonic()
                if error.advice or now + 1 + (now - began) > deadline:  # the next attempt may take as long
                    raise
                if err.is_terminal and not is_told:
                    err.print(f"waiting up to {GIVE_UP_SECONDS:g} s: {printable(str(error))}", markup=False)
                    is_told = True
            await asyncio.sleep(1)

    return asyncio.run(run())

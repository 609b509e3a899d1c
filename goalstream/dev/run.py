"""`goalstream dev`: looks at what it was told, runs until a signal or a key, and says goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from goalstream.dev.demo import Demo
from goalstream.dev.options import DevOptions, require_free, require_loopback
from goalstream.dev.screen import Screen, ScreenClosed
from goalstream.dev.terminal import Terminal, is_interactive
from goalstream.observability.logs import configure_logs


async def run(options: DevOptions) -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP, then stops everything within 5 seconds; leaves no process and no file.

    Raises OperatorError, in one line, for what a person must change.
    """
    require_loopback(options.http_host)
    require_free(options.http_host, options.http_port)
    configure_logs("console", "error")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started with nohup
        loop.add_signal_handler(number, stopped.set)
    terminal = Terminal() if not options.plain and is_interactive() else None
    demo = Demo(options, Screen(), terminal=terminal, stop=stopped.set)
    running = asyncio.create_task(demo.run())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    running.cancel()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
        demo.farewell()
    except ScreenClosed:
        # Whatever the interpreter still wants to flush has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

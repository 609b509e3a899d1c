"""The very `goalstream worker`, whose /metrics also tell how many tasks its loop has.

python -m tests.faults.counting_worker worker
"""

from __future__ import annotations

import asyncio

from tests.faults.workers import WorkerProcess

TASKS = "counting_worker_tasks"


class CountingWorker(WorkerProcess):
    """In a process of its own, so that its memory is its alone."""

    module = "tests.faults.counting_worker"


def main() -> None:
    from prometheus_client import Gauge

    from goalstream.cli import main as command
    from goalstream.worker import Worker

    tasks = Gauge(TASKS, "Tasks of the worker's loop that are not done")
    start = Worker.start

    async def start_and_count(self: Worker) -> None:
        loop = asyncio.get_running_loop()
        tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        await start(self)

    setattr(Worker, "start", start_and_count)  # noqa: B010 - a class is no place to assign functions to, says mypy
    command()


if __name__ == "__main__":
    main()

"""The very `goalstream worker`, which settles and never gets to publish: as if Kafka did not answer its producer.

python -m tests.faults.mute_worker worker
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

MODULE = "tests.faults.mute_worker"
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2])}


def main() -> None:
    from goalstream.cli import main as command
    from goalstream.streams.publisher import Publisher

    async def wait_for_ever(*_: Any) -> None:
        await asyncio.Event().wait()

    setattr(Publisher, "_send", wait_for_ever)  # noqa: B010 - a class is no place to assign functions to, says mypy
    command()


if __name__ == "__main__":
    main()

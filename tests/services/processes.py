"""What the machine says about processes, some of which end while it is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def user_ids_of(processes: Iterable[psutil.Process]) -> set[int]:
    """As whom those run that are still there: PostgreSQL's come and go."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.uids().real)
    return found

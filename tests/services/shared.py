"""One server for all the processes of a test run: the first that asks starts it, and waits for the last to leave."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path

POLL_SECONDS = 0.05


@contextmanager
def shared(folder: Path, name: str, running: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The address of a service that is shared by all who name the same folder and name.

    Built on file locks, which the system takes back from whoever dies: an address whose owner is gone is never given out.
    """
    address = folder / f"{name}.address"
    with (folder / f"{name}.users").open("w") as users, (folder / f"{name}.owner").open("w") as owner:
        service = ExitStack()
        with _alone(folder, name):
            if _try_lock(owner):
                service.callback(fcntl.flock, owner, fcntl.LOCK_UN)
                with service:
                    address.write_text(service.enter_context(running()))
                    service = service.pop_all()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield address.read_text()
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            _close_after_the_last_user(folder, name, users, service)


def _close_after_the_last_user(folder: Path, name: str, users: TextIOWrapper, service: ExitStack) -> None:
    while True:
        with _alone(folder, name):
            if _try_lock(users):
                service.close()
                return
        time.sleep(POLL_SECONDS)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Nobody joins or leaves meanwhile; those who ask wait until the server has started."""
    with (folder / f"{name}.gate").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _try_lock(file: TextIOWrapper) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

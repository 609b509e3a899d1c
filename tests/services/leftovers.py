"""What a test run that was killed would leave behind: ended and removed by a process that outlives it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLEAN_SECONDS = 20

_WATCH = """
import psutil, shutil, subprocess, sys
folder, program = sys.argv[1:]
sys.stdin.buffer.read()
for process in psutil.process_iter(["name", "cmdline"]):
    if process.info["name"] == program and any(folder in word for word in process.info["cmdline"] or ()):
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
        for one in family:
            try:
                one.kill()
            except psutil.Error:
                pass
        psutil.wait_procs(family, 10)
for mount in psutil.disk_partitions(all=True):
    if mount.mountpoint.startswith(folder + "/"):
        subprocess.run(["umount", "-l", mount.mountpoint], check=False)
shutil.rmtree(folder, ignore_errors=True)
"""
"""Its end of a pipe closes when the test run is gone, also after SIGKILL."""


class Watcher:
    """Ends the programs of this name whose command names the folder, unmounts what is mounted in it, and removes it."""

    def __init__(self, folder: Path, program: str) -> None:
        command = [sys.executable, "-I", "-c", _WATCH, str(folder), program]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def close(self) -> None:
        """Does so now; more than once is harmless."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(CLEAN_SECONDS)

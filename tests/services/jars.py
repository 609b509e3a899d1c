"""Apache Kafka's broker as jars: brought by Maven once, kept in the user's cache."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

POM = Path(__file__).parent / "kafka" / "pom.xml"
LEAST_JAVA = 17
"""Kafka 4 brokers run on nothing older."""


@cache
def can_run() -> bool:
    """Whether this machine has a new enough Java, and the jars or Maven to bring them."""
    return _java_version() >= LEAST_JAVA and ((_folder() / ".complete").exists() or shutil.which("mvn") is not None)


def libraries() -> Path:
    """The folder with the jars; the first call on a machine waits for Maven. Safe from several processes at once."""
    folder = _folder()
    complete = folder / ".complete"
    if complete.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            subprocess.run(
                ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
                 "-DincludeScope=runtime", f"-DoutputDirectory={folder}"],
                check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr,
            )  # fmt: skip
            complete.touch()
    return folder


@cache
def kafka_version() -> str:
    """The version that the project file names."""
    found = ElementTree.parse(POM).getroot().findtext(".//{*}kafka.version")
    assert found is not None
    return found


def _folder() -> Path:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "goalstream-tests" / f"kafka-{kafka_version()}"


def _java_version() -> int:
    if shutil.which("java") is None:
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.stdout.write(f"{libraries()}\n")

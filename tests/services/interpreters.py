"""Pythons that other accounts may start."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

NOBODY = 65534


def interpreter_for_everybody() -> str:
    """A Python that other accounts may start: this one, unless it lies below root's home."""
    for candidate in (sys.executable, shutil.which("python3", path=os.defpath)):
        with contextlib.suppress(OSError):
            if (
                candidate
                and not subprocess.run(
                    [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"],
                    cwd="/",
                    check=False,
                    user=NOBODY,
                    group=NOBODY,
                    extra_groups=[],
                ).returncode
            ):
                return candidate
    pytest.skip("no Python of at least 3.11 that a normal user may start")

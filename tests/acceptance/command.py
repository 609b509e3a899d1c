"""Commands as a person types them."""

from __future__ import annotations

import subprocess
import sys


def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """`goalstream …` with these settings and nothing else in its environment."""
    found = subprocess.run(
        [sys.executable, "-m", "goalstream", *arguments],
        env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1"} | variables,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in found.stderr
    return found

"""The README tells of things that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_every_rule_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| `(test_\w+)` \|$", README, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 21))
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for _, name in rows if not re.search(rf"^(?:async )?def {name}\(", written, re.MULTILINE)] == []

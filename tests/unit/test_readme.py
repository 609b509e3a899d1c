"""The README tells of things that are there, and links in what is read in the repository lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
READ = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def anchors_of(page: Path) -> set[str]:
    """The headings as a repository's pages name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_rule_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| `(test_\w+)` \|$", README, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 21))
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for _, name in rows if not re.search(rf"^(?:async )?def {name}\(", written, re.MULTILINE)] == []


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for place, anchor in _LINK.findall(page.read_text("utf-8")):
        if "://" in place or place.startswith(
            "reference/"
        ):  # the latter are made when the site is built, which looks at them
            continue
        to = (page.parent / place).resolve() if place else page
        assert to.exists(), f"{place}{anchor}"
        assert not anchor or anchor in anchors_of(to), f"{place}{anchor}"

"""Pages of documentation as tests execute them: commands as they stand, and what is shown below them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from goalstream.domain.texts import is_uuid
from goalstream.domain.times import parse_time

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, kind: str) -> list[str]:
    """The fenced blocks of a kind, such as `sh`."""
    return [text for found, text in _BLOCK.findall(page.read_text("utf-8")) if found == kind]


def examples(page: Path) -> Iterator[tuple[str, list[Any]]]:
    """Commands, each with the documents that are shown below them."""
    found = _BLOCK.findall(page.read_text("utf-8"))
    for (kind, text), (following, shown) in zip(found, [*found[1:], ("", "")], strict=True):
        if kind == "sh":
            yield text, documents(shown) if following == "json" else []


def documents(text: str) -> list[Any]:
    """JSON documents one after the other; what stands between them is no document."""
    decoder, found = json.JSONDecoder(), []
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def is_like(found: Any, shown: Any) -> bool:
    """Whether an answer is what is shown; an id may be another id, and a time another time."""
    if isinstance(shown, dict):
        return (
            isinstance(found, dict) and list(found) == list(shown) and all(is_like(found[k], shown[k]) for k in shown)
        )
    if isinstance(shown, list):
        return isinstance(found, list) and len(found) == len(shown) and all(map(is_like, found, shown))
    if isinstance(shown, str) and isinstance(found, str):
        for kind in (is_uuid, parse_time):
            if kind(shown):
                return bool(kind(found))
    if isinstance(shown, float):  # jq writes 40.0 as 40
        return isinstance(found, int | float) and found == shown
    return type(found) is type(shown) and found == shown


def run(script: str, environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs commands one after the other, until one fails; what they left running ends with them."""
    whole = f"set -euo pipefail\ntrap 'code=$?; kill $(jobs -p) 2>/dev/null || true; wait; exit $code' EXIT\n{script}"
    return subprocess.run(
        ["bash", "-c", whole], env=dict(environment), cwd=folder, capture_output=True, text=True, check=False
    )

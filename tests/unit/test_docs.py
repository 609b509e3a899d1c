"""The site: it is built without a warning, everything is on it, and it needs nothing from elsewhere; inline commands exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]

from goalstream.cli.program import app
from goalstream.config import PREFIX, Settings
from goalstream.domain.achievements import SUPERSEDED
from goalstream.domain.settlement import Verdict
from goalstream.observability import metrics
from goalstream.streams.topics import ALL_TOPICS
from tests.pages import PAGES, ROOT

LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+src=["'](https?:)?//|<link[^>]+rel="stylesheet"[^>]+href="https?:|@import|url\(["']?https?:"""
)
INLINE = re.compile(r"`((?:goalstream|python -m) [^`]+)`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(folder / "doctrees")]
    built = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder / "html")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


def text_of(site: Path, page: str) -> str:
    return re.sub(r"<[^>]+>", "", (site / page).read_text("utf-8"))


def test_everything_is_on_it(site: Path) -> None:
    names = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert [name for name in names if name not in text_of(site, "reference/configuration.html")] == []
    assert [topic for topic in ALL_TOPICS if topic not in text_of(site, "reference/events.html")] == []
    declared = {one._name for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    assert [name for name in declared if name not in text_of(site, "reference/metrics.html")] == []
    document = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
    alerts = [rule["alert"] for group in document["groups"] for rule in group["rules"]]
    assert [name for name in alerts if name not in text_of(site, "reference/alerts.html")] == []
    commands = text_of(site, "reference/commands.html")
    known: Any = typer.main.get_command(app)
    assert [name for name in known.commands if f"goalstream {name}" not in commands] == []


def test_every_verdict_is_explained() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    assert [one for one in (*Verdict, SUPERSEDED) if f"`{one}`" not in page] == []
    table = page.partition("| verdict | the event")[2].partition("\n\n")[0]
    order = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert order == [one for one in Verdict if one is not Verdict.ACHIEVED]


def test_whoever_reads_it_asks_nobody_else(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not LOADED.search(page.read_text("utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not LOADED.search(sheet.read_text("utf-8")), sheet


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_inline_commands_are_commands(page: Path) -> None:
    root = typer.main.get_command(app)
    for text in INLINE.findall(" ".join(page.read_text("utf-8").split())):
        words = text.split()
        if words[0] == "python":
            assert importlib.util.find_spec(words[2]), text
        else:
            _check(root, words[1:], text)


def _check(command: Any, words: list[str], text: str) -> None:
    while words and hasattr(command, "commands") and re.fullmatch(r"[a-z-]+", words[0]):
        assert words[0] in command.commands, text
        command = command.commands[words.pop(0)]
    known = {name for one in getattr(command, "params", ()) for name in (*one.opts, *one.secondary_opts)}
    for word in words:
        name = word.strip("[]…").partition("=")[0]
        if name.startswith("--"):
            assert name in known, text

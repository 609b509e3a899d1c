"""The changelog tells operators of every release what they need, and leaves out nothing that they set or watch."""

from __future__ import annotations

import re

import pytest
from prometheus_client import REGISTRY

from goalstream.config import Settings
from goalstream.observability import metrics
from tests.unit.test_readme import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
RELEASES = re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]
PARTS = ["Before", "Migrations", "Settings", "Metrics and alerts", "After", "Way back"]
MIGRATIONS = sorted((ROOT / "migrations").glob("*.sql"))


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.partition("\n")[0])
def test_a_release_begins_with_what_its_upgrade_asks_for(release: str) -> None:
    assert re.findall(r"^### (.*)$", release, re.MULTILINE)[: len(PARTS)] == PARTS


def test_every_migration_is_named_under_its_release() -> None:
    told = "".join(re.findall(r"^### Migrations\n(.*?)^### ", CHANGELOG, re.MULTILINE | re.DOTALL))
    assert [file.stem for file in MIGRATIONS if not re.search(rf"\b{file.stem[:4]}\b", told)] == []


def test_every_setting_is_named() -> None:
    names = [f"GOALSTREAM_{name.upper()}" for name in Settings.model_fields]
    assert [name for name in names if f"`{name}`" not in CHANGELOG] == []


def test_every_metric_is_named() -> None:
    metrics.announce_build("1.2.3")
    families = {family.name for family in REGISTRY.collect() if family.name.startswith("goalstream_")}
    assert [name for name in sorted(families) if f"`{name}`" not in CHANGELOG] == []

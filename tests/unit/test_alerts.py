"""Alerts as code: each is tested by promtool, leads to a section of the runbook, and asks for metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import REGISTRY

from goalstream.observability import metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for file in ("rules.yml", "alerts.yml")
    for group in yaml.safe_load((FOLDER / file).read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "tests.yml").read_text())["tests"]
LABELS = {
    "topic",
    "outcome",
    "reason",
    "goal_type",
    "action",
    "way",
    "step",
    "state",
    "operation",
    "status",
    "error",
    "le",
}


def names_of_metrics() -> set[str]:
    """Every series that a process of ours tells, and those that Prometheus' client adds."""
    assert metrics.RECORDS is not None
    found = {"process_start_time_seconds", "up"}
    for family in REGISTRY.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        found |= {family.name + suffix for suffix in suffixes}
    return found


@pytest.mark.parametrize(
    "command", [("check", "rules", "rules.yml", "alerts.yml"), ("test", "rules", "tests.yml")], ids=["check", "test"]
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    assert shutil.which("promtool"), "install the Debian package prometheus"
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_both_ways() -> None:
    fires = {one["alertname"] for test in TESTS for one in test["alert_rule_test"] if one["exp_alerts"]}
    is_quiet = {one["alertname"] for test in TESTS for one in test["alert_rule_test"] if not one["exp_alerts"]}
    assert fires == is_quiet == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_leads_to_a_section_of_the_runbook(name: str) -> None:
    file, _, anchor = ALERTS[name]["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert ALERTS[name]["labels"]["severity"] in ("page", "ticket")


def test_rules_ask_for_metrics_that_there_are_and_for_what_they_record() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    known = names_of_metrics() | recorded
    asked = {
        name
        for rule in RULES
        for name in re.findall(r"\b(?:goalstream|process|up)[\w:]*", _without_labels(rule["expr"]))
    }
    assert asked - known == set()
    assert len(asked) > 20


def test_rules_use_labels_that_metrics_have() -> None:
    used = {
        name
        for rule in RULES
        for names in re.findall(r"\{([^}]*)\}", rule["expr"])
        for name in re.findall(r"(\w+)[=!~]", names)
    }
    used |= {
        name.strip()
        for rule in RULES
        for names in re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        for name in names.split(",")
    }
    assert used <= LABELS | {"job", "instance"}
    assert used & LABELS


def _without_labels(expression: str) -> str:
    return re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", expression)


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "goalstream.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    known = names_of_metrics() | {rule["record"] for rule in RULES if "record" in rule}
    known |= {"process_cpu_seconds_total", "process_resident_memory_bytes"}
    asked = {
        name
        for one in expressions
        for name in re.findall(r"\b(?:goalstream|process)_[\w:]*|\bgoalstream:[\w:]*", _without_labels(one))
    }
    assert asked - known == set()
    ours = {
        name for name in known if name.startswith("goalstream_") and not name.endswith(("_bucket", "_sum", "_count"))
    }
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    assert ours - shown - {"goalstream_build_info"} == set(), "show every metric of ours"
    assert all(panel["title"] for panel in dashboard["panels"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])

"""What deploy/kubernetes holds, read once for the tests: every document, and every pod that comes of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
EXAMPLE = FOLDER / "secrets.example.yaml"
FILES = sorted(file for file in FOLDER.rglob("*.yaml") if file.name != "kustomization.yaml")
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    str(file.relative_to(FOLDER)): list(yaml.safe_load_all(file.read_text())) for file in FILES
}


def all_of(*kinds: str) -> dict[str, dict[str, Any]]:
    """Every document of these kinds, by name."""
    found = [one for documents in DOCUMENTS.values() for one in documents if one["kind"] in kinds]
    return {one["metadata"]["name"]: one for one in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or a Job, with the pod that it makes."""

    component: str
    document: dict[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["spec"]
        return found

    @property
    def pod(self) -> dict[str, Any]:
        found: dict[str, Any] = self.spec["template"]["spec"]
        return found

    @property
    def container(self) -> dict[str, Any]:
        found: dict[str, Any]
        (found,) = self.pod["containers"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.spec["template"]["metadata"]["labels"]
        return found

    @property
    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.spec["template"]["metadata"].get("annotations", {})
        return found

    @property
    def settings(self) -> dict[str, str]:
        """What its ConfigMaps and the pod itself put into the environment."""
        maps = all_of("ConfigMap")
        shared = {
            name: value
            for source in self.container["envFrom"]
            for name, value in maps[source["configMapRef"]["name"]]["data"].items()
        }
        return shared | {one["name"]: one["value"] for one in self.container.get("env", [])}

    @property
    def secrets(self) -> dict[str, str]:
        """The files that its Secrets become, as the example has them."""
        (volume,) = (one for one in self.pod["volumes"] if "projected" in one)
        made = all_of("Secret")
        return {
            key: value
            for source in volume["projected"]["sources"]
            for key, value in made[source["secret"]["name"]]["stringData"].items()
        }

    def port(self, name: str) -> int:
        """The port of this name. Raises KeyError."""
        ports: dict[str, int] = {one["name"]: one["containerPort"] for one in self.container.get("ports", [])}
        return ports[name]


WORKLOADS = {
    one["metadata"]["labels"]["app.kubernetes.io/component"]: Workload(
        component=one["metadata"]["labels"]["app.kubernetes.io/component"], document=one
    )
    for one in all_of("Deployment", "Job").values()
}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a selector, with `matchLabels` and the operator `In`, takes these labels."""
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )

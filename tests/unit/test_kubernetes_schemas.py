"""Every file for Kubernetes is held to the schema of its kind: Kubernetes' own, strictly, or ours for what KEDA adds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from tests.unit.kubernetes_files import DOCUMENTS, EXAMPLE, FILES, FOLDER, WORKLOADS, all_of

OLDEST, NEWEST = "1.30", "1.37"
"""What deploy/README.md promises, and the newest that there are schemas of."""

KEDA = jsonschema_rs.Draft202012Validator(json.loads(Path(__file__).with_name("keda.schema.json").read_text()))
KEDA_KINDS = {"ScaledObject", "TriggerAuthentication"}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_document_keeps_to_the_schema_of_its_kind(file: str, version: str) -> None:
    for document in DOCUMENTS[file]:
        if document["kind"] in KEDA_KINDS:
            KEDA.validate(document)
        else:
            assert kubernetes_validate.validate(document, version, strict=True) == version


def test_a_misspelt_field_of_kubernetes_is_found() -> None:
    broken = copy.deepcopy(WORKLOADS["worker"].document)
    broken["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, NEWEST, strict=True)


def _a_number(spec: dict[str, Any]) -> None:
    spec["triggers"][0]["metadata"]["lagThreshold"] = 1_000_000


def _a_boolean(spec: dict[str, Any]) -> None:
    spec["triggers"][0]["metadata"]["allowIdleConsumers"] = False


def _a_misspelt_name(spec: dict[str, Any]) -> None:
    spec["maxReplicas"] = spec.pop("maxReplicaCount")


def _a_behavior_that_there_is_not(spec: dict[str, Any]) -> None:
    spec["fallback"]["behavior"] = "currentReplicasIfMore"


def _lag_as_a_share(spec: dict[str, Any]) -> None:
    spec["triggers"][0]["metricType"] = "Utilization"


@pytest.mark.parametrize(
    "mistake", [_a_number, _a_boolean, _a_misspelt_name, _a_behavior_that_there_is_not, _lag_as_a_share]
)
def test_a_mistake_in_what_keda_reads_is_found(mistake: Callable[[dict[str, Any]], None]) -> None:
    broken = copy.deepcopy(all_of("ScaledObject")["goalstream-worker"])
    assert KEDA.is_valid(broken)
    mistake(broken["spec"])
    assert not KEDA.is_valid(broken)


def test_the_kustomizations_take_every_file_but_the_example() -> None:
    taken = set()
    for file in FOLDER.rglob("kustomization.yaml"):
        resources = [file.parent / name for name in yaml.safe_load(file.read_text())["resources"]]
        assert len(set(resources)) == len(resources)
        taken |= set(resources)
    assert taken == set(FILES) - {EXAMPLE}


def test_what_prometheus_mounts_is_taken_from_beside_it() -> None:
    folder = FOLDER.parent / "prometheus"
    (generator,) = yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"]
    assert set(generator["files"]) == {"rules.yml", "alerts.yml", "pods.yml"}
    assert all((folder / name).exists() for name in generator["files"])

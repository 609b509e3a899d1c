"""The image: what its labels say is true, its bill of materials is complete, and nothing in it builds or installs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BUILD, FINAL = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]
LABELS: dict[str, str] = dict(re.findall(r'([\w.]+)="([^"]*)"', FINAL.partition("\nLABEL ")[2]))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _uv() -> str:
    """The uv that runs this, or one in the usual places."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "goalstream-ci" / "bin"
    places = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent), str(cache)])
    found = os.environ.get("UV") or shutil.which("uv", path=places)
    assert found, "uv is not found: run the tests by it (`uv run`)"
    return found


def _packages_at_run_time(
    name: str = PROJECT["name"], extras: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Name and version of what a package needs on this machine, as the environment has it."""
    for text in distribution(name).requires or []:
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield canonicalize_name(needed.name), distribution(needed.name).version
            yield from _packages_at_run_time(needed.name, frozenset(needed.extras))


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The bill of materials, made by the Dockerfile's own command."""
    (line,) = re.findall(r"^RUN uv (export .+)$", BUILD, re.MULTILINE)
    command = shlex.split(line)
    place = command.index("--output-file") + 1
    assert command[place] == LABELS["goalstream.sbom"]
    command[place] = str(tmp_path_factory.mktemp("bill") / "sbom.cdx.json")
    subprocess.run([_uv(), *command, "--offline"], cwd=ROOT, check=True, timeout=60)
    found: dict[str, Any] = json.loads(Path(command[place]).read_text())
    return found


def test_the_bill_of_materials_names_every_package_that_runs(bill: dict[str, Any]) -> None:
    needed = set(_packages_at_run_time())
    assert {"faust-streaming", "cryptography", "opentelemetry-sdk"} <= {name for name, _ in needed}
    listed = {(canonicalize_name(one["name"]), one["version"]) for one in bill["components"]}
    assert needed - listed == set()
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])


def test_the_bill_of_materials_names_no_tool_of_developers(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "goalstream",
        PROJECT["version"],
    )
    assert not {"pytest", "ruff", "confluent-kafka", "matplotlib", "uv"} & {one["name"] for one in bill["components"]}


def test_the_labels_are_those_of_the_project() -> None:
    told = {name.removeprefix("org.opencontainers.image."): value for name, value in LABELS.items()}
    assert told["title"] == PROJECT["name"]
    assert told["version"] == PROJECT["version"]
    assert told["description"] == PROJECT["description"]
    assert told["licenses"] == PROJECT["license"]
    assert told["revision"] == "$REVISION"
    bases = {line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")}
    assert {told["base.name"]} == {f"docker.io/library/{base}" for base in bases}


def test_the_final_stage_has_no_installer() -> None:
    assert re.findall(r"^COPY (.+)$", FINAL, re.MULTILINE) == ["--from=build /app /app"]
    assert "pip uninstall --yes" in FINAL
    assert "/ensurepip" in FINAL
    assert not re.search(r"\b(uv|apt-get|pip install)\b", FINAL)


def test_the_image_is_tried_while_it_is_built_and_keeps_the_bytecode_of_that() -> None:
    (line,) = re.findall(r"^RUN (\[.+\])$", FINAL, re.MULTILINE)
    _, option, code = json.loads(line)
    assert FINAL.index(line) < FINAL.index("PYTHONDONTWRITEBYTECODE=1")
    subprocess.run([sys.executable, option, code], cwd="/", check=True, timeout=60)


def test_the_environment_has_its_bytecode_and_docker_the_signal() -> None:
    assert "UV_COMPILE_BYTECODE=1" in BUILD
    assert re.findall(r"^STOPSIGNAL (.+)$", FINAL, re.MULTILINE) == ["SIGTERM"]

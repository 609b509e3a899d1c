"""The container files: what they name exists, what they start is watched, and nothing listens to the network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from goalstream.config import PREFIX, Settings
from tests.services.jars import kafka_version

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"migrate", "topics"}
RUNNING = {"worker", "worker-2", "deliverer", "api"}
PRODUCT = ONE_SHOT | RUNNING
NAMES = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}


@pytest.mark.parametrize("file", ["docker-compose.yml", "Dockerfile"])
def test_every_setting_that_a_container_file_names_exists(file: str) -> None:
    found = set(re.findall(rf"\b{PREFIX}[A-Z_]+", (ROOT / file).read_text()))
    assert found
    assert found <= NAMES


def test_the_settings_of_every_container_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PRODUCT:
        with monkeypatch.context() as patched:
            for setting, value in SERVICES[name]["environment"].items():
                patched.setenv(setting, str(value))
            assert Settings().database_url.get_secret_value().startswith("postgresql://")


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_watched_or_ends_by_itself(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_port_is_open_to_the_network(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_product_waits_until_database_and_topics_are_ready() -> None:
    for name in RUNNING:
        awaited = SERVICES[name]["depends_on"]
        assert set(awaited) == ONE_SHOT
        assert all(each["condition"] == "service_completed_successfully" for each in awaited.values())
    for name, needs in (("migrate", "postgres"), ("topics", "kafka")):
        assert SERVICES[name]["depends_on"] == {needs: {"condition": "service_healthy"}}


def test_what_the_compose_file_mounts_is_there_and_prometheus_asks_whom_it_starts() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = {one["job_name"]: one["static_configs"][0]["targets"] for one in configuration["scrape_configs"]}
    assert jobs == {
        "goalstream-worker": ["worker:8647", "worker-2:8647"],
        "goalstream-deliverer": ["deliverer:8647"],
        "goalstream-api": ["api:8646"],
    }


def lint(*command: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name(command[0])
    return subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_compose_file_keeps_to_the_specification(tmp_path: Path) -> None:
    check = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    assert lint(*check, "docker-compose.yml").returncode == 0
    broken = tmp_path / "docker-compose.yml"
    broken.write_text("services: {a: {imgae: x}}")
    assert lint(*check, str(broken)).returncode == 1


def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    found = lint("hadolint", "Dockerfile")
    assert (found.returncode, found.stdout) == (0, "")
    broken = tmp_path / "Dockerfile"
    broken.write_text("FROM debian:latest\nRUN cd /tmp\n")
    assert lint("hadolint", str(broken)).returncode == 1


def test_the_product_runs_without_rights_it_does_not_need() -> None:
    for name in PRODUCT:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    users = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["10001"]


@pytest.mark.parametrize("setting", ["GOALSTREAM_JWT_SECRET", "GOALSTREAM_ENCRYPTION_KEYS"])
def test_the_secrets_of_the_compose_file_say_what_they_are(setting: str) -> None:
    assert "development-only" in SERVICES["api"]["environment"][setting]


def test_whoever_opens_the_secrets_of_webhooks_has_the_key_that_closes_them() -> None:
    keys = {SERVICES[name]["environment"]["GOALSTREAM_ENCRYPTION_KEYS"] for name in ("api", "deliverer")}
    assert len(keys) == 1


def test_the_tests_and_the_compose_file_run_the_same_kafka() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_the_image_is_built_from_all_that_the_wheel_needs() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert names == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "LICENSE"} <= names
    assert {"pyproject.toml", "uv.lock"} <= names


@pytest.mark.parametrize("serving", ["GOALSTREAM_METRICS_PORT", "GOALSTREAM_HTTP_PORT", None])
def test_the_image_is_healthy_while_a_worker_a_deliverer_or_the_api_answers(
    serving: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"HEALTHCHECK .*?CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found is not None
    _, _, code = json.loads(found[1])
    ports = {"GOALSTREAM_METRICS_PORT": "1001", "GOALSTREAM_HTTP_PORT": "1002"}
    asked: list[str] = []

    def answer(url: str, timeout: float) -> None:
        asked.append(url)
        if serving is None or url != f"http://127.0.0.1:{ports[serving]}/livez":
            raise URLError("refused")

    for name, port in ports.items():
        monkeypatch.setenv(name, port)
    monkeypatch.setattr("urllib.request.urlopen", answer)
    if serving is None:
        with pytest.raises(URLError):
            exec(code, {})
    else:
        exec(code, {})
    assert len(asked) == (1 if serving == "GOALSTREAM_METRICS_PORT" else 2)


def test_the_quick_start_names_what_the_compose_file_starts() -> None:
    page = (ROOT / "docs" / "index.md").read_text()
    for service, name in (("kafka", "KAFKA_BOOTSTRAP_SERVERS"), ("postgres", "DATABASE_URL")):
        (address,) = re.findall(rf"^export {PREFIX}{name}=(.*)$", page, re.MULTILINE)
        host, port, _ = SERVICES[service]["ports"][0].split(":")
        assert f"{host}:{port}" in address
    assert urlsplit(address).password == urlsplit(SERVICES["api"]["environment"][f"{PREFIX}DATABASE_URL"]).password
    assert f"create role {urlsplit(address).username} login password" in COMPOSE["configs"]["role"]["content"]
    assert "docker compose up --wait kafka postgres" in page

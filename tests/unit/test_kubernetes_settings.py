"""What pods are given as settings and secrets: it exists, it is valid, it is all that is needed, and the example is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from goalstream.config import PREFIX, Settings, load_settings
from goalstream.errors import SettingsError
from tests.certificates import Authority
from tests.unit.kubernetes_files import EXAMPLE, ROOT, WORKLOADS, all_of

NAMES = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
DEPLOYED = [file for file in (ROOT / "deploy").rglob("*") if file.is_file()]
NEEDED = {
    "worker": {"goalstream_database_url", "goalstream_kafka_sasl_password", "kafka-ca.pem"},
    "topics": {"goalstream_kafka_sasl_password", "kafka-ca.pem"},
    "deliverer": {
        "goalstream_database_url",
        "goalstream_encryption_keys",
        "goalstream_kafka_sasl_password",
        "kafka-ca.pem",
    },
    "api": {
        "goalstream_database_url",
        "goalstream_encryption_keys",
        "goalstream_jwt_secret",
        "goalstream_kafka_sasl_password",
        "kafka-ca.pem",
    },
    "migrate": {"goalstream_database_url"},
}
"""What each kind of pod has to know, and may."""

Give = Callable[[str, dict[str, str]], None]


@pytest.fixture
def give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Give:
    """Puts a pod's settings into the environment, and secrets where these say."""

    def give(component: str, secrets: dict[str, str]) -> None:
        workload = WORKLOADS[component]
        (mount,) = (one["mountPath"] for one in workload.container["volumeMounts"] if one["name"] == "secrets")
        assert workload.settings["GOALSTREAM_SECRETS_DIR"] == mount
        for name, value in workload.settings.items():
            monkeypatch.setenv(name, value.replace(mount, str(tmp_path)))
        for key, value in secrets.items():
            (tmp_path / key).write_text(value)

    return give


@pytest.mark.parametrize("file", [*DEPLOYED, ROOT / "docker-compose.yml"], ids=lambda file: file.name)
def test_every_setting_that_is_named_exists(file: Path) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+", file.read_text()))
    assert named <= NAMES


def test_the_settings_are_found_where_they_are_looked_for() -> None:
    assert {"settings.yaml", "secrets.example.yaml", "rules.yml"} <= {file.name for file in DEPLOYED}
    assert all(name in NAMES for one in WORKLOADS.values() for name in one.settings)


def test_every_secret_is_named_like_a_setting_or_by_one() -> None:
    files = {Path(value).name for one in WORKLOADS.values() for value in one.settings.values()}
    keys = {key for secret in all_of("Secret").values() for key in secret["stringData"]}
    assert keys == set().union(*NEEDED.values())
    assert all(key.upper() in NAMES or key in files for key in keys)


@pytest.mark.parametrize("component", WORKLOADS)
def test_a_pod_has_the_secrets_that_it_needs_and_no_others(component: str, give: Give, tmp_path: Path) -> None:
    assert set(WORKLOADS[component].secrets) == NEEDED[component]
    filled = {
        "goalstream_database_url": "postgresql://goalstream:hidden@postgres.database.svc:5432/goalstream",
        "goalstream_encryption_keys": Fernet.generate_key().decode(),
        "goalstream_jwt_secret": "a secret of more than thirty-two bytes",
        "goalstream_kafka_sasl_password": "hidden",
        "kafka-ca.pem": Authority(tmp_path / "authority").file.read_text(),
    }
    give(component, {key: filled[key] for key in NEEDED[component]})
    settings = load_settings()
    if "goalstream_database_url" in NEEDED[component]:
        assert settings.database_url.get_secret_value() == filled["goalstream_database_url"]
    assert (settings.jwt_secret is not None) == ("goalstream_jwt_secret" in NEEDED[component])
    assert (settings.encryption_keys is not None) == ("goalstream_encryption_keys" in NEEDED[component])
    if "kafka-ca.pem" in NEEDED[component]:
        assert settings.kafka_ssl_ca_file == str(tmp_path / "kafka-ca.pem")
        assert settings.kafka_security_protocol == "SASL_SSL"


@pytest.mark.parametrize("component", WORKLOADS)
def test_no_process_starts_with_the_example_of_the_secrets(component: str, give: Give) -> None:
    assert {value for secret in all_of("Secret").values() for value in secret["stringData"].values()} == {"REPLACE-ME"}
    assert "EXAMPLE" in EXAMPLE.read_text().splitlines()[0]
    give(component, WORKLOADS[component].secrets)
    with pytest.raises(SettingsError):
        load_settings()


@pytest.mark.parametrize("component", ["worker", "deliverer", "topics"])
def test_a_pod_without_the_secrets_of_kafka_says_so(component: str, give: Give) -> None:
    give(component, {})
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "GOALSTREAM_KAFKA_SASL_PASSWORD: is needed with SASL_SSL" in refused.value.problems


def test_what_is_filled_in_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert f"/{(EXAMPLE.parent / 'secrets.yaml').relative_to(ROOT)}" in ignored

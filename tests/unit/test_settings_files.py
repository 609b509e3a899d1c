"""Secrets from files: what a directory gives, what goes before it, and what would otherwise be missed without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalstream.config import Settings, describe_settings, load_settings
from goalstream.errors import SettingsError


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that the environment names, in a working directory whose `.env` is read."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    monkeypatch.setenv("GOALSTREAM_SECRETS_DIR", str(directory))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")
    return directory


def origins() -> dict[str, str]:
    """Where each setting comes from."""
    return {line.name: line.origin for line in describe_settings()}


@pytest.mark.parametrize("name", ["goalstream_database_url", "GOALSTREAM_DATABASE_URL"])
def test_a_file_that_is_named_like_a_setting_holds_its_value(secrets: Path, name: str) -> None:
    (secrets / name).write_text("postgresql://me:hidden@db/x\n", "utf-8")
    (secrets / "of-somebody-else").write_bytes(b"\xff")
    assert load_settings().database_url.get_secret_value() == "postgresql://me:hidden@db/x"
    assert origins()["GOALSTREAM_DATABASE_URL"] == str(secrets / name)
    assert origins()["GOALSTREAM_HTTP_PORT"] == "default"


def test_kubernetes_links_are_followed_inside_the_directory(secrets: Path) -> None:
    version = secrets / "..2031_01_01"
    version.mkdir()
    (version / "goalstream_http_port").write_text("8001", "utf-8")
    (secrets / "..data").symlink_to("..2031_01_01")
    (secrets / "goalstream_http_port").symlink_to("..data/goalstream_http_port")
    assert load_settings().http_port == 8001


def test_the_environment_goes_before_dotenv_and_that_before_files_and_those_before_defaults(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["goalstream_http_port", "goalstream_metrics_port", "goalstream_retention_days"]
    for name in names:
        (secrets / name).write_text("1", "utf-8")
    (secrets.parent / ".env").write_text("GOALSTREAM_HTTP_PORT=2\nGOALSTREAM_METRICS_PORT=2\n", "utf-8")
    monkeypatch.setenv("GOALSTREAM_HTTP_PORT", "3")
    settings = load_settings()
    assert (settings.http_port, settings.metrics_port, settings.retention_days) == (3, 2, 1)
    found = origins()
    assert [found[name.upper()] for name in names] == ["environment", ".env", str(secrets / names[2])]
    assert found["GOALSTREAM_JWT_SECRET"] == "default"


def test_dotenv_may_name_the_directory(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOALSTREAM_SECRETS_DIR")
    (secrets.parent / ".env").write_text(f"GOALSTREAM_SECRETS_DIR={secrets}\n", "utf-8")
    (secrets / "goalstream_http_port").write_text("8001", "utf-8")
    assert load_settings().http_port == 8001


def test_a_value_in_a_file_is_judged_like_any_other_and_not_repeated(secrets: Path) -> None:
    (secrets / "goalstream_database_url").write_text("mysql://me:hidden@db/x", "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.problems == ("GOALSTREAM_DATABASE_URL: must begin with postgresql://",)


def test_a_directory_that_is_not_there_is_the_one_thing_that_is_told(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALSTREAM_SECRETS_DIR", str(secrets / "elsewhere"))
    monkeypatch.setenv("GOALSTREAM_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.problems == (
        f"GOALSTREAM_SECRETS_DIR: {secrets}/elsewhere cannot be read as a directory: No such file or directory",
    )


def test_files_that_would_be_missed_without_a_word_are_refused_together(secrets: Path) -> None:
    (secrets.parent / "outside").write_text("1", "utf-8")
    (secrets / "goalstream_databse_url").write_text("postgresql://db/x", "utf-8")
    (secrets / "goalstream_http_port").symlink_to("../outside")
    (secrets / "goalstream_jwt_issuer").mkdir()
    (secrets / "goalstream_jwt_secret").write_bytes(b"\xff" * 40)
    (secrets / "goalstream_jwks_url").symlink_to("goalstream_jwks_url")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    (problem,) = refused.value.problems
    assert problem.removeprefix("GOALSTREAM_SECRETS_DIR: ").split("; ") == [
        f"{secrets}/goalstream_databse_url is named like no setting",
        f"{secrets}/goalstream_http_port leads out of the directory",
        f"{secrets}/goalstream_jwks_url cannot be read: Too many levels of symbolic links",
        f"{secrets}/goalstream_jwt_issuer cannot be read: Is a directory",
        f"{secrets}/goalstream_jwt_secret is not UTF-8",
    ]

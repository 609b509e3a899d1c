"""Settings that would only fail much later are refused at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalstream.config import describe_settings, load_settings
from goalstream.errors import SettingsError
from tests.certificates import Authority

NAME = "GOALSTREAM_KAFKA_GROUP_INSTANCE_ID"


@pytest.mark.parametrize("name", ["", "worker-3.eu_west"])
def test_a_name_in_the_group_is_what_kafka_takes_for_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(NAME, name)
    assert load_settings().kafka_group_instance_id == name


@pytest.mark.parametrize("name", ["worker 3", "wörker", "w" * 250])
def test_a_name_in_the_group_that_kafka_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(NAME, name)
    with pytest.raises(SettingsError, match=NAME):
        load_settings()


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKC\n-----END PUBLIC KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUbXk4y0aDXtwZ2 me",
        '{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}',
    ],
)
def test_what_others_may_know_is_no_secret(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GOALSTREAM_JWT_SECRET", text)
    with pytest.raises(SettingsError, match="GOALSTREAM_JWT_SECRET: must be a secret"):
        load_settings()


@pytest.mark.parametrize("url", ["https://idp.example/keys", "http://127.0.0.1:8080/realms/x/certs?a=b"])
def test_the_address_of_keys_is_one_of_http(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("GOALSTREAM_JWKS_URL", url)
    assert load_settings().jwks_url == url


@pytest.mark.parametrize(
    "url", ["", "idp.example/keys", "file:///etc/keys", "https://", "https://me:hidden@idp.example/", "https://[idp/"]
)
def test_another_address_of_keys_is_refused_and_a_password_in_it_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("GOALSTREAM_JWKS_URL", url)
    with pytest.raises(SettingsError, match="GOALSTREAM_JWKS_URL") as refused:
        load_settings()
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOALSTREAM_JWT_AUDIENCE", ""),
        ("GOALSTREAM_JWT_ISSUER", ""),
        ("GOALSTREAM_JWT_LEEWAY_SECONDS", "-1"),
        ("GOALSTREAM_JWT_LEEWAY_SECONDS", "601"),
        ("GOALSTREAM_JWKS_REFRESH_SECONDS", "0"),
        ("GOALSTREAM_RATE_LIMIT_PER_MINUTE", "-1"),
    ],
)
def test_settings_of_tokens_that_mean_nothing_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()


def test_certificates_of_the_database_are_looked_at_when_settings_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    ours, theirs = authority.certificate("ours", password="hidden"), authority.certificate("theirs")
    (tmp_path / "empty.pem").touch()
    right = f"sslmode=verify-full&sslrootcert={authority.file}&sslcert={ours.file}&sslkey={ours.key_file}"
    for options, problem in {
        "sslmode=encrypted": "has sslmode=encrypted, which is none of disable, allow, prefer, require, verify-ca, verify-full",
        "sslrootcert=/nowhere/ca.pem": "/nowhere/ca.pem cannot be read: No such file or directory",
        f"sslrootcert={tmp_path}/empty.pem": f"{tmp_path}/empty.pem holds no certificate (PEM)",
        f"sslcert={tmp_path}/empty.pem": f"{tmp_path}/empty.pem holds no certificate (PEM)",
        f"sslcert={ours.file}&sslkey={theirs.key_file}": f"{theirs.key_file} is not the key of {ours.file}",
        right: f"{ours.key_file} is no key (PEM), or needs a password",
    }.items():
        monkeypatch.setenv("GOALSTREAM_DATABASE_URL", f"postgresql://me:hidden@db/x?{options}")
        with pytest.raises(SettingsError) as refused:
            load_settings()
        assert refused.value.problems == (f"GOALSTREAM_DATABASE_URL: {problem}",)
    monkeypatch.setenv("GOALSTREAM_DATABASE_URL", f"postgresql://me:hidden@db/x?{right}&sslpassword=hidden")
    assert load_settings().database_url.get_secret_value().endswith("sslpassword=hidden")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hidden@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me:hid@den@db/x?sslmode=require", "postgresql://me:***@db/x?sslmode=require"),
        (
            "postgresql://me@db/x?password=hidden&sslpassword=hidden",
            "postgresql://me@db/x?password=***&sslpassword=***",
        ),
        ("postgresql:///x?host=/run&user=me", "postgresql:///x?host=/run&user=me"),
    ],
)
def test_passwords_in_the_databases_url_are_hidden(monkeypatch: pytest.MonkeyPatch, url: str, shown: str) -> None:
    monkeypatch.setenv("GOALSTREAM_DATABASE_URL", url)
    assert {line.name: line.value for line in describe_settings()}["GOALSTREAM_DATABASE_URL"] == shown


KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@pytest.mark.parametrize("keys", [KEY, f"{KEY},{KEY}", f" {KEY} , {KEY}", "+/" * 21 + "A="])
def test_keys_of_secrets_are_32_bytes_in_base64_one_or_several(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("GOALSTREAM_ENCRYPTION_KEYS", keys)
    found = load_settings().encryption_keys
    assert found is not None
    assert found.get_secret_value() == keys


@pytest.mark.parametrize("keys", ["", "short", KEY[:-4], f"{KEY},", f"{KEY};{KEY}", "ü" * 44])
def test_what_is_no_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("GOALSTREAM_ENCRYPTION_KEYS", keys)
    with pytest.raises(SettingsError, match=r"GOALSTREAM_ENCRYPTION_KEYS: must be 32 bytes in base64") as refused:
        load_settings()
    assert not keys or keys not in str(refused.value)


@pytest.mark.parametrize("networks", ["", "10.20.0.0/16", "10.20.0.0/16, fd00::/8,192.168.7.9", "127.0.0.0/8,"])
def test_networks_that_webhooks_may_be_sent_to_are_taken_as_they_are_written(
    monkeypatch: pytest.MonkeyPatch, networks: str
) -> None:
    monkeypatch.setenv("GOALSTREAM_WEBHOOK_PRIVATE_NETWORKS", networks)
    assert load_settings().webhook_private_networks == networks


@pytest.mark.parametrize("networks", ["10.20.0.1/16", "localhost", "10.0.0.0/33", "10.0.0.0/8;fd00::/8", "10.0.0"])
def test_what_is_no_network_is_refused(monkeypatch: pytest.MonkeyPatch, networks: str) -> None:
    monkeypatch.setenv("GOALSTREAM_WEBHOOK_PRIVATE_NETWORKS", networks)
    with pytest.raises(SettingsError, match="GOALSTREAM_WEBHOOK_PRIVATE_NETWORKS: must be networks such as"):
        load_settings()


def test_who_vouches_for_receivers_of_webhooks_is_looked_at_when_settings_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, file = "GOALSTREAM_WEBHOOK_SSL_CA_FILE", Authority(tmp_path).file
    monkeypatch.setenv(name, str(file))
    assert load_settings().webhook_ssl_ca_file == str(file)
    for wrong in (tmp_path / "none.pem", tmp_path):
        monkeypatch.setenv(name, str(wrong))
        with pytest.raises(SettingsError, match=name):
            load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("CONCURRENCY", "0"), ("CONCURRENCY", "1001"), ("TIMEOUT_SECONDS", "0.5"), ("TIMEOUT_SECONDS", "61")],
)
def test_webhooks_that_would_wait_for_ever_or_ask_for_too_much_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"GOALSTREAM_WEBHOOK_{name}", value)
    with pytest.raises(SettingsError, match=f"GOALSTREAM_WEBHOOK_{name}"):
        load_settings()

"""Settings of a secured Kafka: what does not fit together is told in words, everything at once."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from goalstream.config import describe_settings, load_settings
from goalstream.errors import SettingsError
from goalstream.tls import client_context
from tests.certificates import Authority

SASL = {"SASL_USERNAME": "goalstream", "SASL_PASSWORD": "hidden"}


def problems(monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[str]:
    """What is wrong with settings of Kafka, without the names' common beginning."""
    for name, value in settings.items():
        monkeypatch.setenv(f"GOALSTREAM_KAFKA_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "hidden" not in str(refused.value)
    return [problem.removeprefix("GOALSTREAM_KAFKA_") for problem in refused.value.problems]


@pytest.mark.parametrize("protocol", ["sasl_ssl", "SASL_SSL", "Sasl_Plaintext"])
def test_protocol_and_mechanism_are_written_as_kafka_does_in_any_case(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    for name, value in {"SECURITY_PROTOCOL": protocol, "SASL_MECHANISM": "scram-sha-256", **SASL}.items():
        monkeypatch.setenv(f"GOALSTREAM_KAFKA_{name}", value)
    settings = load_settings()
    assert (settings.kafka_security_protocol, settings.kafka_sasl_mechanism) == (protocol.upper(), "SCRAM-SHA-256")
    assert {line.name: line.value for line in describe_settings()}["GOALSTREAM_KAFKA_SASL_PASSWORD"] == "***"


def test_sasl_needs_a_user_and_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch, SECURITY_PROTOCOL="SASL_SSL", SASL_PASSWORD="") == [
        "SASL_USERNAME: is needed with SASL_SSL",
        "SASL_PASSWORD: is needed with SASL_SSL",
    ]


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_user_says_nothing_without_sasl(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    assert problems(monkeypatch, SECURITY_PROTOCOL=protocol, **SASL) == [
        f"SASL_USERNAME: says nothing to {protocol}: GOALSTREAM_KAFKA_SECURITY_PROTOCOL should be SASL_SSL",
        f"SASL_PASSWORD: says nothing to {protocol}: GOALSTREAM_KAFKA_SECURITY_PROTOCOL should be SASL_SSL",
    ]


@pytest.mark.parametrize(("protocol", "better"), [("PLAINTEXT", "SSL"), ("SASL_PLAINTEXT", "SASL_SSL")])
def test_certificates_say_nothing_without_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, protocol: str, better: str
) -> None:
    sasl = SASL if protocol.startswith("SASL") else {}
    assert problems(monkeypatch, SECURITY_PROTOCOL=protocol, SSL_CA_FILE=str(Authority(tmp_path).file), **sasl) == [
        f"SSL_CA_FILE: says nothing to {protocol}: GOALSTREAM_KAFKA_SECURITY_PROTOCOL should be {better}"
    ]


def test_what_is_wrong_is_told_with_everything_else_that_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("GOALSTREAM_HTTP_PORT", "-1")
    assert problems(
        monkeypatch,
        SECURITY_PROTOCOL="tls",
        SASL_MECHANISM="GSSAPI",
        SSL_CA_FILE="/nowhere/ca.pem",
        SSL_CERT_FILE=f"{tmp_path}/empty.pem",
    ) == [
        "SECURITY_PROTOCOL: Input should be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'",
        "SASL_MECHANISM: Input should be 'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'",
        "SSL_CA_FILE: /nowhere/ca.pem cannot be read: No such file or directory",
        f"SSL_CERT_FILE: {tmp_path}/empty.pem holds no certificate (PEM)",
        "GOALSTREAM_HTTP_PORT: Input should be greater than or equal to 0",
    ]


def test_a_certificate_and_its_key_go_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = Authority(tmp_path).certificate("ours")
    tls = {"SECURITY_PROTOCOL": "SSL"}
    assert problems(monkeypatch, **tls, SSL_CERT_FILE=str(ours.file)) == [
        "SSL_KEY_FILE: is needed with GOALSTREAM_KAFKA_SSL_CERT_FILE"
    ]
    assert problems(monkeypatch, **tls, SSL_CERT_FILE="", SSL_KEY_FILE=str(ours.key_file)) == [
        "SSL_KEY_FILE: needs its certificate: set GOALSTREAM_KAFKA_SSL_CERT_FILE"
    ]
    assert problems(monkeypatch, **tls, SSL_KEY_FILE="", SSL_KEY_PASSWORD="hidden") == [
        "SSL_KEY_PASSWORD: is of no key: set GOALSTREAM_KAFKA_SSL_KEY_FILE"
    ]


def test_a_key_opens_and_is_the_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours, theirs = authority.certificate("ours", password="hidden"), authority.certificate("theirs")
    tls = {"SECURITY_PROTOCOL": "SSL", "SSL_CERT_FILE": str(ours.file)}
    key = {"SSL_KEY_FILE": str(ours.key_file)}
    assert problems(monkeypatch, **tls, **key) == [
        f"SSL_KEY_PASSWORD: {ours.key_file} is no key (PEM), or needs a password"
    ]
    assert problems(monkeypatch, **tls, **key, SSL_KEY_PASSWORD="hidden too") == [
        f"SSL_KEY_PASSWORD: {ours.key_file} is no key (PEM), or has another password"
    ]
    assert problems(monkeypatch, **tls, SSL_KEY_FILE=str(theirs.key_file), SSL_KEY_PASSWORD="") == [
        f"SSL_KEY_PASSWORD: {theirs.key_file} is not the key of {ours.file}"
    ]
    assert problems(monkeypatch, **tls, SSL_KEY_FILE="/nowhere") == [
        f"SSL_KEY_PASSWORD: {ours.file} or /nowhere cannot be read: No such file or directory"
    ]
    monkeypatch.setenv("GOALSTREAM_KAFKA_SSL_KEY_FILE", str(ours.key_file))
    monkeypatch.setenv("GOALSTREAM_KAFKA_SSL_KEY_PASSWORD", "hidden")
    assert load_settings().kafka_ssl_key_file == str(ours.key_file)


def test_a_servers_name_is_always_verified() -> None:
    context = client_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED

"""Settings that would only fail much later are refused at the start."""

from __future__ import annotations

import pytest

from goalstream.config import load_settings
from goalstream.errors import SettingsError

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

"""The way to Kafka: what settings make of it, and that every client goes it."""

from __future__ import annotations

import ast
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

import goalstream
from goalstream.config import Settings
from goalstream.errors import SettingsError
from goalstream.streams.app import credentials
from goalstream.streams.connection import Kafka
from tests.certificates import Authority

PACKAGE = Path(goalstream.__file__).parent
SASL = {"kafka_sasl_username": "me", "kafka_sasl_password": "hidden"}


def clients(path: Path) -> Iterator[tuple[str, bool]]:
    """Every client of aiokafka that a module makes, and whether it is given the options of the way."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("AIOKafka"):
            given = [keyword.value for keyword in node.keywords if keyword.arg is None]
            yield node.func.id, any(isinstance(one, ast.Attribute) and one.attr == "options" for one in given)


def test_every_client_is_made_with_the_options_of_the_way() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "dev" and path.name != "connection.py"]
    made = [(path.name, *client) for path in modules for client in clients(path)]
    assert len(made) >= 8
    assert [client for client in made if not client[2]] == []


def test_without_more_than_servers_kafka_is_spoken_to_as_anybody() -> None:
    kafka = Kafka.of(Settings.model_validate({"kafka_bootstrap_servers": "a:1,b:2"}))
    assert kafka == Kafka(bootstrap_servers="a:1,b:2", sasl_mechanism="SCRAM-SHA-512")
    assert credentials(kafka) is None


@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_aiokafka_and_faust_hear_the_same(protocol: str) -> None:
    has_user, has_tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    fields = {"kafka_security_protocol": protocol, "kafka_sasl_mechanism": "PLAIN"} | (SASL if has_user else {})
    kafka = Kafka.of(Settings.model_validate(fields))
    assert kafka.options["security_protocol"] == protocol
    assert (kafka.options["sasl_plain_username"], kafka.options["sasl_plain_password"]) == (
        ("me", "hidden") if has_user else (None, None)
    )
    context = kafka.options["ssl_context"]
    assert isinstance(context, ssl.SSLContext) is has_tls
    told = credentials(kafka)
    assert told is not None
    assert told.protocol.value == protocol
    assert credentials_to_aiokafka_auth(told).items() <= kafka.options.items()
    assert "hidden" not in repr(kafka) + repr(told)


def test_a_file_that_has_gone_since_the_settings_were_read_is_told_in_words(tmp_path: Path) -> None:
    file = Authority(tmp_path).file
    settings = Settings.model_validate({"kafka_security_protocol": "SSL", "kafka_ssl_ca_file": str(file)})
    file.unlink()
    with pytest.raises(SettingsError, match=r"authority\.pem cannot be read: No such file"):
        Kafka.of(settings)

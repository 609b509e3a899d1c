"""A Kafka with TLS and SASL: the product from end to end, and what it says where it is kept out."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError

from goalstream.config import Settings
from goalstream.domain.goals import FormCriteria
from goalstream.storage.pool import Database
from goalstream.streams.connection import Kafka
from goalstream.tls import client_context
from tests.acceptance.command import run
from tests.acceptance.crm import Crm, envelope, eventually, running_worker, start_worker
from tests.certificates import Authority
from tests.integration.builders import World
from tests.integration.test_services import needs_java
from tests.services.broker import Cluster, Security, free_ports

pytestmark = [pytest.mark.timeout(120), needs_java]

USER, PASSWORD = "goalstream", "hidden-from-everybody"


@dataclass(frozen=True, slots=True)
class Secured:
    """A broker, who vouches for its certificate, which is for 127.0.0.1 alone, and somebody whom nobody knows."""

    broker: Cluster
    authority: Authority
    stranger: Authority

    @property
    def kafka(self) -> Kafka:
        """The way that is right."""
        return Kafka(
            bootstrap_servers=f"127.0.0.1:{self.broker.sasl_port}",
            security_protocol="SASL_SSL",
            ssl_context=client_context(ca_file=str(self.authority.file)),
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=USER,
            sasl_password=PASSWORD,
        )


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with tempfile.TemporaryDirectory() as folder:
        authority, stranger = Authority(Path(folder), "authority"), Authority(Path(folder), "stranger")
        own = authority.certificate("broker", "127.0.0.1")
        store = Path(folder) / "broker.store"
        store.write_bytes(own.key_file.read_bytes() + own.file.read_bytes())
        security = Security(key_store=store, trust_store=authority.file, user=USER, password=PASSWORD)
        with Cluster(heap="256m", security=security) as broker:
            yield Secured(broker, authority, stranger)


@pytest.fixture
def variables(secured: Secured, database_url: str) -> dict[str, str]:
    """The environment of an operator."""
    return {
        "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{secured.broker.sasl_port}",
        "GOALSTREAM_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
        "GOALSTREAM_KAFKA_SASL_USERNAME": USER,
        "GOALSTREAM_KAFKA_SASL_PASSWORD": PASSWORD,
        "GOALSTREAM_KAFKA_SSL_CA_FILE": str(secured.authority.file),
        "GOALSTREAM_DATABASE_URL": database_url,
        "GOALSTREAM_JWT_SECRET": "s" * 40,
        "GOALSTREAM_ACTIVATION_DELAY_SECONDS": "0",
        "GOALSTREAM_METRICS_PORT": str(free_ports(1)[0]),
    }


@pytest.fixture
def settings(variables: dict[str, str]) -> Settings:
    return Settings.model_validate(
        {name.removeprefix("GOALSTREAM_").lower(): value for name, value in variables.items()}
    )


async def test_an_achievement_comes_out_of_a_kafka_with_tls_and_a_password(
    variables: dict[str, str], settings: Settings, database: Database, tmp_path: Path
) -> None:
    created = await asyncio.to_thread(run, "topics", **variables)
    assert (created.returncode, created.stdout.count("created")) == (0, len(created.stdout.splitlines()))
    world = World(database)
    await world.add_goal(FormCriteria(form_id="f"))
    started, submitted = "workflow.enrollment.started", "form.submitted"
    enrollment = {
        "enrollment_id": world.enrollment_id,
        "workflow_id": world.workflow_id,
        "contact_id": world.contact_id,
        "entered_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    }
    events = tmp_path / "events.jsonl"
    events.write_text(
        json.dumps(envelope(started, world.account_id, enrollment))
        + "\n"
        + json.dumps(envelope(submitted, world.account_id, {"contact_id": world.contact_id, "form_id": "f"}))
    )
    async with Crm(settings) as crm, running_worker(settings):
        await crm.send(submitted, b"not JSON")
        sent = await asyncio.to_thread(run, "send", str(events), **variables)
        (achieved,) = await crm.read("workflow.goal.achieved", 1)
        await eventually(crm.committed_everything)
        listed = await asyncio.to_thread(run, "dead-letters", "list", **variables)
        redriven = await asyncio.to_thread(run, "dead-letters", "redrive", "--all", **variables)
        await eventually(crm.committed_everything)
        found = await asyncio.to_thread(run, "doctor", "--json", **variables)
    assert sent.stdout == "2 sent, 0 bad\n"
    assert json.loads(achieved.value)["workflow_enrollment_id"] == world.enrollment_id
    assert "not_json" in listed.stdout
    assert redriven.stdout == "1 redriven, 0 refused\n"
    checks = {check["check"]: check["verdict"] for check in json.loads(found.stdout)["checks"]}
    assert {name for name, verdict in checks.items() if verdict != "ok"} <= {"dead letters"}, found.stdout


def test_a_certificate_of_ours_is_shown_to_brokers_that_ask_for_one(
    secured: Secured, variables: dict[str, str]
) -> None:
    ours = secured.authority.certificate("client", password=PASSWORD)
    tls = {name: value for name, value in variables.items() if "_SASL_" not in name} | {
        "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{secured.broker.tls_port}",
        "GOALSTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
        "GOALSTREAM_KAFKA_SSL_CERT_FILE": str(ours.file),
        "GOALSTREAM_KAFKA_SSL_KEY_FILE": str(ours.key_file),
        "GOALSTREAM_KAFKA_SSL_KEY_PASSWORD": PASSWORD,
        "GOALSTREAM_KAFKA_TOPIC_PREFIX": "tls.",
    }
    assert run("topics", **tls).returncode == 0


async def test_what_keeps_us_out_is_told_in_words_with_what_to_do(secured: Secured) -> None:
    kafka, sasl_port, tls_port = secured.kafka, secured.broker.sasl_port, secured.broker.tls_port
    plain = Kafka(bootstrap_servers=secured.broker.bootstrap_servers)
    stranger = secured.stranger.certificate("client")
    ours = str(secured.authority.file)
    files = {"ca_file": ours, "cert_file": str(stranger.file), "key_file": str(stranger.key_file)}
    protocol = "look at GOALSTREAM_KAFKA_SECURITY_PROTOCOL"
    authority = "look at GOALSTREAM_KAFKA_SSL_CA_FILE, and at the names in that certificate"
    certificate = "look at GOALSTREAM_KAFKA_SSL_CERT_FILE"
    expected = [
        (
            replace(kafka, sasl_password="wrong"),
            "does not take the user or the password",
            "look at GOALSTREAM_KAFKA_SASL_USERNAME and GOALSTREAM_KAFKA_SASL_PASSWORD",
        ),
        (replace(kafka, sasl_mechanism="PLAIN"), "does not take PLAIN", "look at GOALSTREAM_KAFKA_SASL_MECHANISM"),
        (
            replace(kafka, ssl_context=client_context(ca_file=str(secured.stranger.file))),
            "shows a certificate that is not taken: unable to get local issuer certificate",
            authority,
        ),
        (
            replace(kafka, bootstrap_servers=f"localhost:{sasl_port}"),
            "shows a certificate that is not taken: Hostname mismatch, certificate is not valid for 'localhost'.",
            authority,
        ),
        (
            replace(plain, bootstrap_servers=f"127.0.0.1:{sasl_port}"),
            "speaks TLS, and not PLAINTEXT",
            protocol,
        ),
        (
            replace(kafka, security_protocol="SASL_PLAINTEXT"),
            "speaks TLS, and not SASL_PLAINTEXT",
            protocol,
        ),
        (
            replace(kafka, security_protocol="SSL"),
            "breaks off at once: it is away, or does not speak SSL there",
            "",
        ),
        (
            replace(kafka, bootstrap_servers=plain.bootstrap_servers),
            "breaks off at once: it is away, or does not speak SASL_SSL there",
            "",
        ),
        (
            replace(kafka, bootstrap_servers=plain.bootstrap_servers, security_protocol="SASL_PLAINTEXT"),
            "asks for no user, so it does not speak SASL_PLAINTEXT",
            protocol,
        ),
        (
            replace(kafka, bootstrap_servers=f"127.0.0.1:{tls_port}", security_protocol="SSL"),
            "does not take our certificate, or wants one",
            certificate,
        ),
        (
            replace(
                kafka,
                bootstrap_servers=f"127.0.0.1:{tls_port}",
                security_protocol="SSL",
                ssl_context=client_context(**files),
            ),
            "does not take our certificate, or wants one",
            certificate,
        ),
    ]
    told = [await way.unavailable(KafkaConnectionError("no broker")) for way, _, _ in expected]
    assert [(one.sentence, one.advice) for one in told] == [
        (f"Kafka at {way.bootstrap_servers} {what}", advice) for way, what, advice in expected
    ]


async def test_where_nothing_keeps_us_out_the_clients_own_words_are_told(secured: Secured) -> None:
    plain = Kafka(bootstrap_servers=secured.broker.bootstrap_servers)
    told = await plain.unavailable(KafkaConnectionError("no leader"))
    assert str(told) == f"Kafka at {plain.bootstrap_servers} does not answer: KafkaConnectionError: no leader"


async def test_brokers_that_the_first_one_names_are_asked_too(secured: Secured) -> None:
    detour = secured.broker.detour()
    told = await Kafka(bootstrap_servers=f"127.0.0.1:{detour.port}").unavailable(KafkaConnectionError("no node"))
    assert str(told).startswith(f"Kafka at 127.0.0.1:{detour.announced_port} does not answer: ConnectionRefusedError")


def test_commands_that_are_kept_out_say_so_in_one_line(
    secured: Secured, variables: dict[str, str], tmp_path: Path
) -> None:
    at = f"Kafka at 127.0.0.1:{secured.broker.sasl_port}"
    password = {"GOALSTREAM_KAFKA_SASL_PASSWORD": "wrong-and-hidden"}
    look_at_password = (
        f"{at} does not take the user or the password{{}}: "
        "look at GOALSTREAM_KAFKA_SASL_USERNAME and GOALSTREAM_KAFKA_SASL_PASSWORD"
    )
    authority = {"GOALSTREAM_KAFKA_SSL_CA_FILE": str(secured.stranger.file)}
    host = {"GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{secured.broker.sasl_port}"}
    secured_only = ("_SASL_", "_SSL_", "_SECURITY_")
    plaintext = {name: "" for name in variables if any(part in name for part in secured_only)}
    plaintext["GOALSTREAM_KAFKA_SECURITY_PROTOCOL"] = "PLAINTEXT"
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(envelope("form.submitted", "a", {})))
    calls = [
        (("topics",), password, look_at_password.format("")),
        (("send", str(events)), password, look_at_password.format("; 0 were sent")),
        (("dead-letters", "list"), password, look_at_password.format("")),
        (("topics",), authority, f"{at} shows a certificate that is not taken: unable to get local issuer"),
        (
            ("dead-letters", "drop", "--all"),
            host,
            f"{at.replace('127.0.0.1', 'localhost')} shows a certificate that is not taken: Hostname mismatch",
        ),
        (("topics",), plaintext, f"{at} speaks TLS, and not PLAINTEXT: look at GOALSTREAM_KAFKA_SECURITY_PROTOCOL"),
    ]
    with ThreadPoolExecutor(2) as together:
        answers = list(together.map(lambda call: run(*call[0], **(variables | call[1])), calls))
    for (arguments, _, expected), found in zip(calls, answers, strict=True):
        assert found.returncode == 1, arguments
        assert found.stderr.startswith(f"goalstream: {expected}"), arguments
        assert found.stderr.count("\n") == 1, arguments
        assert "hidden" not in found.stderr + found.stdout, arguments


async def test_a_worker_and_the_doctor_that_are_kept_out_say_why(
    variables: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    wrong = settings.model_copy(update={"kafka_sasl_password": type(settings.database_url)("wrong-and-hidden")})
    with (tmp_path / "log").open("wb") as log:
        worker = start_worker(wrong, stderr=log.fileno())
        try:
            found = await asyncio.to_thread(
                run, "doctor", **(variables | {"GOALSTREAM_KAFKA_SASL_PASSWORD": "wrong-and-hidden"})
            )
            reasons = await eventually(lambda: _reasons(wrong.metrics_port))
        finally:
            worker.terminate()
            await asyncio.to_thread(worker.wait, 20)
    told = f"Kafka at {settings.kafka_bootstrap_servers} does not take the user or the password"
    advice = "look at GOALSTREAM_KAFKA_SASL_USERNAME and GOALSTREAM_KAFKA_SASL_PASSWORD"
    assert f"{told}: {advice}" in reasons
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("✗")]
    assert line.endswith(f"{told} → {advice}")
    said = (tmp_path / "log").read_text()
    assert told in said
    assert "Traceback" not in said
    assert "hidden" not in said + found.stdout + found.stderr + reasons


async def _reasons(port: int) -> str:
    """What /readyz says, once it speaks of Kafka."""
    async with httpx.AsyncClient() as client:
        try:
            answer = await client.get(f"http://127.0.0.1:{port}/readyz")
        except httpx.TransportError:
            return ""
    return answer.text if "Kafka at" in answer.text else ""

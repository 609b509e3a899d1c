"""What the doctor makes of what it hears."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from goalstream.config import Settings
from goalstream.doctor import Check, Result, checks, examine, judge_settings, judge_versions, worst
from goalstream.errors import BrokerUnavailable, OperatorError
from goalstream.observability.findings import Finding, Verdict, judge_clock, ok, unknown, warning, wrong
from goalstream.storage.checkup import (
    MOST_SECRETS,
    Webhooks,
    judge_connection,
    judge_outbox,
    judge_row_security,
    judge_secrets,
    judge_webhooks,
)
from goalstream.streams.checkup import judge_protocol, judge_topics
from goalstream.streams.group_checkup import Members, judge_dead_letters, judge_group
from goalstream.streams.topics import wanted_config

PRODUCTION: dict[str, Any] = {
    "kafka_bootstrap_servers": "kafka:9092",
    "kafka_security_protocol": "SSL",
    "database_url": "postgresql://me:hidden@db/x?sslmode=verify-full",
    "jwt_secret": "s" * 40,
}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate(PRODUCTION | changes)


async def fine() -> Finding:
    return ok("fine")


@pytest.mark.parametrize(
    ("ahead", "uncertain", "verdict"),
    [
        (0.2, 0.1, Verdict.OK),
        (-1.05, 0.1, Verdict.OK),
        (1.2, 0.1, Verdict.WARNING),
        (-4, 0.1, Verdict.WARNING),
        (5.2, 0.1, Verdict.WRONG),
        (-3600, 0.1, Verdict.WRONG),
        (6, 5.5, Verdict.OK),
    ],
)
def test_a_clock_is_judged_by_what_is_certain(ahead: float, uncertain: float, verdict: Verdict) -> None:
    assert judge_clock("its clock", ahead, uncertain).verdict is verdict


def test_a_clock_is_told_with_its_direction() -> None:
    assert (
        judge_clock("its clock", -1.5, 0.001).sentence
        == "its clock is 1.500 s behind this machine's (known to 0.001 s)"
    )
    assert "2.000 s ahead of" in judge_clock("its clock", 2, 0).sentence


def test_settings_of_a_deployment_are_fine() -> None:
    assert judge_settings(settings()) == ok("4 settings are chosen, the others are safe defaults")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"jwt_secret": None}, "GOALSTREAM_JWT_SECRET is not set"),
        ({"jwks_url": "http://idp.example/keys"}, "whoever comes between gives out keys of their own"),
        ({"database_url": "postgresql://me@db/x"}, "does not insist on TLS with a verified certificate"),
        ({"database_url": "postgresql://me@db/x?sslmode=require"}, "does not insist on TLS with a verified"),
        ({"kafka_security_protocol": "PLAINTEXT"}, "GOALSTREAM_KAFKA_SECURITY_PROTOCOL=PLAINTEXT: whoever"),
        ({"topic_replication_factor": 1}, "a lost disk loses events"),
        ({"metrics_port": 0}, "nobody can see whether a worker is well"),
        ({"dead_letter_max_in_a_row": 0}, "goes on when the contract has changed"),
        ({"dead_letter_max_share": 0}, "goes on when the contract has changed"),
    ],
)
def test_a_setting_that_is_unsafe_in_production_is_a_warning(changes: dict[str, Any], problem: str) -> None:
    finding = judge_settings(settings(**changes))
    assert finding.verdict is Verdict.WARNING
    assert problem in finding.sentence
    assert "hidden" not in finding.sentence


def test_the_keys_of_tokens_are_looked_at_where_there_is_an_address() -> None:
    def names(**changes: Any) -> list[str]:
        return [check.name for check in checks(settings(**changes), lambda: datetime.now(UTC))]

    assert names(jwks_url="https://idp.example/keys") == [*names(), "token keys"]


def test_defaults_of_a_developers_machine_are_a_warning_and_a_database_on_it_needs_no_tls() -> None:
    sentence = judge_settings(Settings.model_validate({})).sentence
    assert "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS is the default" in sentence
    assert "GOALSTREAM_DATABASE_URL is the default" in sentence
    assert "TLS" not in sentence


def test_a_library_in_another_version_is_wrong() -> None:
    assert judge_versions({"aiokafka": ("0.14.0", "0.14.0")}).verdict is Verdict.OK
    finding = judge_versions({"aiokafka": ("0.14.0", "0.15.0")})
    assert (finding.verdict, finding.sentence.rpartition(", ")[0][-15:]) == (Verdict.WRONG, "aiokafka 0.15.0")


def test_an_old_postgresql_is_wrong() -> None:
    assert judge_connection(14, "14.9", 3, tls="TLSv1.3", is_local=True).verdict is Verdict.WRONG
    assert judge_connection(15, "15.4", 3, tls="TLSv1.3", is_local=True).verdict is Verdict.OK


def test_a_connection_that_is_not_encrypted_is_a_warning_where_it_leaves_the_machine() -> None:
    local = judge_connection(18, "18.4", 3, tls=None, is_local=True)
    assert local == ok("PostgreSQL 18.4 answers in 3 ms, not encrypted")
    away = judge_connection(18, "18.4", 3, tls=None, is_local=False)
    assert (away.verdict, away.sentence) == (Verdict.WARNING, local.sentence)
    assert away.advice == "set sslmode=verify-full and sslrootcert in GOALSTREAM_DATABASE_URL"
    encrypted = judge_connection(18, "18.4", 3, tls="TLSv1.3", is_local=False)
    assert encrypted == ok("PostgreSQL 18.4 answers in 3 ms, encrypted (TLSv1.3)")


def test_row_security_stands_where_it_is_forced_and_binds_the_role() -> None:
    assert judge_row_security("me", True, 12, []) == ok("it is forced on 12 tables and binds the role me")
    assert judge_row_security("me", False, 12, []).verdict is Verdict.WRONG
    finding = judge_row_security("me", False, 12, ["matches", "outbox"])
    assert finding.sentence == "it does not bind the role me; it is not enabled and forced on matches, outbox"


@pytest.mark.parametrize(
    ("depth", "due_seconds", "verdict"),
    [
        (0, None, Verdict.OK),
        (9, -5, Verdict.OK),
        (9, 10, Verdict.OK),
        (9, 11, Verdict.WARNING),
        (9, 61, Verdict.WRONG),
    ],
)
def test_an_outbox_is_judged_by_how_long_its_oldest_message_has_been_due(
    depth: int, due_seconds: float | None, verdict: Verdict
) -> None:
    assert judge_outbox(depth, due_seconds).verdict is verdict


def test_secrets_are_judged_by_the_keys_that_they_need() -> None:
    assert judge_secrets(0, has_keys=False).verdict is Verdict.OK
    assert judge_secrets(2, has_keys=False).verdict is Verdict.WARNING
    assert judge_secrets(2, has_keys=True) == ok(
        "2 webhooks and hooks, encrypted with the first of GOALSTREAM_ENCRYPTION_KEYS"
    )
    assert judge_secrets(2, has_keys=True, need_an_older=1).verdict is Verdict.OK
    assert judge_secrets(2, has_keys=True, need_an_older=1, lost=1).verdict is Verdict.WRONG
    assert "1000 or more webhooks" in judge_secrets(MOST_SECRETS, has_keys=True).sentence


def test_a_broker_is_judged_by_the_requests_that_it_understands() -> None:
    assert judge_protocol({0: (0, 13), 1: (4, 18)}, 3, 2).sentence == (
        "Kafka answers in 2 ms: 3 brokers, protocol of Kafka 4 or newer"
    )
    assert judge_protocol({0: (0, 9), 1: (0, 12)}, 1, 2).sentence.endswith("1 broker, protocol of Kafka before 4")
    assert judge_protocol({0: (0, 2), 1: (0, 3)}, 1, 2).verdict is Verdict.WRONG


def test_topics_are_told_all_that_is_wrong_with_them_at_once() -> None:
    wanted = {name: wanted_config(name) for name in ("form.submitted", "workflow.goal.configured")}
    configs = {"form.submitted": {"cleanup.policy": "compact,delete"}, "workflow.goal.configured": {}}
    finding = judge_topics({"form.submitted": 4}, ["contact.merged"], ["form.submitted 3"], wanted, configs)
    assert finding.verdict is Verdict.WRONG
    assert finding.sentence.split("; ") == [
        "missing: contact.merged",
        "without a leader: form.submitted 3",
        "form.submitted has message.timestamp.type=None",
        "form.submitted has cleanup.policy=compact,delete",
        "workflow.goal.configured has message.timestamp.type=None",
        "workflow.goal.configured has cleanup.policy=None",
    ]


def test_topics_as_they_must_be_are_counted() -> None:
    wanted = {"form.submitted": wanted_config("form.submitted")}
    finding = judge_topics({"form.submitted": 4, "b": 9}, [], [], wanted, dict(wanted))
    assert finding == ok("2 topics with 4 to 9 partitions each, set as they must be")
    assert judge_topics({"form.submitted": 4}, [], [], wanted, None).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("lag", "has_moved", "members", "verdict"),
    [
        ({}, False, Members(2, 0), Verdict.OK),
        ({"t": 5}, True, Members(2, 0), Verdict.OK),
        ({"t": 5}, False, Members(2, 0), Verdict.WRONG),
        ({}, False, Members(3, 1), Verdict.WARNING),
        ({}, False, Members(2, 2), Verdict.WRONG),
        ({}, False, Members(0, 0), Verdict.WARNING),
        ({"t": 5}, True, Members(0, 0), Verdict.WRONG),
        ({"t": 5}, False, None, Verdict.WRONG),
        ({"t": 0}, False, None, Verdict.OK),
    ],
)
def test_a_group_is_well_while_it_has_workers_and_goes_on(
    lag: dict[str, int], has_moved: bool, members: Members | None, verdict: Verdict
) -> None:
    assert judge_group("g", lag, has_moved=has_moved, members=members).verdict is verdict


def test_a_groups_lag_is_told_by_topic() -> None:
    finding = judge_group("g", {"b": 1, "a": 4, "c": 0}, has_moved=True, members=Members(2, 0))
    assert finding.sentence == "group g: 2 workers, 5 records behind (a 4, b 1)"


def test_a_deliverer_without_partitions_sends_as_well() -> None:
    finding = judge_group("g", {}, has_moved=False, members=Members(9, 3), process="deliverer")
    assert finding == ok("group g: 9 deliverers, nothing is left to read")
    nobody = judge_group("g", {"t": 1}, has_moved=False, members=Members(0, 0), process="deliverer")
    assert nobody == wrong("group g: 0 deliverers, 1 record behind (t 1)", "start `goalstream deliverer`")


@pytest.mark.parametrize(
    ("webhooks", "deliverers", "finding"),
    [
        (Webhooks(2, 0.0, 0), ok("read"), ok("2 webhooks, read")),
        (Webhooks(2, 90.0, 1), wrong("gone", "start"), wrong("2 webhooks, gone", "start")),
        (
            Webhooks(2, 90.0, 1),
            ok("read"),
            warning("2 webhooks, read; one has waited for its turn for 0:01:30", "run more of `goalstream deliverer`"),
        ),
        (
            Webhooks(2, 60.0, 1),
            ok("read"),
            warning(
                "2 webhooks, read; 1 of them fails, and is tried now and then only",
                "`goalstream webhooks list` shows which, and `goalstream webhooks deliveries` what they answer",
            ),
        ),
    ],
)
def test_webhooks_are_well_while_deliverers_keep_up_and_endpoints_answer(
    webhooks: Webhooks, deliverers: Finding, finding: Finding
) -> None:
    assert judge_webhooks(webhooks, deliverers) == finding


@pytest.mark.parametrize(
    ("reasons", "records", "verdict"),
    [
        ({}, 0, Verdict.OK),
        ({}, None, Verdict.OK),
        ({"not_json": 1}, 1000, Verdict.OK),
        ({"not_json": 10}, 1000, Verdict.WARNING),
        ({"not_json": 99}, 99, Verdict.WARNING),
        ({"not_json": 60, "bad_time": 40}, 1000, Verdict.WRONG),
        ({"not_json": 1}, None, Verdict.WARNING),
        ({"not_json": 100}, 5, Verdict.WRONG),
    ],
)
def test_dead_letters_are_judged_by_their_share(reasons: dict[str, int], records: int | None, verdict: Verdict) -> None:
    assert judge_dead_letters(reasons, records).verdict is verdict


async def test_whatever_becomes_of_a_check_the_others_are_told() -> None:
    async def away() -> Finding:
        raise BrokerUnavailable("Kafka is away\nfor a while")

    async def to_be_mended() -> Finding:
        raise OperatorError("restore the file")

    async def defect() -> Finding:
        raise ZeroDivisionError("division by zero")

    results = await examine(
        [
            Check("vital", away, "is it running?"),
            Check("not vital", away),
            Check("to be mended", to_be_mended),
            Check("defect", defect),
            Check("fine", fine),
        ]
    )
    assert results == [
        Result("vital", wrong("Kafka is away", "is it running?")),
        Result("not vital", unknown("cannot be asked: Kafka is away")),
        Result("to be mended", wrong("restore the file", "")),
        Result("defect", unknown("a defect of goalstream: ZeroDivisionError: division by zero")),
        Result("fine", ok("fine")),
    ]


async def test_a_check_that_hangs_is_given_up_and_the_others_are_told_in_time() -> None:
    released = asyncio.Event()

    async def hang() -> Finding:
        try:
            return await asyncio.Future[Finding]()
        except asyncio.CancelledError:
            await released.wait()
            raise

    results = await examine([Check("vital", hang, "?"), Check("hangs", hang), Check("fine", fine)], check_seconds=0.05)
    released.set()
    assert results == [
        Result("vital", wrong("no answer within 0.05 s", "?")),
        Result("hangs", unknown("no answer within 0.05 s")),
        Result("fine", ok("fine")),
    ]


def test_what_could_not_be_asked_makes_nothing_worse() -> None:
    fine, odd = Result("a", ok("")), Result("b", unknown(""))
    assert worst([fine, odd]) is Verdict.OK
    assert worst([fine, odd, Result("c", warning("", ""))]) is Verdict.WARNING
    assert worst([Result("d", wrong("", "")), Result("c", warning("", ""))]) is Verdict.WRONG

"""The doctor: everything that can be wrong around goalstream, looked at together, each in a sentence with what to do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from importlib import metadata
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from goalstream.api.jwks_checkup import check_jwks
from goalstream.config import Settings
from goalstream.domain.webhooks import WEBHOOK_TOPICS
from goalstream.errors import GoalstreamError, SettingsError, Unavailable
from goalstream.observability.findings import Finding, Verdict, ok, unknown, warning, wrong
from goalstream.storage.checkup import DatabaseCheckup, judge_webhooks
from goalstream.streams.checkup import KafkaCheckup
from goalstream.streams.connection import Kafka
from goalstream.streams.group_checkup import DeadLetterCheckup, GroupCheckup
from goalstream.streams.topics import READ_TOPICS

CHECK_SECONDS = 20.0
"""For each check; all run side by side."""

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")

Clock = Callable[[], datetime]


class Check(NamedTuple):
    """A name, and what looks; where it is `vital`, a service that is away is what is wrong."""

    name: str
    look: Callable[[], Awaitable[Finding]]
    vital: str = ""
    """What to do when the service is away."""


class Result(NamedTuple):
    """What a check came to."""

    check: str
    finding: Finding


def checks(settings: Settings, now: Clock) -> list[Check]:
    """All checks, in the order in which they are shown."""
    url, prefix = settings.database_url.get_secret_value(), settings.kafka_topic_prefix
    keys = None if settings.encryption_keys is None else settings.encryption_keys.get_secret_value()
    database = DatabaseCheckup(url, is_local=_is_local(url))
    way = Kafka.of(settings)
    kafka = KafkaCheckup(way, topic_prefix=prefix)
    group = GroupCheckup(way, group_id=settings.kafka_group_id, topics=[prefix + topic for topic in READ_TOPICS])
    letters = DeadLetterCheckup(way, topic_prefix=prefix)
    deliverers = GroupCheckup(
        way,
        group_id=settings.deliverers_group_id,
        topics=[prefix + topic for topic in WEBHOOK_TOPICS],
        process="deliverer",
    )

    async def judged_settings() -> Finding:
        return judge_settings(settings)

    async def webhooks() -> Finding:
        found = await database.webhooks()
        if found is None:
            return unknown("there are no tables for them yet", "run `goalstream migrate`")
        return judge_webhooks(found, await deliverers.group()) if found.total else ok("there are none to send to")

    return [
        Check("settings", judged_settings),
        Check("versions", _versions),
        Check("database", database.reach, "is PostgreSQL running, and GOALSTREAM_DATABASE_URL right?"),
        Check("migrations", database.migrations),
        Check("row security", database.row_security),
        Check(
            "kafka",
            kafka.reach,
            "is Kafka running, and are GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS and …_SECURITY_PROTOCOL right?",
        ),
        Check("topics", kafka.topics),
        Check("group", group.group),
        Check("database clock", lambda: database.clock(now)),
        Check("kafka clock", lambda: kafka.clock(now)),
        Check("outbox", database.outbox),
        Check("dead letters", lambda: letters.dead_letters(now)),
        Check("webhooks", webhooks),
        Check("secrets", partial(database.secrets, keys)),
        *([] if settings.jwks_url is None else [Check("token keys", partial(check_jwks, settings.jwks_url))]),
    ]


async def examine(checks: Sequence[Check], *, check_seconds: float = CHECK_SECONDS) -> list[Result]:
    """Runs all checks side by side, each within its deadline, whatever becomes of the others."""
    looking = {asyncio.create_task(_look(check)): check for check in checks}
    await asyncio.wait(looking, timeout=check_seconds)
    results = []
    for task, check in looking.items():
        if task.done():
            results.append(Result(check.name, task.result()))
        else:
            task.cancel()
            too_slow = f"no answer within {check_seconds:g} s"
            results.append(Result(check.name, wrong(too_slow, check.vital) if check.vital else unknown(too_slow)))
    return results


async def examine_without_settings(error: SettingsError) -> list[Result]:
    """What can be said where the settings are wrong."""
    problems = wrong("; ".join(error.problems), "mend them, and look again at everything else")
    return [Result("settings", problems), Result("versions", await _versions())]


def worst(results: Sequence[Result]) -> Verdict:
    """What they come to together; what could not be asked does not count."""
    found = {result.finding.verdict for result in results}
    return next((verdict for verdict in (Verdict.WRONG, Verdict.WARNING) if verdict in found), Verdict.OK)


def judge_settings(settings: Settings) -> Finding:
    """The settings: what is fine on a developer's machine and unsafe in production."""
    url, chosen = settings.database_url.get_secret_value(), settings.model_fields_set
    sslmode = dict(parse_qsl(url.partition("?")[2])).get("sslmode", "")
    problems = [
        text
        for is_so, text in (
            (
                settings.jwt_secret is None and settings.jwks_url is None,
                "GOALSTREAM_JWT_SECRET is not set, nor is GOALSTREAM_JWKS_URL: the API does not start",
            ),
            (
                _is_plain_http(settings.jwks_url),
                "GOALSTREAM_JWKS_URL is http://: whoever comes between gives out keys of their own",
            ),
            ("kafka_bootstrap_servers" not in chosen, "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS is the default"),
            ("database_url" not in chosen, "GOALSTREAM_DATABASE_URL is the default, without password"),
            (
                not sslmode.startswith("verify-") and not _is_local(url),
                "GOALSTREAM_DATABASE_URL does not insist on TLS with a verified certificate (sslmode=verify-full)",
            ),
            (
                settings.kafka_security_protocol.endswith("PLAINTEXT") and not _are_local(settings),
                f"GOALSTREAM_KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}: whoever comes between reads along",
            ),
            (settings.topic_replication_factor == 1, "GOALSTREAM_TOPIC_REPLICATION_FACTOR=1: a lost disk loses events"),
            (settings.metrics_port == 0, "GOALSTREAM_METRICS_PORT=0: nobody can see whether a worker is well"),
            (
                not (settings.dead_letter_max_in_a_row and settings.dead_letter_max_share),
                "a limit of dead letters is 0: a worker goes on when the contract has changed",
            ),
        )
        if is_so
    ]
    if problems:
        return warning("; ".join(problems), "`goalstream config` shows what is in force, and where it comes from")
    return ok(f"{len(chosen)} settings are chosen, the others are safe defaults")


def _is_local(database_url: str) -> bool:
    """Whether a socket of this machine or its loopback is what the URL names."""
    return database_url.partition("://")[2].rpartition("@")[2].startswith(("/", *LOCAL_HOSTS))


def _are_local(settings: Settings) -> bool:
    servers = settings.kafka_bootstrap_servers.split(",")
    return all(server.strip().rpartition(":")[0] in LOCAL_HOSTS for server in servers)


def _is_plain_http(url: str | None) -> bool:
    parts = urlsplit(url or "")
    return parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1")


async def _look(check: Check) -> Finding:
    try:
        return await check.look()
    except Unavailable as error:
        sentence = error.sentence.split("\n", 1)[0]
        return wrong(sentence, error.advice or check.vital) if check.vital else unknown(f"cannot be asked: {sentence}")
    except GoalstreamError as error:
        return wrong(_line(error), "")
    except Exception as error:  # noqa: BLE001 - a defect of one check: the others still tell what they found
        return unknown(f"a defect of goalstream: {type(error).__name__}: {_line(error)}")


async def _versions() -> Finding:
    """Python, goalstream, and the libraries that it works with in one version only."""
    pins = [entry.split("==") for entry in metadata.requires("goalstream") or () if "==" in entry and ";" not in entry]
    return judge_versions({name: (wanted, metadata.version(name)) for name, wanted in pins})


def judge_versions(pinned: dict[str, tuple[str, str]]) -> Finding:
    """Libraries with the version that goalstream is proved with, and the one that is installed."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    sentence = f"goalstream {metadata.version('goalstream')}, Python {python}"
    others = [f"{name} {found}, not {wanted}" for name, (wanted, found) in pinned.items() if found != wanted]
    if others:
        return wrong(
            f"{sentence}, {', '.join(others)}", "install goalstream as it is locked: neighbours break rebalances"
        )
    return ok(", ".join([sentence, *(f"{name} {found}" for name, (_, found) in pinned.items())]))


def _line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]

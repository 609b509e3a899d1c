"""Commands as an operator meets them: what they print, and with which exit code they end. Never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goalstream.api.tokens import Key, Rules, verify_token
from goalstream.config import Settings
from goalstream.streams.topics import ALL_TOPICS
from tests.acceptance.command import run
from tests.acceptance.crm import Crm, envelope, environment
from tests.integration.builders import new_id

pytestmark = pytest.mark.timeout(120)


def test_wrong_settings_are_told_all_together_with_exit_code_2() -> None:
    found = run(
        "worker",
        GOALSTREAM_DATABASE_URL="mysql://x",
        GOALSTREAM_JWT_SECRET="short",
        GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS="nope",
    )
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "goalstream: GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS: must be host:port,host:port,… but has 'nope'",
        "goalstream: GOALSTREAM_DATABASE_URL: must begin with postgresql://",
        "goalstream: GOALSTREAM_JWT_SECRET: must have at least 32 bytes",
    ]


def test_an_unknown_command_is_wrong_usage() -> None:
    assert run("fly").returncode == 2


def test_config_tells_where_each_setting_comes_from_and_hides_secrets() -> None:
    secrets = {"GOALSTREAM_JWT_SECRET": "s" * 40, "GOALSTREAM_ENCRYPTION_KEYS": f"{'k' * 43}=,{'l' * 43}="}
    found = run("config", GOALSTREAM_DATABASE_URL="postgresql://me:hidden@db/x", **secrets)
    assert found.returncode == 0
    lines = dict(line.split("=", 1) for line in found.stdout.splitlines())
    assert all(lines[name].startswith("***  # environment") for name in secrets)
    assert lines["GOALSTREAM_DATABASE_URL"].startswith("postgresql://me:***@db/x  # environment")
    assert lines["GOALSTREAM_HTTP_PORT"].startswith("8646  # default")
    assert len(lines) == len(Settings.model_fields)


def test_a_token_proves_what_was_asked_for() -> None:
    account, secret = new_id(), "s" * 40
    found = run("token", "--account", account.upper(), "--scope", "goals:read", GOALSTREAM_JWT_SECRET=secret)
    principal = verify_token(found.stdout.strip(), Key("HS256", secret), Rules())
    assert (principal.account_id, principal.scopes) == (account, frozenset({"goals:read"}))
    assert run("token", "--account", "nobody", GOALSTREAM_JWT_SECRET=secret).returncode == 2
    assert "GOALSTREAM_JWT_SECRET" in run("token", "--account", account).stderr


def test_a_database_is_checked_migrated_and_then_up_to_date(empty_database_url: str) -> None:
    url = {"GOALSTREAM_DATABASE_URL": empty_database_url}
    before = run("migrate", "--check", **url)
    assert (before.returncode, before.stdout.splitlines()[0]) == (1, "pending  0001_goals")
    assert run("migrate", **url).stdout.splitlines()[0] == "applied  0001_goals"
    assert run("migrate", "--check", **url).stdout == run("migrate", **url).stdout == "up to date\n"


@pytest.mark.real_kafka
def test_topics_are_created_once_and_differences_told(settings: Settings) -> None:
    variables = environment(settings) | {"GOALSTREAM_KAFKA_TOPIC_PREFIX": f"{settings.kafka_topic_prefix}new."}
    created = run("topics", **variables).stdout.splitlines()
    assert len(created) == len(ALL_TOPICS)
    assert all(line.startswith("created") for line in created)
    assert all(line.startswith("exists") for line in run("topics", **variables).stdout.splitlines())
    other = run("topics", **(variables | {"GOALSTREAM_TOPIC_PARTITIONS": "7"})).stdout.splitlines()
    assert all(line.startswith("differs") and "has 4 partitions, not 7" in line for line in other)


async def test_send_sends_the_good_lines_and_names_the_bad_ones(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    good = envelope("form.submitted", new_id(), {"contact_id": new_id(), "form_id": "f"})
    file.write_text(f"{json.dumps(good)}\n\nnot json\n" + '{"event_type": "unknown"}\n[]\n')
    found = run("send", str(file), "-", stdin=json.dumps(good), **environment(settings))
    assert (found.returncode, found.stdout) == (1, "2 sent, 3 bad\n")
    problems = found.stderr.splitlines()
    assert [line.split(": ")[0] for line in problems] == [f"{file}:3", f"{file}:4", f"{file}:5"]
    async with Crm(settings) as crm:
        assert len(await crm.read("form.submitted", 2)) == 2


def test_send_says_which_file_it_cannot_read(settings: Settings) -> None:
    found = run("send", "/nowhere/events.jsonl", **environment(settings))
    assert (found.returncode, found.stderr) == (1, "goalstream: /nowhere/events.jsonl: No such file or directory\n")

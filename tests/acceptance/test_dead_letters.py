"""Dead letters from outside: a person finds them, mends the cause, sends them again, and sees what became of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from goalstream.config import Settings
from goalstream.domain.goals import TagCriteria
from goalstream.storage.pool import Database
from goalstream.streams.redrive import PORTION
from tests.acceptance.command import run
from tests.acceptance.crm import Crm, envelope, environment, eventually, running_worker
from tests.acceptance.test_worker import enroll
from tests.integration.builders import World, new_id
from tests.integration.test_redrive import Stage

pytestmark = pytest.mark.timeout(120)

TAG = "contact.tag.added"


def stage_of(settings: Settings) -> Stage:
    return Stage(settings.kafka_bootstrap_servers, settings.kafka_topic_prefix)


def dead_letters(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("dead-letters", *arguments, **environment(settings))


def start(settings: Settings, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "goalstream", "dead-letters", *arguments]
    silent = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment(settings), stdin=stdin, stdout=silent, stderr=silent)


def listed(settings: Settings, *arguments: str) -> list[dict[str, Any]]:
    found = dead_letters(settings, "list", "--json", *arguments)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


async def test_what_the_database_refused_is_redriven_after_a_repair_and_achieves_its_goal(
    settings: Settings, database: Database
) -> None:
    world = World(database)
    await world.add_goal(TagCriteria(tag_id="t"))
    event = envelope(TAG, world.account_id, {"contact_id": world.contact_id, "tag_id": "t"})
    occurred_ms = int(time.time() * 1000) - 60_000
    async with database.transaction() as connection:
        await connection.execute("alter table matches add constraint planted check (event_id = 'none')")
    async with Crm(settings) as crm, running_worker(settings):
        await enroll(crm, world)
        headers = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
        key = world.contact_id.encode()
        await crm.send(TAG, event, key=key, headers=headers, timestamp_ms=occurred_ms)
        await crm.read("goalstream.dead-letter", 1)
        (letter,) = listed(settings)
        assert (letter["reason"], letter["state"], letter["attempts"]) == ("refused_by_database", "open", 1)
        assert "DETAIL" not in letter["error"]
        async with database.transaction() as connection:
            await connection.execute("alter table matches drop constraint planted")
        found = dead_letters(settings, "redrive", letter["id"])
        assert (found.returncode, found.stdout) == (0, "1 redriven, 0 refused\n"), found.stderr
        (achieved,) = await crm.read("workflow.goal.achieved", 1)
        original, again = await crm.read(TAG, 2)
    assert json.loads(achieved.value)["trigger_event"]["event_id"] == event["event_id"]
    assert (again.key, again.value) == (original.key, original.value)
    assert again.timestamp == original.timestamp == occurred_ms
    assert list(again.headers) == [*original.headers, ("goalstream_attempts", b"2")]
    assert dead_letters(settings, "redrive", "--all").stdout == "0 redriven, 0 refused\n"
    assert dead_letters(settings, "redrive", letter["id"]).stdout == "0 redriven, 0 refused\n"
    assert listed(settings) == []
    (done,) = listed(settings, "--include-done")
    assert (done["state"], done["state_since"] > done["time"]) == ("redriven", True)


async def test_a_record_that_is_bad_for_ever_comes_back_as_a_dead_letter_with_another_attempt(
    settings: Settings,
) -> None:
    async with Crm(settings) as crm, running_worker(settings):
        await crm.send(TAG, b"{nonsense", key=b"k")
        await crm.read("goalstream.dead-letter", 1)
        for attempts in (2, 3):
            assert dead_letters(settings, "redrive", "--all", "--yes").stdout == "1 redriven, 0 refused\n"
            (letter,) = await eventually(lambda: asyncio.to_thread(listed, settings))
            assert (letter["attempts"], letter["reason"]) == (attempts, "not_json")
    assert [letter["state"] for letter in listed(settings, "--include-done")] == ["redriven", "redriven", "open"]


async def test_a_list_is_filtered_and_tells_how_many_there_are_of_each_reason(settings: Settings) -> None:
    account, contact = new_id(), new_id()
    async with Crm(settings) as crm, running_worker(settings):
        await crm.send(TAG, envelope(TAG, account, {"contact_id": contact}, timestamp="noon"), key=contact.encode())
        await crm.send(TAG, b"[]", key=b"\x1b[2J\xff", partition=1)
        await crm.send("form.submitted", b"{", partition=2)
        await crm.read("goalstream.dead-letter", 3)
    found = dead_letters(settings, "list")
    assert found.returncode == 0
    assert found.stderr.splitlines() == ["3 dead letters: 2 not_json, 1 bad_time"]
    assert len(found.stdout.splitlines()) == 4
    assert contact in found.stdout
    assert "\x1b" not in found.stdout
    assert {letter["reason"] for letter in listed(settings, "--topic", TAG)} == {"bad_time", "not_json"}
    (bad_time,) = listed(settings, "--reason", "bad_time", "--since", "1h")
    assert bad_time["topic"] == settings.kafka_topic_prefix + TAG
    assert listed(settings, "--until", "1h") == listed(settings, "--since", "2100-01-01T00:00:00Z") == []
    newest = listed(settings)[-1]
    assert listed(settings, "--limit", "1") == [newest]
    notes = dead_letters(settings, "list", "--limit", "1").stderr
    assert notes == "3 dead letters: 2 not_json, 1 bad_time; the newest 1 are shown\n"


async def test_one_letter_is_shown_in_full(settings: Settings) -> None:
    stage = stage_of(settings)
    await stage.set_aside(stage.record(7, value=b'{"contact":{"name":"Ada"}}', key=b"k", headers=[("h", b"1")]))
    (letter,) = listed(settings)
    assert "Ada" not in dead_letters(settings, "list").stdout
    lines = dead_letters(settings, "show", letter["id"]).stdout.splitlines()
    assert {"h: 1", '    "name": "Ada"', "attempts  1", "state     open"} < set(lines)
    document = json.loads(dead_letters(settings, "show", letter["id"], "--json").stdout)
    assert document["headers"][0] == ["h", "1"]
    assert json.loads(document["value"]) == {"contact": {"name": "Ada"}}


async def test_what_is_dropped_is_not_redriven_unless_asked_for(settings: Settings) -> None:
    stage = stage_of(settings)
    await stage.set_aside(stage.record(1), stage.record(2))
    assert dead_letters(settings, "drop", "--all", "--limit", "1").stdout == "1 dropped\n"
    would = dead_letters(settings, "redrive", "--all", "--dry-run")
    assert would.stdout.splitlines()[-1] == "1 would be redriven, 0 refused"
    assert would.stderr.splitlines()[0] == "1 redriven or dropped already"
    assert await stage.sent() == []
    assert dead_letters(settings, "redrive", "--all").stdout == "1 redriven, 0 refused\n"
    dropped = listed(settings, "--include-done")[0]
    assert dropped["state"] == "dropped"
    assert dead_letters(settings, "redrive", dropped["id"], "--include-done").stdout == "1 redriven, 0 refused\n"
    assert len(await stage.sent()) == 2


async def test_a_record_from_elsewhere_is_refused_and_the_others_are_sent(settings: Settings) -> None:
    stage = stage_of(settings)
    await stage.set_aside(stage.record(1, topic="billing.orders"), stage.record(2))
    found = dead_letters(settings, "redrive", "--all")
    assert (found.returncode, found.stdout) == (1, "1 redriven, 1 refused\n")
    assert found.stderr.splitlines()[-1].endswith("billing.orders is not a topic that goalstream reads")


@pytest.mark.parametrize(("answer", "state"), [(b"n\n", "open"), (b"y\n", "dropped")])
async def test_a_person_at_a_terminal_is_asked_first(settings: Settings, answer: bytes, state: str) -> None:
    stage = stage_of(settings)
    await stage.set_aside(stage.record(1))
    person, terminal = os.openpty()
    process = start(settings, "drop", "--all", stdin=terminal)
    os.write(person, answer)
    code = await asyncio.to_thread(process.wait, 30)
    os.close(person)
    os.close(terminal)
    (letter,) = listed(settings, "--include-done")
    assert (code, letter["state"]) == (0 if state == "dropped" else 1, state)


@pytest.mark.real_kafka
async def test_a_redrive_that_is_killed_goes_on_where_it_was(settings: Settings) -> None:
    stage = stage_of(settings)
    count = 20 * PORTION
    for begin in range(0, count, 1_000):
        await stage.set_aside(*(stage.record(begin + number, key=b"k") for number in range(1_000)))
    process = start(settings, "redrive", "--all")
    await stage.begin_of_sending(PORTION)
    process.send_signal(signal.SIGKILL)
    assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
    before = Counter(record.timestamp for record in await stage.sent())
    assert PORTION <= len(before) < count
    assert dead_letters(settings, "redrive", "--all").returncode == 0
    sent = Counter(record.timestamp for record in await stage.sent())
    assert len(sent) == count
    assert sum(sent.values()) <= count + PORTION
    assert listed(settings) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["redrive"], "goalstream: say which dead letters: ids, --reason, --topic, --since, --until, or --all"),
        (["drop"], "goalstream: say which dead letters: ids, --reason, --topic, --since, --until, or --all"),
        (["show", "17"], "goalstream: '17' is no id of a dead letter: partition:offset, as `list` shows it"),
        (
            ["list", "--since", "yesterday"],
            "goalstream: --since: 'yesterday' is neither a time in RFC 3339 nor how long ago, such as 2h or 7d",
        ),
    ],
)
def test_wrong_usage_is_told_in_one_line_with_exit_code_2(arguments: list[str], line: str) -> None:
    found = run("dead-letters", *arguments, GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (found.returncode, found.stderr.splitlines()) == (2, [line])


def test_an_id_that_is_not_there_is_told_before_anything_is_done(settings: Settings) -> None:
    for command in ("show", "redrive", "drop"):
        found = dead_letters(settings, command, "0:99")
        assert found.returncode == 1
        assert found.stderr == "goalstream: there is no dead letter 0:99: look with `goalstream dead-letters list`\n"


def test_kafka_being_away_is_told_in_one_line_within_30_seconds() -> None:
    begin = time.monotonic()
    found = run("dead-letters", "list", GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert time.monotonic() - begin < 40
    assert found.returncode == 1
    assert found.stderr.startswith("goalstream: Kafka at 127.0.0.1:1 does not answer: ")
    assert len(found.stderr.splitlines()) == 1

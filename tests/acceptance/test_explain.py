"""`goalstream explain` as a person types it: over HTTP, and with a Kafka that still has the events."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import datetime, timedelta
from typing import Any

import pytest

from goalstream.cli import explain as command
from goalstream.config import Settings
from goalstream.domain.goals import TagCriteria
from goalstream.domain.times import parse_time
from goalstream.errors import SettingsError
from goalstream.storage.pool import Database
from tests.acceptance.command import run
from tests.acceptance.crm import Crm, envelope, environment
from tests.integration.builders import World, new_id
from tests.integration.serving import ACCOUNT, bearer

pytestmark = pytest.mark.timeout(120)

TAG = "contact.tag.added"


@pytest.fixture
async def world(database: Database) -> World:
    """A contact that achieved a goal, and did so again."""
    world = World(database, account_id=ACCOUNT)
    goal = await world.add_goal(TagCriteria(tag_name="Purchased"))
    await world.tell(
        world.start(),
        world.match(goal, event_id="first"),
        world.match(goal, event_id="\x1b[31msecond", occurred_at=world.now - timedelta(minutes=30)),
        world.match(goal, event_id="before", occurred_at=world.now - timedelta(days=2, hours=1)),
    )
    return world


async def explain(url: str, world: World, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    token = bearer()["authorization"].removeprefix("Bearer ")
    variables |= {"GOALSTREAM_API_URL": url, "GOALSTREAM_API_TOKEN": token}
    ids = ("--contact", world.contact_id.upper(), "--goal", world.goals[0].goal_id)
    return await asyncio.to_thread(run, "explain", *ids, *arguments, **variables)


async def test_every_verdict_is_a_row_with_its_reason_the_newest_first(api_url: str, world: World) -> None:
    found = await explain(api_url, world)
    assert (found.returncode, found.stderr) == (
        0,
        "3 verdicts: 1 already_achieved, 1 achieved, 1 before_enrollment\n",
    )
    heading, *rows = found.stdout.splitlines()
    assert heading.split() == ["WHEN", "EVENT", "ENROLLMENT", "VERDICT", "WHY"]
    cells = [row.split(maxsplit=4) for row in rows]
    assert [cell[1] for cell in cells] == ["\\x1b[31msecond", "first", "before"]
    assert [cell[3] for cell in cells] == ["already_achieved", "achieved", "before_enrollment"]
    assert {cell[2] for cell in cells} == {world.enrollment_id}
    assert "before the contact entered the workflow at" in cells[2][4]

    newest = await explain(api_url, world, "--limit", "1", "--json")
    document = json.loads(newest.stdout)
    assert [one["verdict"] for one in document["verdicts"]] == ["already_achieved"]
    assert document["contact_id"] == world.contact_id
    assert newest.stderr == "1 verdict: 1 already_achieved; there are older ones (--limit)\n"


async def test_a_goal_that_is_not_there_is_told_in_one_line(api_url: str, world: World) -> None:
    found = await explain(api_url, world, "--goal", new_id())
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("goalstream: There is no goal")
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ({"contact": "her", "goal": "this"}, ["--contact: her is no UUID", "--goal: this is no UUID"]),
        ({"since": "8d"}, ["--since: 8d is more than 7 days ago"]),
        (
            {"since": "soon", "until": "soon"},
            [
                "--since: must be a time in RFC 3339 or how long ago, such as 2h or 7d",
                "--until: must be a time in RFC 3339 or how long ago, such as 2h or 7d",
            ],
        ),
        ({"since": "1h", "until": "2h"}, ["--since: must be before --until"]),
    ],
)
def test_wrong_usage_is_told_all_at_once(arguments: dict[str, Any], problems: list[str]) -> None:
    usage: dict[str, Any] = {"contact": new_id(), "goal": new_id(), "scan": True}
    with pytest.raises(SettingsError) as told:
        command.explain(**(usage | arguments))
    assert list(told.value.problems) == problems


async def test_kafka_is_asked_for_what_did_not_fulfil_the_criteria(
    api_url: str, world: World, settings: Settings
) -> None:
    old, stranger = new_id(), new_id()
    await world.tell(world.merge(old, world.contact_id))
    now = datetime.now(world.now.tzinfo)

    def tagged(contact_id: str, name: str, minutes: float, **changes: Any) -> dict[str, Any]:
        changes = {"event_id": name, "timestamp": (now - timedelta(minutes=minutes)).isoformat()} | changes
        return envelope(TAG, ACCOUNT, {"contact_id": contact_id, "tag_name": name}, **changes)

    async with Crm(settings) as crm:
        for number, value in enumerate(
            [
                tagged(world.contact_id.upper(), "Newsletter", 5),
                tagged(old, "Lead", 10),
                tagged(world.contact_id, "Purchased", 1, event_id="unread"),
                tagged(world.contact_id, "Purchased", 1, event_id="first", timestamp=(first := _first(world))),
                tagged(stranger, "Stranger", 5),
                tagged(world.contact_id, "Elsewhere", 5) | {"account_id": new_id()},
                tagged(world.contact_id, "Broken", 5, timestamp="yesterday"),
                json.dumps(tagged(old, "Escaped", 15)).replace(old[:1], f"\\u{ord(old[0]):04x}", 1).encode(),
            ]
        ):
            await crm.send(TAG, value, partition=number % 3)
        late = int((now - timedelta(hours=2)).timestamp() * 1000)
        await crm.send(TAG, tagged(world.contact_id, "Older", 121), timestamp_ms=late, partition=0)
        for _ in range(3):
            await crm.send(TAG, tagged(stranger, "Last", 0), partition=0)
    variables = {name: value for name, value in environment(settings).items() if name.startswith("GOALSTREAM_KAFKA")}
    found = await explain(api_url, world, "--scan", "--since", "1h", "--json", **variables)
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    scanned = {one["event"]["event_id"]: one for one in document["verdicts"] if one["enrollment_id"] is None}
    assert {name: (one["verdict"], one["wanted"], one["got"]) for name, one in scanned.items()} == {
        "Newsletter": ("wrong_criteria", {"tag_name": "Purchased"}, {"tag_name": "Newsletter"}),
        "Lead": ("wrong_criteria", {"tag_name": "Purchased"}, {"tag_name": "Lead"}),
        "Escaped": ("wrong_criteria", {"tag_name": "Purchased"}, {"tag_name": "Escaped"}),
        "unread": ("not_recorded", None, None),
    }
    assert scanned["Lead"]["text"] == 'The event has tag_name "Lead", and the goal asks for tag_name "Purchased".'
    assert scanned["Lead"]["criteria"] == {"tag_name": "Purchased"}
    assert [
        one["event"]["event_id"]
        for one in document["verdicts"]
        if parse_time(first) == parse_time(one["event"]["occurred_at"])
    ] == ["first"]
    moments = [one["event"]["occurred_at"][:19] for one in document["verdicts"]]
    assert moments == sorted(moments, reverse=True)
    assert document["scanned"]["unreadable"] == {"bad_time": 1}
    assert document["scanned"]["left_out"] == 0

    bounded = await explain(api_url, world, "--scan", "--max-records", "3", **variables)
    assert bounded.returncode == 0, bounded.stderr
    assert "stopped at --max-records: the oldest" in bounded.stderr
    lost = await explain(api_url, world, "--scan", **(variables | {"GOALSTREAM_KAFKA_TOPIC_PREFIX": "none."}))
    assert (lost.returncode, lost.stderr) == (
        1,
        "goalstream: topic none.contact.tag.added does not exist: run `goalstream topics`\n",
    )


def _first(world: World) -> str:
    return (world.now - timedelta(hours=1)).isoformat()

"""The examples of docs/http.md, executed one after the other as they stand; answers are compared with what is shown."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from goalstream.domain.goals import TagCriteria
from goalstream.domain.texts import is_uuid
from goalstream.domain.times import parse_time
from goalstream.storage.pool import Database
from tests.integration.builders import World, new_id
from tests.integration.serving import ACCOUNT, bearer, serving, settings_of, until_ready

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
MEASURED = "cccccccc-0000-4000-8000-000000000001"
_BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CRITERIA = re.compile(r"^\| `(\w+)` \| `(\{.*?\})` \|", re.MULTILINE)


def examples() -> Iterator[tuple[str, list[Any]]]:
    """Commands, each with the documents that are shown below them."""
    blocks = _BLOCK.findall(PAGE.read_text("utf-8"))
    for (kind, text), (following, shown) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "sh":
            yield text, documents(shown) if following == "json" else []


def documents(text: str) -> list[Any]:
    """JSON documents one after the other."""
    decoder, found = json.JSONDecoder(), []
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def is_like(found: Any, shown: Any) -> bool:
    """Whether an answer is what is shown; an id may be another id, and a time another time."""
    if isinstance(shown, dict):
        return (
            isinstance(found, dict) and list(found) == list(shown) and all(is_like(found[k], shown[k]) for k in shown)
        )
    if isinstance(shown, list):
        return isinstance(found, list) and len(found) == len(shown) and all(map(is_like, found, shown))
    if isinstance(shown, str) and isinstance(found, str):
        for kind in (is_uuid, parse_time):
            if kind(shown):
                return bool(kind(found))
    if isinstance(shown, float):  # jq writes 40.0 as 40
        return isinstance(found, int | float) and found == shown
    return type(found) is type(shown) and found == shown


async def measure(database: Database) -> None:
    """Five enrollments, of which two achieve a goal after two and three days."""
    world = World(database, account_id=ACCOUNT, workflow_id=MEASURED)
    goal = await world.add_goal(TagCriteria(tag_name="Purchased"))
    entered_at = world.now - timedelta(days=3, hours=2)
    people = [(new_id(), new_id()) for _ in range(5)]
    await world.tell(
        *(
            world.start(contact_id=one, enrollment_id=other, entered_at=entered_at, event_id=one)
            for one, other in people
        )
    )
    for (contact, _), hours in zip(people, (48, 72), strict=False):
        moment = entered_at + timedelta(hours=hours)
        await world.tell(world.match(goal, contact_id=contact, occurred_at=moment, record_at=moment, event_id=contact))


@pytest.mark.timeout(300)
async def test_every_example_does_what_is_shown(database_url: str, database: Database, tmp_path: Path) -> None:
    assert shutil.which("curl"), "install curl"
    assert shutil.which("jq"), "install jq"
    await measure(database)
    script = "set -euo pipefail\n"
    found: list[Any] = []
    shown: list[Any] = []
    async with serving(settings_of(database_url)) as (client, _):
        await until_ready(client, lambda answer: answer.is_success)
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "API": f"{client.base_url}/api/v1",
            "TOKEN": bearer()["authorization"].removeprefix("Bearer "),
            "WORKFLOW": WORKFLOW,
            "MEASURED": MEASURED,
        }
        for commands, below in examples():
            script += commands + "\necho\n"
            shown += below
        run = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    found = documents(run.stdout)
    for one, other in zip(found, shown, strict=False):
        assert is_like(one, other), f"{one}\nis not as\n{other}"
    assert len(found) == len(shown), run.stdout


@pytest.mark.parametrize(("goal_type", "criteria"), _CRITERIA.findall(PAGE.read_text("utf-8")))
async def test_every_line_of_criteria_makes_a_goal(database_url: str, goal_type: str, criteria: str) -> None:
    async with serving(settings_of(database_url)) as (client, _):
        await until_ready(client, lambda answer: answer.is_success)
        body = f'{{"goal_type": "{goal_type}", "criteria": {criteria}}}'
        answer: httpx.Response = await client.post(
            f"/api/v1/workflows/{new_id()}/goals", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 201, answer.text
    wanted = {name for name, value in json.loads(criteria).items() if value is not None}
    assert set(answer.json()["criteria"]) == wanted


def test_what_is_compared_could_differ() -> None:
    assert len(list(examples())) > 10
    assert is_like({"a": [1, "2026-01-01T00:00:00Z"]}, {"a": [1, "2020-01-01T00:00:00Z"]})
    assert not is_like({"a": [1]}, {"a": [1, 2]})
    assert not is_like({"a": 1, "b": 2}, {"a": 1})
    assert not is_like("x", "2020-01-01T00:00:00Z")
    assert not is_like(True, 1)

"""The examples of docs/http.md, executed one after the other as they stand; answers are compared with what is shown."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from goalstream.domain.goals import TagCriteria
from goalstream.intake import Intake
from goalstream.storage.pool import Database
from goalstream.streams.letter_desk import LetterDesk
from tests.integration.builders import World, new_id
from tests.integration.serving import ACCOUNT, bearer, serving, settings_of, until_ready
from tests.integration.test_redrive import Stage
from tests.pages import ROOT, documents, examples, is_like, run
from tests.services.tiers import RunningKafka
from tests.unit.streams.fakes import FakeProducer

PAGE = ROOT / "docs" / "http.md"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
MEASURED = "cccccccc-0000-4000-8000-000000000001"
_CRITERIA = re.compile(r"^\| `(\w+)` \| `(\{.*?\})` \|", re.MULTILINE)


async def measure(database: Database) -> None:
    """Five enrollments, of which two achieve a goal after two and three days; they had done before what it asks for, too."""
    world = World(database, account_id=ACCOUNT, workflow_id=MEASURED)
    goal = await world.add_goal(TagCriteria(tag_name="Purchased"))
    entered_at = world.now - timedelta(days=3, hours=2)
    people = [(new_id(), new_id()) for _ in range(5)]
    await world.tell(
        *(
            world.start(contact_id=one, enrollment_id=other, entered_at=entered_at, record_at=entered_at, event_id=one)
            for one, other in people
        )
    )
    for (contact, _), hours in zip(people, (48, 72), strict=False):
        for moment in (entered_at - timedelta(minutes=30), entered_at + timedelta(hours=hours)):
            await world.tell(
                world.match(
                    goal, contact_id=contact, occurred_at=moment, record_at=moment, event_id=f"{hours} {moment}"
                )
            )


@pytest.mark.timeout(300)
async def test_every_example_does_what_is_shown(
    database_url: str, database: Database, kafka: RunningKafka, topic_prefix: str, tmp_path: Path
) -> None:
    assert shutil.which("curl"), "install curl"
    assert shutil.which("jq"), "install jq"
    assert shutil.which("openssl"), "install openssl"
    await measure(database)
    stage = Stage(kafka.bootstrap_servers, topic_prefix)
    await stage.set_aside(*(stage.record(offset, key=b"k", value=b"[1]") for offset in range(2)))
    letters = LetterDesk(stage.kafka, topic_prefix=topic_prefix)
    script, shown = "", list[Any]()
    intake = Intake(FakeProducer(), topic_prefix="")
    settings = settings_of(database_url, encryption_keys=Fernet.generate_key().decode())
    async with serving(settings, intake=intake, letters=letters) as (client, _):
        await until_ready(client, lambda answer: answer.is_success)
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "API": f"{client.base_url}/api/v1",
            "TOKEN": bearer()["authorization"].removeprefix("Bearer "),
            "WEBHOOKS": bearer(scope="webhooks:read webhooks:write")["authorization"].removeprefix("Bearer "),
            "OPERATOR": bearer(scope="operator")["authorization"].removeprefix("Bearer "),
            "SUBSCRIBER": bearer(scope="webhooks:read webhooks:write")["authorization"].removeprefix("Bearer "),
            "WORKFLOW": WORKFLOW,
            "MEASURED": MEASURED,
        }
        for commands, below in examples(PAGE):
            script += commands + "\necho\n"
            shown += below
        done = await asyncio.to_thread(run, script, environment, tmp_path)
    assert done.returncode == 0, done.stderr
    found = documents(done.stdout)
    for one, other in zip(found, shown, strict=False):
        assert is_like(one, other), f"{one}\nis not as\n{other}"
    assert len(found) == len(shown), done.stdout


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
    assert len(list(examples(PAGE))) > 10
    assert is_like({"a": [1, "2026-01-01T00:00:00Z"]}, {"a": [1, "2020-01-01T00:00:00Z"]})
    assert not is_like({"a": [1]}, {"a": [1, 2]})
    assert not is_like({"a": 1, "b": 2}, {"a": 1})
    assert not is_like("x", "2020-01-01T00:00:00Z")
    assert not is_like(True, 1)

"""`goalstream goals` as a person types it, against an API on a port of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from goalstream.cli import api_client
from goalstream.cli import goals as commands
from goalstream.domain.texts import is_uuid
from goalstream.storage.pool import Database
from tests.acceptance.command import run
from tests.integration.builders import World, new_id
from tests.integration.serving import ACCOUNT, bearer

pytestmark = pytest.mark.timeout(300)

WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"


@pytest.fixture
def token() -> str:
    return bearer()["authorization"].removeprefix("Bearer ")


async def goals(url: str, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, "goals", *arguments, GOALSTREAM_API_URL=url, GOALSTREAM_API_TOKEN=token)


async def test_a_goal_is_added_shown_changed_paused_and_deleted(api_url: str, token: str) -> None:
    added = await goals(
        api_url, token, "add", WORKFLOW, "purchase_made", "min_amount=100.50", "currency=eur", "--window", "P7D"
    )
    assert added.returncode == 0, added.stderr
    fields = dict(line.split(None, 1) for line in added.stdout.splitlines())
    goal = fields["id"].strip()
    assert is_uuid(goal)
    assert (fields["type"].strip(), fields["window"].strip()) == ("purchase_made", "P7D")
    assert fields["criteria"].strip() == "min_amount=100.5 currency=EUR"
    assert added.stderr.startswith("added: version 1 holds from 2")

    listed = await goals(api_url, token, "list", WORKFLOW)
    heading, row = listed.stdout.splitlines()
    assert heading.split() == ["ID", "TYPE", "CRITERIA", "STATE", "VERSION", "WINDOW", "HOLDS", "FROM"]
    assert row.split()[:2] == [goal, "purchase_made"]
    assert listed.stderr == "1 goal\n"

    edited = await goals(api_url, token, "edit", WORKFLOW, goal, "any_purchase=true", "--no-window", "--json")
    document = json.loads(edited.stdout)
    assert (document["criteria"]["any_purchase"], document["window"], document["version"]) == (True, None, 2)
    stale = await goals(api_url, token, "pause", WORKFLOW, goal, "--if-version", "1")
    assert stale.returncode == 1
    assert "somebody changed it meanwhile" in stale.stderr
    assert len(stale.stderr.splitlines()) == 1
    paused = await goals(api_url, token, "pause", WORKFLOW, goal)
    assert paused.stderr.startswith("paused: version 3")
    assert " paused " in (await goals(api_url, token, "list", WORKFLOW)).stdout
    resumed = json.loads((await goals(api_url, token, "resume", WORKFLOW, goal, "--json")).stdout)
    assert (resumed["is_active"], resumed["version"]) == (True, 4)

    deleted = await goals(api_url, token, "delete", WORKFLOW, goal, "--if-version", "4")
    assert deleted.stdout.startswith(f"{goal} is deleted, from 2")
    missing = await goals(api_url, token, "show", WORKFLOW, goal)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("goalstream: There is no goal")
    assert (await goals(api_url, token, "list", WORKFLOW)).stderr == "0 goals\n"


async def test_every_goal_is_listed_however_many_pages_they_take(
    api_url: str, token: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("a", "b", "c"):
        await goals(api_url, token, "add", WORKFLOW, "form_submitted", f"form_id={form}")
    monkeypatch.setattr(api_client, "PAGE", 2)
    monkeypatch.setenv("GOALSTREAM_API_URL", api_url)
    monkeypatch.setenv("GOALSTREAM_API_TOKEN", token)
    await asyncio.to_thread(commands.list_goals, WORKFLOW, as_json=True)
    # The API runs in the same process, and logs.
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [json.loads(line)["criteria"]["form_id"] for line in lines] == ["a", "b", "c"]


async def test_statistics_are_told_in_a_sentence_and_tables(api_url: str, token: str, database: Database) -> None:
    world = World(database, account_id=ACCOUNT, workflow_id=WORKFLOW)
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    shown = await goals(api_url, token, "stats", WORKFLOW, "--granularity", "day", "--tz", "Europe/Berlin")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "1 of 1 enrollments achieved: 100.0 %"
    assert lines[1].startswith("hours to goal: average ")
    assert any(line.split()[:3] == [goal.goal_id, "1", "100.0"] for line in lines)
    assert any(line.startswith("ENROLLED FROM") for line in lines)
    as_json = await goals(api_url, token, "stats", WORKFLOW, "--json")
    assert json.loads(as_json.stdout)["goals_achieved"] == 1
    refused = await goals(api_url, token, "stats", WORKFLOW, "--granularity", "year")
    assert refused.returncode == 1
    assert "at /query/granularity" in refused.stderr


async def test_what_the_api_refuses_is_told_in_one_line_with_its_place(api_url: str, token: str) -> None:
    empty = await goals(api_url, token, "add", WORKFLOW, "tag_added", "tag_name=")
    assert (empty.returncode, empty.stdout) == (1, "")
    assert empty.stderr.startswith("goalstream: ")
    assert "/criteria" in empty.stderr
    stranger = await goals(api_url, "gs_nobody", "list", WORKFLOW)
    assert stranger.returncode == 1
    assert "GOALSTREAM_API_TOKEN must hold an API key" in stranger.stderr


def test_wrong_usage_is_told_all_together_with_exit_code_2() -> None:
    found = run("goals", "add", "shop", "tag_added", "Purchased", "tag_id=1", "tag_id=2")
    assert (found.returncode, found.stderr) == (2, "goalstream: WORKFLOW: shop is no UUID\n")
    found = run("goals", "add", WORKFLOW, "tag_added", "Purchased", "tag_id=1", "tag_id=2")
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "goalstream: KEY=VALUE: 'Purchased' must be like tag_name=Purchased",
        "goalstream: KEY=VALUE: tag_id is there twice",
    ]
    nothing = run("goals", "edit", WORKFLOW, new_id())
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("goalstream: nothing to change")
    both = run("goals", "edit", WORKFLOW, new_id(), "--window", "P1D", "--no-window")
    assert (both.returncode, both.stderr) == (2, "goalstream: --no-window: says the opposite of --window\n")
    without = run("goals", "list", WORKFLOW)
    assert without.returncode == 2
    assert without.stderr.startswith("goalstream: GOALSTREAM_API_TOKEN: is not set")


def test_who_answers_otherwise_is_no_goalstream() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    found = run("goals", "list", WORKFLOW, GOALSTREAM_API_URL=url, GOALSTREAM_API_TOKEN="gs_x")
    server.shutdown()
    server.server_close()
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "goalstream: the API at 127.0.0.1 answers 404, and not as goalstream does\n"

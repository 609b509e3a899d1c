"""The quick start and the README's commands, as somebody would paste them, on a real Kafka and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from goalstream.config import PREFIX, Settings
from tests.pages import PAGES, ROOT, blocks, examples, is_like, run
from tests.services.broker import free_ports

QUICK_START = ROOT / "docs" / "index.md"
README = ROOT / "README.md"
HTTP = ROOT / "docs" / "http.md"
"""Executed by `tests/integration/test_http_examples.py`."""

HOOKS = ROOT / "docs" / "hooks.md"
"""Executed by `tests/acceptance/test_hooks.py`."""

SEEN_ELSEWHERE = {
    "goalstream dev": "tests/acceptance/test_dev.py",
    "poe test": "what runs this",
    "docker compose up --wait kafka postgres": "tests/unit/test_deployment_files.py",
}
"""What is not executed here, by how it ends."""


def is_seen_elsewhere(commands: str) -> bool:
    return commands.rstrip().endswith(tuple(SEEN_ELSEWHERE))


@pytest.fixture
def environment(kafka_servers: str, empty_database_url: str) -> dict[str, str]:
    """As on a machine of somebody's own, but that ports are free ones, and topics nobody else's."""
    for program in ("curl", "jq"):
        assert shutil.which(program), f"install {program}"
    port, _ = free_ports(2)
    prefix = f"t{secrets.token_hex(4)}."
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS": kafka_servers,
        "GOALSTREAM_DATABASE_URL": empty_database_url,
        "GOALSTREAM_JWT_SECRET": secrets.token_hex(16),
        "GOALSTREAM_KAFKA_TOPIC_PREFIX": prefix,
        "GOALSTREAM_KAFKA_GROUP_ID": f"{prefix}group",
        "GOALSTREAM_HTTP_PORT": str(port),
        "GOALSTREAM_API_URL": f"http://127.0.0.1:{port}",
        "GOALSTREAM_METRICS_PORT": "0",
        "NO_COLOR": "1",
    }


def without_what_is_set(script: str, environment: dict[str, str]) -> str:
    """Leaves out the lines that set what the environment has; there must be some."""
    lines = script.splitlines(keepends=True)
    kept = [line for line in lines if not (line.startswith("export ") and line[7:].partition("=")[0] in environment)]
    assert len(lines) - len(kept) == 3, script
    return "".join(kept)


def shown_by(output: str) -> list[Any]:
    """The JSON documents that commands print; what else they say begins no line with a brace."""
    decoder, found = json.JSONDecoder(), list[Any]()
    while output:
        if output.startswith("{"):
            document, end = decoder.raw_decode(output)
            found.append(document)
            output = output[end:].lstrip()
        else:
            _, _, output = output.partition("\n")
    return found


@pytest.mark.real_kafka
@pytest.mark.timeout(180)
async def test_the_quick_start_leads_to_the_first_goal(environment: dict[str, str], tmp_path: Path) -> None:
    executed = [(commands, below) for commands, below in examples(QUICK_START) if not is_seen_elsewhere(commands)]
    script = without_what_is_set("".join(commands for commands, _ in executed), environment)
    script = script.replace(":8646", f":{environment['GOALSTREAM_HTTP_PORT']}")
    done = await asyncio.to_thread(run, script, environment, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found, shown = shown_by(done.stdout), [document for _, below in executed for document in below]
    assert len(found) == len(shown), done.stdout
    for one, other in zip(found, shown, strict=True):
        assert is_like(one, other), f"{one}\nis not as\n{other}"
    assert "Traceback" not in done.stderr


@pytest.mark.real_kafka
@pytest.mark.timeout(180)
async def test_what_the_readme_says_starts_everything(environment: dict[str, str], tmp_path: Path) -> None:
    (start,) = [commands for commands in blocks(README, "sh") if "goalstream worker" in commands]
    script = without_what_is_set(start, environment)
    script += (
        f"\ncurl -sS --retry 30 --retry-all-errors --retry-delay 1 --fail {environment['GOALSTREAM_API_URL']}/readyz\n"
    )
    done = await asyncio.to_thread(run, script, environment, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"ready"' in done.stdout


async def test_what_the_readme_says_of_contracts_is_what_they_say(environment: dict[str, str], tmp_path: Path) -> None:
    (commands,) = [text for text in blocks(README, "sh") if "schemas validate" in text]
    (said,) = [text for text in blocks(README, "") if "events.jsonl:3" in text]
    event = json.loads((ROOT / "schemas/payment.completed/examples/valid/complete.json").read_text("utf-8"))
    bad = event | {"data": event["data"] | {"amount": "1,50"}}
    lines = [json.dumps(bad if number == 3 else event) for number in range(1, 43)]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    show, validate = commands.strip().splitlines()
    done = await asyncio.to_thread(run, show, environment, tmp_path)
    assert "amount" in json.loads(done.stdout)["properties"]
    done = await asyncio.to_thread(run, validate, environment, tmp_path)
    assert done.returncode == 1
    assert (done.stderr + done.stdout).split() == said.split()


def test_no_commands_are_left_out() -> None:
    executed = {README: ("goalstream worker", "schemas validate"), QUICK_START: ("",), HTTP: ("",), HOOKS: ("",)}
    for page in PAGES:
        for commands in blocks(page, "sh"):
            if set_only := re.fullmatch(r"(?:export \w+=.*\n)+", commands):
                names = re.findall(r"^export (\w+)=", set_only[0], re.MULTILINE)
                assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.model_fields), commands
                continue
            known = executed.get(page, ())
            assert is_seen_elsewhere(commands) or any(part in commands for part in known), f"{page}: {commands}"

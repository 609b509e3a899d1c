"""Operations one after the other, by the links of the OpenAPI document, as schemathesis follows them over real connections."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from goalstream.storage.pool import Database
from tests.integration.serving import bearer, serving, settings_of, until_ready
from tests.integration.test_api_contract import CHECKS

EXAMPLES = 60
"""Scenarios, each of several requests."""

SEED = 1

SCOPE = "goals:read goals:write webhooks:read webhooks:write"


def _configuration() -> str:
    """As a file, since the command line has no place for which statuses a check expects."""
    lines = []
    for check, options in CHECKS.items():
        lines += [f"[checks.{check}]", f"expected-statuses = {options['expected-statuses']!r}"]
    return "\n".join(lines) + "\n"


@pytest.mark.timeout(300)
async def test_whatever_is_done_one_after_the_other_is_answered_as_the_document_says(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    """Goals are created, and then shown, changed, listed and deleted, and asked for when they are gone."""
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(_configuration())
    async with serving(settings_of(database_url, max_goals_per_workflow=1_000, log_level="error")) as (client, _):
        await until_ready(client, lambda answer: answer.is_success)
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run", f"{client.base_url}/openapi.json",
            "--phases", "stateful", "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--mode", "positive", "--no-color",
            "--header", f"Authorization:{bearer(scope=SCOPE)['authorization']}",
        ]  # fmt: skip
        run = await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
        )
    assert run.returncode == 0, run.stdout[-6_000:] + run.stderr[-2_000:]
    async with database.transaction() as connection:
        rows = await connection.fetch("select action, count(*) from audit group by action")
    done: Counter[str] = Counter({row["action"]: row["count"] for row in rows})
    assert min(done["goal_created"], done["goal_deleted"]) > 0, done

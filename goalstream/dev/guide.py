"""The printed lines that can be pasted: where things are, what was seen, and what to do next."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from goalstream.dev.narrator import Kind, Question
from goalstream.dev.options import GROUP_ID, DevOptions
from goalstream.dev.world import PROMO_FORM, World

EVERYDAY_TAG = "Newsletter"
"""Of the simulated events; no goal of the demo asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where this run's parts are."""

    http: str
    kafka: str
    database_url: str
    token: str

    @property
    def console(self) -> str:
        """The page with the token, which it takes out of the address at once."""
        return f"{self.http}/#token={self.token}"


def where(addresses: Addresses) -> list[str]:
    """The addresses of what can be looked at."""
    return [
        f"Console   {addresses.console}",
        f"API       {addresses.http}/docs",
        f"Metrics   {addresses.http}/metrics",
        f"psql      {addresses.database_url}",
    ]


def seen(counts: Counter[str], seconds: float) -> str:
    """What a run was, in one sentence."""
    return (
        f"In {seconds:.0f} s you saw {counts['events']:,} records, {counts[Kind.ACHIEVED]:,} achieved goals and "
        f"{counts[Kind.EXIT]:,} exits; {counts[Kind.DUPLICATE]:,} duplicates were ignored and "
        f"{counts[Kind.DEAD_LETTER]:,} bad records set aside."
    )


def try_now(world: World, addresses: Addresses, question: Question | None) -> list[str]:
    """Commands for another terminal while this one runs, ready to paste."""
    return [
        "In another terminal, once:",
        f"  {settings(addresses)}",
        *_with_this_run(world, question),
    ]


def next_steps(world: World, addresses: Addresses, question: Question | None, *, options: DevOptions) -> list[str]:
    """What to do after the end. Account, workflows and people are the same at the next start with this seed."""
    port = addresses.http.rpartition(":")[2]
    again = ["dev", "--seed", str(options.seed), "--port", port]
    again += [] if options.keep is None else ["--keep", str(options.keep)]
    again += [] if options.simulate else ["--no-sim"]
    kept = question if options.keep is not None else None
    lines = [
        "Start again with the same account, workflows and people:",
        f"  {program()} {shlex.join(again)}",
        "With the `export` line that it shows in another terminal:",
        *(f"  {line}" for line in _with_this_run(world, kept)),
    ]
    if kept is None and question is not None:
        lines += [
            "  Ask why:",
            f"    {explain(question)}",
            "    (these ids outlive a run that is started with --keep DIR)",
        ]
    return [*lines, *_further(postgres="postgresql://user:password@host/goalstream", kafka="host:9092")]


def settings(addresses: Addresses) -> str:
    """What the commands need to know of this run."""
    return (
        f"export GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS={addresses.kafka} GOALSTREAM_API_URL={addresses.http} "
        f"GOALSTREAM_API_TOKEN={addresses.token} GOALSTREAM_KAFKA_GROUP_ID={GROUP_ID} "
        f"GOALSTREAM_DATABASE_URL={shlex.quote(addresses.database_url)}"
    )


def help_lines(world: World, addresses: Addresses, question: Question | None) -> list[str]:
    """All that can be done while it runs, and after."""
    return [
        "Open the console:",
        f"  {addresses.console}",
        *try_now(world, addresses, question),
        *_further(postgres="postgresql://user:password@host/goalstream", kafka="host:9092"),
    ]


def _with_this_run(world: World, question: Question | None) -> list[str]:
    workflow_id = world.win_back.workflow_id
    lines = [
        "Send your own event:",
        f"  {send_own(world)} | {program()} send -",
        "Make a goal and watch it match:",
        f"  {program()} goals add {workflow_id} tag_added tag_name={EVERYDAY_TAG}",
        f"  {program()} goals stats {workflow_id}",
    ]
    if question is not None:
        lines += ["Ask why:", f"  {explain(question)}"]
    return lines


def _further(*, kafka: str, postgres: str) -> list[str]:
    name = program()
    return [
        "Use your own Kafka and PostgreSQL:",
        f"  export GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS={kafka} GOALSTREAM_DATABASE_URL={postgres}",
        f"  {name} migrate && {name} topics && {name} worker",
        "Or the whole stack in containers:",
        "  docker compose up",
    ]


def explain(question: Question) -> str:
    """The command that tells why somebody did or did not achieve a goal."""
    return f"{program()} explain --contact {question.contact_id} --goal {question.goal_id}"


def program() -> str:
    """How a shell finds us: by name, or by path where `uv run` alone put us on the path."""
    script = Path(sys.executable).with_name("goalstream")
    found = shutil.which("goalstream")
    if found is not None and Path(found) == script and "UV_RUN_RECURSION_DEPTH" not in os.environ:
        return "goalstream"
    return shlex.quote(str(script)) if script.exists() else f"{shlex.quote(sys.executable)} -m goalstream"


def send_own(world: World) -> str:
    """A shell command that prints two events: somebody new enters the promo, and sends its form in."""
    contact_id = str(uuid4())
    entered: Mapping[str, Any] = {
        "event_type": "workflow.enrollment.started",
        "account_id": world.account_id,
        "data": {
            "enrollment_id": str(uuid4()),
            "workflow_id": world.promo.workflow_id,
            "contact_id": contact_id,
        },
    }
    submitted: Mapping[str, Any] = {
        "event_type": "form.submitted",
        "account_id": world.account_id,
        "data": {"contact_id": contact_id, "form_id": PROMO_FORM},
    }
    return f"printf '%s\\n' '{json.dumps(entered)}' '{json.dumps(submitted)}'"

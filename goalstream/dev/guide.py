"""The printed lines that can be pasted: where things are, what to try now, and what to do next."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from goalstream.dev.narrator import Kind
from goalstream.dev.world import PROMO_FORM, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where this run's parts are."""

    http: str
    kafka: str
    database_url: str
    token: str


def where(addresses: Addresses) -> list[str]:
    """The addresses of what can be looked at."""
    return [
        f"API       {addresses.http}/docs",
        f"Metrics   {addresses.http}/metrics",
        f"psql      {addresses.database_url}",
    ]


def try_now(world: World, addresses: Addresses) -> list[str]:
    """Commands for another terminal, ready to paste."""
    promo, win_back = world.promo.workflow_id, world.win_back.workflow_id
    authorized = 'curl -s -H "Authorization: Bearer $TOKEN"'
    return [
        f"TOKEN={addresses.token}",
        f"{authorized} {addresses.http}/api/v1/workflows/{promo}/goals/stats",
        f"{authorized} -H 'Content-Type: application/json' -d '{new_goal()}' "
        f"{addresses.http}/api/v1/workflows/{win_back}/goals",
        f"{send_own(world)} | GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS={addresses.kafka} goalstream send -",
    ]


def seen(counts: Counter[str], seconds: float) -> str:
    """What a run was, in one sentence."""
    return (
        f"In {seconds:.0f} s you saw {counts['events']:,} records, {counts[Kind.ACHIEVED]:,} achieved goals and "
        f"{counts[Kind.EXIT]:,} exits; {counts[Kind.DUPLICATE]:,} duplicates were ignored and "
        f"{counts[Kind.DEAD_LETTER]:,} bad records set aside."
    )


def next_steps(world: World, addresses: Addresses, *, seed: int) -> list[str]:
    """What to do after the first look. Account, workflows and people are the same at the next start with this seed."""
    kafka, postgres = "host:9092", "postgresql://user:password@host/goalstream"
    return [
        f"Send your own event, while `goalstream dev --seed {seed}` runs in another terminal:",
        f"  {send_own(world)} | GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS={addresses.kafka.rpartition(':')[0]}:PORT goalstream send -",
        "Make a goal and watch it match (the token is printed at the start):",
        f"  curl -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{new_goal()}' "
        f"http://127.0.0.1:PORT/api/v1/workflows/{world.win_back.workflow_id}/goals",
        "Use your own Kafka and PostgreSQL:",
        f"  export GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS={kafka} GOALSTREAM_DATABASE_URL={postgres}",
        "  goalstream migrate && goalstream topics && goalstream worker",
        "Or the whole stack in containers:",
        "  docker compose up",
    ]


def new_goal() -> str:
    """A goal that the simulated everyday events fulfil."""
    return json.dumps({"goal_type": "tag_added", "criteria": {"tag_name": "Newsletter"}})


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

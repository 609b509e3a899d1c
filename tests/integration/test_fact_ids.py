"""Under which ids facts are stored: fixed values, which no change may alter, since another release repeats what this one stored."""

from __future__ import annotations

from datetime import UTC, datetime

from goalstream.storage.pool import Database
from tests.integration.builders import World

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
CONTACT = "cccccccc-0000-4000-8000-000000000001"
SURVIVOR = "cccccccc-0000-4000-8000-000000000002"
ENROLLMENT = "eeeeeeee-0000-4000-8000-000000000001"
WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"

IDS = {
    "enrollment_starts": "833e12db-a12f-2e26-b53b-3674b022ea48",
    "enrollment_ends": "5869c99d-4b6b-5af4-227b-1b9b69a63645",
    "workflow_statuses": "213a1fcc-bb8a-4662-4821-79f62f677fd9",
    "contact_merges": "f69779f1-f98a-3781-5c17-33bef4d9a4f1",
    "contact_deletions": "9f1fe62a-ae6e-0bb6-e83a-25feec6bbed2",
}


async def test_a_fact_has_one_id_for_ever(database: Database) -> None:
    world = World(
        database,
        account_id=ACCOUNT,
        workflow_id=WORKFLOW,
        contact_id=CONTACT,
        enrollment_id=ENROLLMENT,
        now=datetime(2026, 11, 23, 10, 0, 0, 123000, UTC),
    )
    await world.tell(
        world.start(trigger_event_id="event-0"),
        world.end(reason="goal_achieved"),
        world.status("active", "all"),
        world.merge(CONTACT, SURVIVOR),
        world.deletion(CONTACT),
    )
    assert {table: str((await world.rows(f"select fact_id from {table}"))[0]["fact_id"]) for table in IDS} == IDS

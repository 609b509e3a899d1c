"""References on a real PostgreSQL: of all changes the greatest holds, in whatever order and however often they arrive."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from goalstream.domain.goals import AppointmentCriteria, Criteria, FormCriteria, StageCriteria, TagCriteria
from goalstream.domain.references import KnownReferences, ReferenceChange, ReferenceKind
from goalstream.storage.pool import Database
from goalstream.storage.references import known_references
from tests.integration.builders import World, new_id

FORM = FormCriteria(form_id="form-1")


async def known(world: World, *criteria: Criteria, account_id: str | None = None) -> KnownReferences:
    async with world.database.transaction() as connection:
        return await known_references(connection, account_id or world.account_id, criteria)


async def stored(world: World) -> list[dict[str, Any]]:
    return await world.rows("select * from crm_references order by account_id, kind, reference_id")


async def stored_after(world: World, changes: Sequence[ReferenceChange]) -> list[dict[str, Any]]:
    """What is stored once these have arrived, one after the other."""
    async with world.database.transaction() as connection:
        await connection.execute("delete from crm_references")
    for change in changes:
        await world.tell(change)
    return await stored(world)


async def test_a_reference_is_known_with_everything_that_was_told(world: World) -> None:
    change = world.reference("stage", "won", name="Won", parent_id="sales")
    settled = await world.tell(change)
    assert (settled.changes, settled.messages) == ([], [])
    (row,) = await stored(world)
    assert row | {"account_id": str(row["account_id"])} == {
        "account_id": world.account_id,
        "kind": "stage",
        "reference_id": "won",
        "name": "Won",
        "parent_id": "sales",
        "is_deleted": False,
        "occurred_at": change.occurred_at,
        "source": change.source,
        "event_id": change.event_id,
        "record_at": change.record_at,
        "payload": change.payload,
    }
    found = await known(world, StageCriteria(pipeline_id="sales", stage_id="won"))
    assert found == KnownReferences(
        received=frozenset({ReferenceKind.STAGE}), parents={(ReferenceKind.STAGE, "won"): "sales"}
    )


async def test_every_order_of_arrival_leaves_the_greatest_change(world: World) -> None:
    at = world.now
    changes = [
        world.reference("form", "form-1", name="created", occurred_at=at - timedelta(hours=3), event_id="z"),
        world.reference("form", "form-1", is_deleted=True, occurred_at=at - timedelta(hours=2), event_id="y"),
        world.reference("form", "form-1", name="back", occurred_at=at - timedelta(hours=1), event_id="x"),
        world.reference("form", "form-1", name="renamed", occurred_at=at, event_id="w"),
    ]
    for order in itertools.permutations(changes):
        (row,) = await stored_after(world, order)
        assert (row["name"], row["is_deleted"], row["event_id"]) == ("renamed", False, "w")
    await stored_after(world, [])
    await world.tell(*reversed(changes), *changes)
    assert [row["name"] for row in await stored(world)] == ["renamed"]


@pytest.mark.parametrize(
    ("smaller", "greater"),
    [
        ({"event_id": "evt-Z"}, {"event_id": "evt-a"}),
        ({"event_id": "evt-10"}, {"event_id": "evt-9"}),
        ({"event_id": "evt-é"}, {"event_id": "evt-\U0001f600"}),
        ({"event_id": "evt-\uffff"}, {"event_id": "evt-\U00010000"}),
        ({"event_id": "a", "source": "z"}, {"event_id": "b", "source": "y"}),
        ({"source": "CRM"}, {"source": "crm"}),
        ({"source": "a", "payload": "z"}, {"source": "b", "payload": "y"}),
        ({"payload": '{"deleted":true}'}, {"payload": '{"id":"form-1"}'}),
    ],
)
async def test_at_the_same_time_event_id_source_and_payload_decide_by_code_point(
    world: World, smaller: dict[str, str], greater: dict[str, str]
) -> None:
    one = world.reference("form", "form-1", **{"is_deleted": True} | smaller)
    other = world.reference("form", "form-1", **greater)
    for order in ([one, other], [other, one]):
        (row,) = await stored_after(world, order)
        assert not row["is_deleted"]
        assert row["event_id"] == other.event_id
    await stored_after(world, [])
    await world.tell(other, one)
    assert [row["is_deleted"] for row in await stored(world)] == [False]


async def test_copies_are_one_with_the_smallest_record_timestamp(world: World) -> None:
    first = world.reference("form", "form-1")
    later = [replace(first, record_at=first.record_at + timedelta(hours=hours)) for hours in (1, 2)]
    for order in itertools.permutations([first, *later]):
        (row,) = await stored_after(world, order)
        assert row["record_at"] == first.record_at


async def test_a_deleted_reference_does_not_exist_and_its_kind_stays_received(world: World) -> None:
    await world.tell(world.reference("form", "form-1"))
    await world.tell(world.reference("form", "form-1", is_deleted=True, event_id="reference-2"))
    assert await known(world, FORM) == KnownReferences(received=frozenset({ReferenceKind.FORM}), parents={})


async def test_a_deletion_that_comes_before_everything_else_is_received_as_well(world: World) -> None:
    await world.tell(world.reference("form", "form-2", is_deleted=True))
    assert (await known(world, FORM)).received == {ReferenceKind.FORM}


async def test_each_kind_is_received_by_itself(world: World) -> None:
    await world.tell(world.reference("calendar", "cal-1"), world.reference("tag", "service-1"))
    found = await known(world, AppointmentCriteria(calendar_id="cal-1", service_id="service-1"), FORM)
    assert found.received == {ReferenceKind.CALENDAR}
    assert found.parents == {(ReferenceKind.CALENDAR, "cal-1"): None}


async def test_criteria_without_ids_need_nothing_to_be_known(world: World) -> None:
    await world.tell(world.reference("tag", "tag-1"))
    nothing = KnownReferences(received=frozenset(), parents={})
    assert await known(world, TagCriteria(tag_name="Purchased"), AppointmentCriteria(any_appointment=True)) == nothing
    assert await known(world) == nothing


async def test_two_accounts_know_nothing_of_each_others_references(world: World, api_database: Database) -> None:
    other = new_id()
    await world.tell(world.reference("form", "form-1"), world.reference("form", "form-2", account_id=other))
    assert (await known(world, FORM)).parents == {(ReferenceKind.FORM, "form-1"): None}
    assert (await known(world, FORM, account_id=other)).parents == {}
    assert (await known(world, FORM, account_id=new_id())).received == frozenset()
    seen = {}
    for account_id in (world.account_id, other, new_id(), None):
        async with api_database.transaction(account_id) as connection:
            seen[account_id] = await connection.fetch("select reference_id from crm_references")
    assert [[row["reference_id"] for row in rows] for rows in seen.values()] == [["form-1"], ["form-2"], [], []]


async def test_references_and_other_facts_are_stored_together(world: World) -> None:
    goal = await world.add_goal()
    settled = await world.tell(world.reference("tag", "tag-1"), world.start(), world.match(goal))
    assert len(settled.changes) == 1
    assert len(await stored(world)) == 1


async def test_many_writers_in_random_order_never_deadlock_and_agree(world: World) -> None:
    changes = [
        world.reference("tag", f"tag-{number}", event_id=f"evt-{version}", name=f"name-{version}")
        for number in range(40)
        for version in range(5)
    ]
    shuffle = random.Random(7)
    await asyncio.gather(*(world.tell(*shuffle.sample(changes, len(changes))) for _ in range(8)))
    rows = await stored(world)
    assert len(rows) == 40
    assert {row["name"] for row in rows} == {"name-4"}


async def test_the_longest_texts_fit(world: World) -> None:
    longest = "\U0001f600" * 255
    await world.tell(world.reference("tag", longest, name=longest, parent_id=longest, event_id=longest, source=longest))
    assert (await known(world, TagCriteria(tag_id=longest))).parents == {(ReferenceKind.TAG, longest): longest}

"""The delivery log over HTTP: what is shown of it, tests, and what is sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from goalstream.storage import delivery_log
from goalstream.storage.pool import Database
from tests.integration.builders import new_id
from tests.integration.serving import ACCOUNT, bearer
from tests.integration.test_api_webhooks import KEY, OTHER_ACCOUNT, SCOPE, WEBHOOKS, clients, due_at, made, rows

DATA = '{"achievement_id":"a","revision":2,"amount":1.10}'


@pytest.fixture
async def client(api_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async for found in clients(api_database, encryption_keys=KEY):
        yield found


@pytest.fixture
async def webhook_id(client: httpx.AsyncClient) -> str:
    return str((await made(client))["id"])


async def deliver(database: Database, webhook_id: str, state: str = "pending", *, minutes_ago: int = 0) -> str:
    """A delivery as those leave it behind who send."""
    message_id = new_id()
    await rows(
        database,
        """insert into webhook_deliveries
           select $1, $2, $3, 'workflow.goal.achieved', $4, '2026-03-12T09:30:00.5Z', $5, $6,
                  case when $6 = 'pending' then 0 else 9 end, now, case when $6 = 'pending' then now end,
                  case when $6 <> 'pending' then now end, case when $6 <> 'pending' then now end
             from (select clock_timestamp() - make_interval(mins => $7) as now) as clock""",
        *(ACCOUNT, webhook_id, message_id, new_id(), DATA, state, minutes_ago),
    )
    return message_id


async def attempt(database: Database, webhook_id: str, message_id: str, status: int | None, error: str | None) -> None:
    await rows(
        database,
        """insert into webhook_attempts
           values ($1, $2, $3, clock_timestamp(), 'https://hooks.example.com/', '{"webhook-id": "x"}', 0.25, $4, $5, 'told')""",
        *(ACCOUNT, webhook_id, message_id, status, error),
    )


async def listed(client: httpx.AsyncClient, webhook_id: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"{WEBHOOKS}/{webhook_id}/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_the_log_is_paged_from_the_newest_on(
    client: httpx.AsyncClient, database: Database, webhook_id: str
) -> None:
    await deliver(database, str((await made(client))["id"]))
    oldest_first = [await deliver(database, webhook_id, minutes_ago=minutes) for minutes in range(5, 0, -1)]
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = await listed(client, webhook_id, **query)
        found += [one["message_id"] for one in page["deliveries"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        await deliver(database, webhook_id)  # what comes about meanwhile moves nothing
    assert found == oldest_first[::-1]


async def test_the_log_of_one_state(client: httpx.AsyncClient, database: Database, webhook_id: str) -> None:
    ids = {state: await deliver(database, webhook_id, state) for state in ("pending", "delivered", "parked")}
    for state, message_id in ids.items():
        page = await listed(client, webhook_id, state=state)
        assert [(one["message_id"], one["state"]) for one in page["deliveries"]] == [(message_id, state)]
    two = [await deliver(database, webhook_id, "parked", minutes_ago=minutes) for minutes in (2, 1)]
    page = await listed(client, webhook_id, state="parked", limit=2)
    assert [one["message_id"] for one in page["deliveries"]] == [ids["parked"], two[1]]
    page = await listed(client, webhook_id, state="parked", limit=2, cursor=page["next_cursor"])
    assert ([one["message_id"] for one in page["deliveries"]], page["next_cursor"]) == ([two[0]], None)
    assert (await client.get(f"{WEBHOOKS}/{webhook_id}/deliveries?state=lost")).status_code == 422
    assert (await client.get(f"{WEBHOOKS}/{webhook_id}/deliveries?cursor=lost")).status_code == 422


async def test_a_delivery_shows_what_was_sent_and_what_was_answered(
    client: httpx.AsyncClient, database: Database, webhook_id: str
) -> None:
    message_id = await deliver(database, webhook_id, "delivered")
    await attempt(database, webhook_id, message_id, None, "ConnectTimeout")
    await attempt(database, webhook_id, message_id, 200, None)
    found = (await client.get(f"{WEBHOOKS}/{webhook_id}/deliveries/{message_id}")).json()
    assert found["body"] == (
        '{"type":"workflow.goal.achieved","timestamp":"2026-03-12T09:30:00.500000Z","data":' + DATA + "}"
    )
    assert [(one["status"], one["error"], one["answer"]) for one in found["attempts"]] == [
        (200, None, "told"),
        (None, "ConnectTimeout", "told"),
    ]
    assert found["attempts"][0]["headers"] == {"webhook-id": "x"}
    assert found["attempts"][0]["duration_seconds"] == 0.25
    del found["body"], found["attempts"]
    assert (await listed(client, webhook_id))["deliveries"] == [found]


async def test_a_test_is_a_delivery_that_is_due_now(
    client: httpx.AsyncClient, database: Database, webhook_id: str
) -> None:
    assert await due_at(database) is None
    answer = await client.post(f"{WEBHOOKS}/{webhook_id}/test")
    delivery = answer.json()
    assert (answer.status_code, delivery["topic"], delivery["state"]) == (202, "webhook.test", "pending")
    assert (delivery["attempt_count"], delivery["next_attempt_at"]) == (0, delivery["created_at"])
    assert (await listed(client, webhook_id))["deliveries"] == [delivery]
    found = (await client.get(f"{WEBHOOKS}/{webhook_id}/deliveries/{delivery['message_id']}")).json()
    assert found["body"] == (
        f'{{"type":"webhook.test","timestamp":"{delivery["occurred_at"]}",'
        f'"data":{{"webhook_id":"{webhook_id}","sent_by":"ada"}}}}'
    )
    [row] = await rows(
        database,
        "select due_at <= clock_timestamp() as is_due, contact_id from webhooks join webhook_deliveries using (webhook_id)",
    )
    assert row == {"is_due": True, "contact_id": None}
    again = (await client.post(f"{WEBHOOKS}/{webhook_id}/test")).json()
    assert again["message_id"] != delivery["message_id"]


@pytest.mark.parametrize("state", ["parked", "delivered", "pending"])
async def test_a_delivery_is_sent_again_as_if_it_were_new(
    client: httpx.AsyncClient, database: Database, webhook_id: str, state: str
) -> None:
    message_id, other = [await deliver(database, webhook_id, state) for _ in range(2)]
    answer = await client.post(f"{WEBHOOKS}/{webhook_id}/deliveries/{message_id}/redrive")
    delivery = answer.json()
    assert (answer.status_code, delivery["message_id"], delivery["state"]) == (200, message_id, "pending")
    assert (delivery["attempt_count"], delivery["give_up_at"], delivery["ended_at"]) == (0, None, None)
    assert delivery["next_attempt_at"] > delivery["created_at"]
    assert await due_at(database) is not None
    untouched = (await client.get(f"{WEBHOOKS}/{webhook_id}/deliveries/{other}")).json()
    assert untouched["state"] == state


async def test_a_webhook_that_has_something_to_do_before_keeps_its_turn(
    client: httpx.AsyncClient, database: Database, webhook_id: str
) -> None:
    await rows(database, "update webhooks set due_at = clock_timestamp() - interval '1 hour'")
    before = await due_at(database)
    await client.post(f"{WEBHOOKS}/{webhook_id}/test")
    assert await due_at(database) == before


async def test_all_parked_deliveries_are_sent_again(
    client: httpx.AsyncClient, database: Database, webhook_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str((await made(client))["id"])
    await deliver(database, other, "parked")
    delivered = await deliver(database, webhook_id, "delivered")
    oldest_first = [await deliver(database, webhook_id, "parked", minutes_ago=minutes) for minutes in (3, 2, 1)]
    monkeypatch.setattr(delivery_log, "MOST_REDRIVEN", 2)
    path = f"{WEBHOOKS}/{webhook_id}/redrive"
    assert (await client.post(path)).json() == {"redriven": 2, "remaining": 1}
    pending = await listed(client, webhook_id, state="pending")
    assert [one["message_id"] for one in pending["deliveries"]] == oldest_first[1::-1]
    assert (await client.post(path)).json() == {"redriven": 1, "remaining": 0}
    assert (await client.post(path)).json() == {"redriven": 0, "remaining": 0}
    [kept] = (await listed(client, webhook_id, state="delivered"))["deliveries"]
    assert kept["message_id"] == delivered
    assert len((await listed(client, other, state="parked"))["deliveries"]) == 1


async def test_a_delivery_that_is_not_there(client: httpx.AsyncClient, database: Database, webhook_id: str) -> None:
    others = await deliver(database, str((await made(client))["id"]))
    for message_id in (new_id(), others):
        told = f"There is no delivery {message_id} to webhook {webhook_id}"
        path = f"{WEBHOOKS}/{webhook_id}/deliveries/{message_id}"
        for answer in (await client.get(path), await client.post(f"{path}/redrive")):
            assert (answer.status_code, answer.json()["message"]) == (404, told)


async def test_another_account_finds_nothing(client: httpx.AsyncClient, database: Database, webhook_id: str) -> None:
    message_id = await deliver(database, webhook_id, "parked")
    stranger = bearer(OTHER_ACCOUNT, scope=SCOPE)
    before = await rows(database, "select * from webhook_deliveries")
    for method, tail in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("GET", f"/deliveries/{message_id}"),
        ("POST", f"/deliveries/{message_id}/redrive"),
        ("POST", "/redrive"),
    ):
        answer = await client.request(
            method, f"{WEBHOOKS}/{webhook_id}{tail}", json={}, headers=stranger | {"if-match": "*"}
        )
        assert answer.status_code == 404, tail
    assert (await client.get(WEBHOOKS, headers=stranger)).json() == {"webhooks": []}
    assert await rows(database, "select * from webhook_deliveries") == before

"""Webhooks over HTTP: made, shown, changed, rotated, deleted, and what of it is kept."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.domain.signing import MOST_SECRETS
from goalstream.storage.codecs import decode_json
from goalstream.storage.pool import Database
from goalstream.storage.sealing import Seal
from goalstream.storage.webhooks import MAX_WEBHOOKS
from tests.conftest import JWT_SECRET
from tests.integration.builders import new_id
from tests.integration.serving import ACCOUNT, bearer
from tests.unit.domain.test_webhooks import NOT_PUBLIC, ODD_HOSTS, ODD_TEXTS, OTHER_SCHEMES, USER_INFO

OTHER_ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000002"
WEBHOOKS = "/api/v1/webhooks"
URL = "https://hooks.example.com/goalstream"
TOPICS = ["workflow.goal.achieved", "workflow.exit.goal", "workflow.goal.revoked"]
SCOPE = "webhooks:read webhooks:write"
KEY, OTHER_KEY = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
async def client(api_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async for found in clients(api_database, encryption_keys=KEY):
        yield found


async def clients(database: Database, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings.model_validate({"jwt_secret": JWT_SECRET} | settings), database)
    headers = bearer(scope=SCOPE)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as found:
        yield found
    await app.state.gate.close()


async def made(client: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    answer = await client.post(WEBHOOKS, json={"url": URL} | values)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def changed(client: httpx.AsyncClient, webhook: dict[str, Any], **values: Any) -> dict[str, Any]:
    answer = await client.patch(f"{WEBHOOKS}/{webhook['id']}", json=values, headers={"if-match": "*"})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def rows(database: Database, query: str, *values: Any) -> list[dict[str, Any]]:
    async with database.transaction() as connection:
        return [dict(row) for row in await connection.fetch(query, *values)]


async def audit(database: Database) -> list[dict[str, Any]]:
    return await rows(
        database, "select account_id::text, actor, action, version, before, after from audit order by entry_id"
    )


async def test_the_secret_is_shown_once_and_kept_encrypted(client: httpx.AsyncClient, database: Database) -> None:
    answer = await client.post(WEBHOOKS, json={"url": URL, "description": "our shop"})
    webhook = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert answer.headers["location"] == f"{WEBHOOKS}/{webhook['id']}"
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    assert len(b64decode(secret.removeprefix("whsec_"))) == 32
    assert webhook == {
        "id": webhook["id"],
        "account_id": ACCOUNT,
        "url": URL,
        "description": "our shop",
        "topics": TOPICS,
        "state": "active",
        "problem": None,
        "failures_in_a_row": 0,
        "circuit_open_until": None,
        "secrets": [{"added_at": webhook["created_at"], "expires_at": None}],
        "version": 1,
        "created_at": webhook["created_at"],
        "created_by": "ada",
        "updated_at": webhook["created_at"],
        "updated_by": "ada",
    }
    shown = await client.get(f"{WEBHOOKS}/{webhook['id']}")
    assert (shown.json(), shown.headers["etag"]) == (webhook, '"1"')
    assert (await client.get(WEBHOOKS)).json() == {"webhooks": [webhook]}
    [row] = await rows(database, "select secrets, webhooks::text as text from webhooks")
    assert secret not in row["text"]
    assert b64decode(secret.removeprefix("whsec_")) not in row["secrets"]
    [kept] = Seal(KEY).open(f"webhook {webhook['id']}", row["secrets"])
    assert kept.text == secret


async def test_two_webhooks_have_two_secrets(client: httpx.AsyncClient) -> None:
    one, other = await made(client), await made(client, topics=["workflow.exit.goal"])
    assert one["secret"] != other["secret"]
    listed = (await client.get(WEBHOOKS)).json()["webhooks"]
    assert [(found["id"], found["topics"]) for found in listed] == [
        (one["id"], TOPICS),
        (other["id"], ["workflow.exit.goal"]),
    ]


async def test_a_change_names_the_version_that_it_changes(client: httpx.AsyncClient) -> None:
    webhook = await made(client)
    path = f"{WEBHOOKS}/{webhook['id']}"
    assert (await client.patch(path, json={"paused": True})).status_code == 428
    answer = await client.patch(
        path,
        json={"url": URL + "2", "description": "new", "topics": TOPICS[1:]},
        headers={"if-match": '"1"'},
    )
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    found = answer.json()
    assert (found["url"], found["description"], found["topics"]) == (URL + "2", "new", TOPICS[1:])
    assert (found["version"], found["secrets"]) == (2, webhook["secrets"])
    stale = await client.patch(path, json={"paused": True}, headers={"if-match": '"1"'})
    assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
    assert stale.json()["message"] == "The webhook was changed in the meantime: its version is now 2"
    same = await client.patch(path, json={"url": URL + "2"}, headers={"if-match": '"2"'})
    assert (same.status_code, same.json()) == (200, found)
    known = await client.get(path, headers={"if-none-match": 'W/"2"'})
    assert (known.status_code, known.content) == (304, b"")


async def test_of_two_that_change_one_version_one_does(client: httpx.AsyncClient) -> None:
    webhook = await made(client)
    answers = await asyncio.gather(
        *(
            client.patch(f"{WEBHOOKS}/{webhook['id']}", json={"description": text}, headers={"if-match": '"1"'})
            for text in ("one", "other")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_pausing_and_resuming(client: httpx.AsyncClient, database: Database) -> None:
    webhook = await made(client)
    assert await due_at(database) is None
    assert (await changed(client, webhook, paused=True))["state"] == "paused"
    assert await due_at(database) is None
    resumed = await changed(client, webhook, paused=False)
    assert (resumed["state"], resumed["version"]) == ("active", 3)
    assert await due_at(database) is not None


async def due_at(database: Database) -> datetime | None:
    """When somebody is to look what there is to send; None: when something comes about."""
    [row] = await rows(database, "select nullif(due_at, 'infinity') as due_at from webhooks")
    found: datetime | None = row["due_at"]
    return found


async def test_another_url_begins_with_a_closed_circuit(client: httpx.AsyncClient, database: Database) -> None:
    webhook = await made(client)
    await rows(
        database,
        """update webhooks set failures_in_a_row = 7, circuit_open_until = clock_timestamp() + interval '1 hour',
                  due_at = clock_timestamp() + interval '1 hour', lease = $1, leased_until = clock_timestamp()""",
        new_id(),
    )
    failing = await changed(client, webhook, description="still the same URL")
    assert (failing["state"], failing["failures_in_a_row"]) == ("failing", 7)
    assert failing["circuit_open_until"] is not None
    [before] = await rows(database, "select lease, due_at > clock_timestamp() as waits from webhooks")
    assert (before["lease"] is not None, before["waits"]) == (True, True)
    moved = await changed(client, webhook, url=URL + "2")
    assert (moved["state"], moved["failures_in_a_row"], moved["circuit_open_until"]) == ("active", 0, None)
    [after] = await rows(database, "select lease, due_at > clock_timestamp() as waits from webhooks")
    assert after == {"lease": None, "waits": False}


async def test_rotated_secrets_overlap(client: httpx.AsyncClient, database: Database) -> None:
    webhook = await made(client)
    path = f"{WEBHOOKS}/{webhook['id']}/secret"
    answer = await client.post(path, json={})
    rotated = answer.json()
    assert (answer.status_code, answer.headers["etag"], rotated["version"]) == (200, '"2"', 2)
    assert rotated["secret"] != webhook["secret"]
    new, old = rotated["secrets"]
    assert (new["expires_at"], old["added_at"]) == (None, webhook["created_at"])
    overlap = datetime.fromisoformat(old["expires_at"]) - datetime.fromisoformat(new["added_at"])
    assert overlap == timedelta(days=1)
    assert await kept_secrets(database, webhook["id"]) == [rotated["secret"], webhook["secret"]]

    sooner = (await client.post(path, json={"overlap_seconds": 60})).json()
    ends = [one["expires_at"] and datetime.fromisoformat(one["expires_at"]) for one in sooner["secrets"]]
    now = datetime.fromisoformat(sooner["secrets"][0]["added_at"])
    assert ends == [None, now + timedelta(seconds=60), now + timedelta(seconds=60)]

    at_once = (await client.post(path, json={"overlap_seconds": 0})).json()
    assert [one["expires_at"] for one in at_once["secrets"]] == [None]
    assert await kept_secrets(database, webhook["id"]) == [at_once["secret"]]


async def kept_secrets(database: Database, webhook_id: str) -> list[str]:
    [row] = await rows(database, "select secrets from webhooks where webhook_id = $1", webhook_id)
    return [one.text for one in Seal(KEY).open(f"webhook {webhook_id}", row["secrets"])]


async def test_not_too_many_secrets_sign_at_once(client: httpx.AsyncClient, database: Database) -> None:
    webhook = await made(client)
    path = f"{WEBHOOKS}/{webhook['id']}/secret"
    texts = [(await client.post(path, json={})).json()["secret"] for _ in range(MOST_SECRETS + 1)]
    assert await kept_secrets(database, webhook["id"]) == texts[::-1][:MOST_SECRETS]


async def test_a_deleted_webhook_is_gone(client: httpx.AsyncClient, database: Database) -> None:
    webhook = await made(client)
    path = f"{WEBHOOKS}/{webhook['id']}"
    await changed(client, webhook, paused=True)
    stale = await client.delete(path, headers={"if-match": '"1"'})
    assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
    assert (await client.delete(path, headers={"if-match": '"2"'})).status_code == 204
    assert await rows(database, "select 1 from webhooks") == []
    for method, tail, body in (
        ("GET", "", None),
        ("PATCH", "", {"paused": True}),
        ("DELETE", "", None),
        ("POST", "/secret", {}),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("GET", f"/deliveries/{new_id()}", None),
        ("POST", f"/deliveries/{new_id()}/redrive", None),
        ("POST", "/redrive", None),
    ):
        answer = await client.request(method, path + tail, json=body, headers={"if-match": "*"})
        assert (answer.status_code, answer.json()["message"]) == (404, f"There is no webhook {webhook['id']}"), tail


async def test_everything_that_was_done_is_in_the_audit_and_no_secret(
    client: httpx.AsyncClient, database: Database
) -> None:
    webhook = await made(client)
    path = f"{WEBHOOKS}/{webhook['id']}"
    secrets = [webhook["secret"]]
    await changed(client, webhook, paused=True)
    await changed(client, webhook, paused=True)
    secrets.append((await client.post(f"{path}/secret", json={})).json()["secret"])
    test = (await client.post(f"{path}/test")).json()["message_id"]
    await client.post(f"{path}/deliveries/{test}/redrive")
    assert (await client.post(f"{path}/redrive")).json() == {"redriven": 0, "remaining": 0}
    await client.delete(path)
    entries = await audit(database)
    assert {(entry["account_id"], entry["actor"]) for entry in entries} == {(ACCOUNT, "ada")}
    documents = [(decode_json(entry["before"] or "null"), decode_json(entry["after"] or "null")) for entry in entries]
    told = [
        (entry["action"], entry["version"], before and before["state"], after and after.get("state"))
        for entry, (before, after) in zip(entries, documents, strict=True)
    ]
    assert told == [
        ("webhook_created", 1, None, "active"),
        ("webhook_changed", 2, "active", "paused"),
        ("webhook_secret_rotated", 3, "paused", "paused"),
        ("webhook_tested", 3, None, None),
        ("deliveries_redriven", 3, None, None),
        ("webhook_deleted", 3, "paused", None),
    ]
    assert documents[3][1] == {"webhook_id": webhook["id"], "message_id": test}
    assert documents[4][1] == {"webhook_id": webhook["id"], "message_id": test, "deliveries": 1}
    assert [len(document["secrets"]) for document in documents[2]] == [1, 2]
    for secret in secrets:
        assert secret.removeprefix("whsec_") not in str(entries)


async def test_a_refused_change_leaves_no_audit(client: httpx.AsyncClient, database: Database) -> None:
    webhook = await made(client)
    before = await audit(database)
    await client.patch(f"{WEBHOOKS}/{webhook['id']}", json={"paused": True}, headers={"if-match": '"9"'})
    await client.patch(f"{WEBHOOKS}/{webhook['id']}", json={"paused": 1}, headers={"if-match": "*"})
    await client.post(WEBHOOKS, json={"url": "http://127.0.0.1/"})
    assert await audit(database) == before


async def test_what_is_no_public_url_is_refused(client: httpx.AsyncClient) -> None:
    for url in (*NOT_PUBLIC, *ODD_HOSTS, *ODD_TEXTS, *USER_INFO, *OTHER_SCHEMES):
        answer = await client.post(WEBHOOKS, json={"url": url})
        assert (answer.status_code, answer.json()["error"]) == (422, "validation_error"), url
        assert [one["pointer"] for one in answer.json()["errors"]] == ["/url"]
    assert (await client.get(WEBHOOKS)).json() == {"webhooks": []}


async def test_a_webhook_cannot_be_moved_to_such_a_url_either(client: httpx.AsyncClient) -> None:
    webhook = await made(client)
    answer = await client.patch(
        f"{WEBHOOKS}/{webhook['id']}", json={"url": "https://169.254.169.254/"}, headers={"if-match": "*"}
    )
    assert (answer.status_code, answer.json()["message"]) == (
        422,
        "must not lead to 169.254.169.254, which is not public",
    )


async def test_an_operator_may_name_networks_that_are_not_public(api_database: Database) -> None:
    async for client in clients(api_database, encryption_keys=KEY, webhook_private_networks="10.20.0.0/16"):
        await made(client, url="http://10.20.3.4:8000/hook")
        assert (await client.post(WEBHOOKS, json={"url": "http://10.21.3.4/"})).status_code == 422
        assert (await client.post(WEBHOOKS, json={"url": "http://8.8.8.8/"})).status_code == 422


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["/url"]),
    ({"url": 1}, ["/url"]),
    ({"url": None}, ["/url"]),
    ({"url": URL, "topics": []}, ["/topics"]),
    ({"url": URL, "topics": None}, ["/topics"]),
    ({"url": URL, "topics": "workflow.exit.goal"}, ["/topics"]),
    ({"url": URL, "topics": ["workflow.exit.goal", "workflow.exit.goal"]}, ["/topics"]),
    ({"url": URL, "topics": ["payment.completed"]}, ["/topics"]),
    ({"url": URL, "topics": ["webhook.test"]}, ["/topics"]),
    ({"url": URL, "topics": [["workflow.exit.goal"]]}, ["/topics"]),
    ({"url": URL, "description": 1}, ["/description"]),
    ({"url": URL, "description": None}, ["/description"]),
    ({"url": URL, "description": "a\0b"}, ["/description"]),
    ({"url": URL, "description": "x" * 256}, ["/description"]),
    ({"url": URL, "paused": True}, ["/paused"]),
    ({"url": URL, "secret": "whsec_x"}, ["/secret"]),
    ({"url": "x", "topics": [], "description": 1, "a/b": 1}, ["/a~1b", "/url", "/topics", "/description"]),
]


async def test_what_is_wrong_is_told_all_at_once(client: httpx.AsyncClient) -> None:
    for body, pointers in WRONG:
        answer = await client.post(WEBHOOKS, json=body)
        assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (422, pointers), body


async def test_an_overlap_is_a_number_of_seconds(client: httpx.AsyncClient) -> None:
    webhook = await made(client)
    for seconds in (-1, 604_801, 1.5, True, None, "60"):
        answer = await client.post(f"{WEBHOOKS}/{webhook['id']}/secret", json={"overlap_seconds": seconds})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/overlap_seconds")
    assert (await client.get(f"{WEBHOOKS}/{webhook['id']}")).json()["version"] == 1


async def test_an_account_has_so_many_and_no_more(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post(WEBHOOKS, json={"url": URL}) for _ in range(MAX_WEBHOOKS + 4)))
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(refused) == 4
    assert {(answer.status_code, answer.json()["error"]) for answer in refused} == {(400, "webhook_limit_exceeded")}
    assert refused[0].json()["message"] == f"Maximum of {MAX_WEBHOOKS} webhooks per account exceeded"
    other = bearer(OTHER_ACCOUNT, scope=SCOPE)
    assert (await client.post(WEBHOOKS, json={"url": URL}, headers=other)).status_code == 201
    listed = (await client.get(WEBHOOKS)).json()["webhooks"]
    await client.delete(f"{WEBHOOKS}/{listed[0]['id']}")
    await made(client)


async def test_each_operation_needs_its_scope(client: httpx.AsyncClient) -> None:
    webhook = await made(client)
    path = f"{WEBHOOKS}/{webhook['id']}"
    reader, writer = bearer(scope="webhooks:read goals:write"), bearer(scope="webhooks:write goals:read")
    for headers, asked in (
        (writer, [("GET", WEBHOOKS), ("GET", path), ("GET", f"{path}/deliveries")]),
        (
            reader,
            [("POST", WEBHOOKS), ("PATCH", path), ("DELETE", path)]
            + [("POST", f"{path}/{tail}") for tail in ("secret", "test", "redrive", f"deliveries/{new_id()}/redrive")],
        ),
    ):
        for method, where in asked:
            answer = await client.request(method, where, json={"url": URL}, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (403, "forbidden"), (method, where)


async def test_without_encryption_keys_nothing_is_done_and_the_setting_is_named(api_database: Database) -> None:
    async for client in clients(api_database):
        path = f"{WEBHOOKS}/{new_id()}"
        for method, where in (
            ("GET", WEBHOOKS),
            ("POST", WEBHOOKS),
            ("GET", path),
            ("PATCH", path),
            ("DELETE", path),
            ("POST", f"{path}/secret"),
            ("POST", f"{path}/test"),
            ("GET", f"{path}/deliveries"),
            ("GET", f"{path}/deliveries/{new_id()}"),
            ("POST", f"{path}/deliveries/{new_id()}/redrive"),
            ("POST", f"{path}/redrive"),
        ):
            answer = await client.request(method, where, json={"url": URL}, headers={"if-match": "*"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60"), (method, where)
            assert "GOALSTREAM_ENCRYPTION_KEYS is not set" in answer.json()["message"]
        assert (await client.get(WEBHOOKS, headers={"authorization": "Bearer x"})).status_code == 401


async def test_another_key_in_front_takes_over_with_the_next_secret(api_database: Database, database: Database) -> None:
    async for client in clients(api_database, encryption_keys=KEY):
        webhook = await made(client)
    async for client in clients(api_database, encryption_keys=f"{OTHER_KEY}, {KEY}"):
        found = (await client.get(f"{WEBHOOKS}/{webhook['id']}")).json()
        assert (found["problem"], len(found["secrets"])) == (None, 1)
        rotated = (await client.post(f"{WEBHOOKS}/{webhook['id']}/secret", json={})).json()
    [row] = await rows(database, "select secrets from webhooks")
    secrets = Seal(OTHER_KEY).open(f"webhook {webhook['id']}", row["secrets"])
    assert [one.text for one in secrets] == [rotated["secret"], webhook["secret"]]


async def test_a_key_that_was_taken_away_is_told_in_words_and_can_be_mended(api_database: Database) -> None:
    async for client in clients(api_database, encryption_keys=KEY):
        webhook = await made(client)
    path = f"{WEBHOOKS}/{webhook['id']}"
    told = f"the secrets of webhook {webhook['id']} were encrypted with a key that GOALSTREAM_ENCRYPTION_KEYS no longer has"
    async for client in clients(api_database, encryption_keys=OTHER_KEY):
        found = (await client.get(path)).json()
        assert (found["problem"], found["secrets"], found["url"]) == (told, [], URL)
        assert (await client.get(WEBHOOKS)).json() == {"webhooks": [found]}
        assert (await changed(client, webhook, paused=True))["problem"] == told
        refused = await client.post(f"{path}/secret", json={})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
        assert refused.json()["message"] == f"{told}; with overlap_seconds 0 it gets a new secret all the same"
        mended = (await client.post(f"{path}/secret", json={"overlap_seconds": 0})).json()
        assert (mended["problem"], len(mended["secrets"])) == (None, 1)


async def test_secrets_that_were_moved_to_another_row_are_not_used(
    client: httpx.AsyncClient, database: Database
) -> None:
    one, other = await made(client), await made(client)
    await rows(
        database,
        "update webhooks set secrets = (select secrets from webhooks where webhook_id = $1) where webhook_id = $2",
        one["id"],
        other["id"],
    )
    found = (await client.get(f"{WEBHOOKS}/{other['id']}")).json()
    assert re.search(f"webhook {other['id']} belong to webhook {one['id']}", found["problem"])

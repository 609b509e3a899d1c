"""Calls of hooks on a real PostgreSQL: what is signed becomes events, once; what is not becomes nothing, and learns nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from goalstream.api import hook_calls
from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.domain.hooks import hook_source, parse_source
from goalstream.errors import BrokerUnavailable
from goalstream.intake import Intake
from goalstream.storage.cleaning import Cleaner
from goalstream.storage.pool import Database
from goalstream.streams.producer import Outgoing
from tests.conftest import ENCRYPTION_KEYS, JWT_SECRET
from tests.integration.builders import new_id
from tests.integration.serving import ACCOUNT, bearer
from tests.senders import (
    CONTACT,
    SECRETS,
    SIGNERS,
    calendly_event,
    now,
    sign_standard,
    sign_stripe,
    sign_typeform,
    stripe_event,
    typeform_event,
    written,
)
from tests.unit.streams.fakes import FakeProducer

HOOKS = "/api/v1/hooks"
MAPPING = {
    "call_id": "id",
    "events": [
        {
            "when": "contact",
            "event_type": "contact.tag.added",
            "timestamp": "at",
            "data": {"contact_id": "contact", "tag_id": "tag"},
        },
        {
            "when": "paid",
            "event_type": "payment.completed",
            "timestamp": "at",
            "data": {"contact_id": "contact", "amount": "paid"},
        },
    ],
}
BODIES = {
    "standard": {"id": "1", "contact": CONTACT, "tag": "t", "at": "2026-03-10T12:00:00Z"},
    "stripe": stripe_event("payment_intent.succeeded", metadata={"contact_id": CONTACT}),
    "calendly": calendly_event(),
    "typeform": typeform_event(),
}


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"jwt_secret": JWT_SECRET, "encryption_keys": ENCRYPTION_KEYS})


@pytest.fixture
def app(settings: Settings, api_database: Database, producer: FakeProducer) -> FastAPI:
    return create_app(settings, api_database, intake=Intake(producer, topic_prefix=""))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Of somebody who may do everything with hooks."""
    headers = bearer(scope="webhooks:read webhooks:write")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as found:
        yield found
    await app.state.gate.close()


async def create(client: httpx.AsyncClient, scheme: str = "standard", **members: Any) -> dict[str, Any]:
    """A hook of a scheme, with its preset where it has one."""
    usual: dict[str, Any] = {"name": scheme, "secret": SECRETS[scheme]}
    usual |= {"scheme": scheme, "mapping": MAPPING} if scheme == "standard" else {"preset": scheme}
    answer = await client.post(HOOKS, json=usual | members)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def call(
    client: httpx.AsyncClient, hook: dict[str, Any], body: bytes, headers: Mapping[str, str | bytes]
) -> httpx.Response:
    """As the other system does, which has no token."""
    given: list[tuple[bytes, bytes]] = [
        (name.encode(), text.encode() if isinstance(text, str) else text) for name, text in headers.items()
    ]
    return await client.post(hook["url"], content=body, headers=[(b"authorization", b""), *given])


async def logged(client: httpx.AsyncClient, hook: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(f"{HOOKS}/{hook['id']}/calls")).json()["calls"]
    return found


def sent(producer: FakeProducer) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for _, _, value, _ in producer.sent]


@pytest.mark.parametrize("scheme", SIGNERS)
async def test_what_is_signed_becomes_an_event_of_the_account(
    client: httpx.AsyncClient, producer: FakeProducer, scheme: str
) -> None:
    hook = await create(client, scheme)
    body = written(BODIES[scheme])
    answer = await call(client, hook, body, SIGNERS[scheme](body, at=now()))
    assert answer.status_code == 202, answer.text
    (shown,) = answer.json()["events"]
    assert (answer.json()["accepted"], answer.json()["refused"], shown["status"]) == (1, 0, "accepted")
    ((topic, key, _, _),) = producer.sent
    (event,) = sent(producer)
    assert (topic, key) == (event["event_type"], CONTACT.encode())
    assert (event["account_id"], event["event_id"]) == (ACCOUNT, shown["event_id"])
    assert event["data"]["contact_id"] == CONTACT
    assert event["timestamp"].startswith("2026-03-10T12:00:00")
    (entry,) = await logged(client, hook)
    assert (entry["status"], entry["answer"]) == (202, answer.json())


@pytest.mark.parametrize("scheme", SIGNERS)
async def test_what_is_forged_stale_or_of_another_is_refused_alike_and_publishes_nothing(
    client: httpx.AsyncClient, producer: FakeProducer, scheme: str
) -> None:
    hook, sign = await create(client, scheme), SIGNERS[scheme]
    paused = await create(client, scheme, name="paused")
    await client.patch(f"{HOOKS}/{paused['id']}", json={"paused": True}, headers={"if-match": "*"})
    body = written(BODIES[scheme])
    good = sign(body, at=now())
    other_secret = SECRETS[scheme][:-4] + ("AAAA" if scheme != "standard" else "AAA=")
    nobodys = {"url": f"/hooks/{hook_source(ACCOUNT, new_id())}"}
    others = {"url": f"/hooks/{hook_source(new_id(), hook['id'])}"}
    tries: list[tuple[dict[str, Any], bytes, Mapping[str, str | bytes]]] = [
        (hook, body + b" ", good),
        (hook, body[:-1], good),
        (hook, body, sign(body, at=now(), secret=other_secret)),
        (hook, body, {}),
        (hook, body, dict.fromkeys(good, "")),
        (hook, body, {name: text.swapcase() for name, text in good.items()}),
        (hook, body, dict.fromkeys(good, b"t=x,v1=\xe9 v1,\xff sha256=")),
        (paused, body, good),
        (nobodys, body, good),
        (others, body, good),
        ({"url": f"{hook['url']}A"}, body, good),
        ({"url": "/hooks/x"}, body, good),
    ]
    if scheme != "typeform":
        tries += [(hook, body, sign(body, at=now() + timedelta(minutes=minutes))) for minutes in (-6, 6)]
    answers = [await call(client, *one) for one in tries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert (producer.sent, await logged(client, hook), await logged(client, paused)) == ([], [], [])
    assert (await call(client, hook, body, good)).status_code == 202


@pytest.mark.parametrize("scheme", SIGNERS)
async def test_a_repetition_is_answered_as_the_first_time_and_a_replay_not_at_all(
    client: httpx.AsyncClient, producer: FakeProducer, scheme: str
) -> None:
    hook, sign = await create(client, scheme), SIGNERS[scheme]
    body = written(BODIES[scheme])
    headers = sign(body, at=now() - timedelta(minutes=1))
    first = await call(client, hook, body, headers)
    replayed = await call(client, hook, body, headers)
    repeated = await call(client, hook, body, sign(body, at=now()))
    assert first.status_code == repeated.status_code == 202
    assert repeated.content == first.content
    assert replayed.status_code == (202 if scheme == "typeform" else 401)
    assert len(producer.sent) == 1
    assert len(await logged(client, hook)) == 1


async def test_a_call_is_known_by_the_senders_id_and_not_by_its_bytes(
    client: httpx.AsyncClient, producer: FakeProducer
) -> None:
    hook = await create(client, "stripe")
    for pending in (1, 2):
        body = written(BODIES["stripe"] | {"pending_webhooks": pending})
        assert (await call(client, hook, body, sign_stripe(body, at=now()))).status_code == 202
    standard = await create(client)
    body = written(BODIES["standard"])
    for message_id in ("msg_1", "msg_2", "m" * 300):
        answer = await call(client, standard, body, sign_standard(body, at=now(), message_id=message_id))
        assert answer.status_code == 202
    ids = [event["event_id"] for event in sent(producer)]
    assert len(ids) == len(set(ids)) == 4
    assert {len(entry["call_id"]) for entry in await logged(client, standard)} == {5, 64}


@pytest.mark.parametrize(
    "body", [b'{"id": "1", "contact"', b"", b"\xff", b"[" * 3_000, b'"\\ud800"', b"NaN", b"1" * 5_000]
)
async def test_what_is_cut_short_or_no_json_after_a_right_signature_is_400(
    client: httpx.AsyncClient, producer: FakeProducer, body: bytes
) -> None:
    hook = await create(client, "typeform")
    answer = await call(client, hook, body, sign_typeform(body))
    assert (answer.status_code, answer.json()["error"]) == (400, "malformed")
    assert (producer.sent, await logged(client, hook)) == ([], [])


@pytest.mark.parametrize("document", [[], 7, None, "text", {}, {"type": "invoice.paid"}, {"contact": None}])
async def test_what_nobody_wants_is_accepted_and_becomes_nothing(
    client: httpx.AsyncClient, producer: FakeProducer, document: object
) -> None:
    hook = await create(client)
    body = written(document)
    answer = await call(client, hook, body, sign_standard(body, at=now()))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "refused": 0, "events": []})
    assert producer.sent == []


async def test_of_a_call_all_events_are_published_or_none_and_a_refusal_does_not_hold(
    client: httpx.AsyncClient, producer: FakeProducer
) -> None:
    hook = await create(client)
    body = written(BODIES["standard"] | {"paid": -5})
    refused = await call(client, hook, body, sign_standard(body, at=now()))
    assert (refused.status_code, refused.json()["error"]) == (422, "validation_error")
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/events/1/data/amount"]
    assert producer.sent == []
    (entry,) = await logged(client, hook)
    assert (entry["call_id"], entry["status"], entry["answer"]) == ("msg_1", 422, refused.json())

    mended = {"call_id": "id", "events": [MAPPING["events"][0]]}
    changed = await client.patch(f"{HOOKS}/{hook['id']}", json={"mapping": mended}, headers={"if-match": '"1"'})
    assert changed.status_code == 200
    again = await call(client, hook, body, sign_standard(body, at=now() + timedelta(seconds=1)))
    assert (again.status_code, again.json()["accepted"], len(producer.sent)) == (202, 1, 1)
    (entry,) = await logged(client, hook)
    assert entry["status"] == 202


async def test_an_expression_that_cannot_be_worked_out_is_told_with_its_place(client: httpx.AsyncClient) -> None:
    mapping = {"events": [{"event_type": "form.submitted", "data": {"a/b": "sum(@)", "contact_id": "contact"}}]}
    hook = await create(client, mapping=mapping)
    body = written({"contact": CONTACT})
    answer = await call(client, hook, body, sign_standard(body, at=now()))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/mapping/events/0/data/a~1b"


async def test_a_new_secret_and_the_old_one_are_good_for_a_while(client: httpx.AsyncClient) -> None:
    hook = await create(client, "stripe")
    path = f"{HOOKS}/{hook['id']}/secret"
    body = written(BODIES["stripe"])

    async def statuses(*secrets: str) -> list[int]:
        return [
            (
                await call(client, hook, body, sign_stripe(body, secret=one, at=now() + timedelta(seconds=place)))
            ).status_code
            for place, one in enumerate(secrets)
        ]

    old, new, newest = SECRETS["stripe"], "whsec_the_second_one", "whsec_the_third_one"
    rotated = await client.post(path, json={"secret": new})
    assert rotated.status_code == 200
    assert "secret" not in rotated.json()
    assert [one["expires_at"] is None for one in rotated.json()["secrets"]] == [True, False]
    assert await statuses(old, new, newest) == [202, 202, 401]
    assert (await client.post(path, json={"secret": newest, "overlap_seconds": 0})).status_code == 200
    assert await statuses(old, new, newest) == [401, 401, 202]
    assert (await client.post(path, json={})).json()["errors"][0]["pointer"] == "/secret"


async def test_of_two_at_once_one_is_asked_to_come_again(client: httpx.AsyncClient, app: FastAPI) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class SlowProducer(FakeProducer):
        async def send(self, records: Sequence[Outgoing]) -> None:
            begun.set()
            await go_on.wait()
            await super().send(records)

    slow = SlowProducer()
    app.state.intake = Intake(slow, topic_prefix="")
    hook = await create(client)
    body = written(BODIES["standard"])
    first = asyncio.create_task(call(client, hook, body, sign_standard(body, at=now())))
    await begun.wait()
    second = await call(client, hook, body, sign_standard(body, at=now() + timedelta(seconds=1)))
    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    go_on.set()
    assert (await first).status_code == 202
    third = await call(client, hook, body, sign_standard(body, at=now() + timedelta(seconds=2)))
    assert (third.status_code, third.content) == (202, (await first).content)
    assert len(slow.sent) == 1


async def test_while_kafka_is_away_nothing_is_kept_and_the_sender_comes_again(
    client: httpx.AsyncClient, producer: FakeProducer
) -> None:
    hook = await create(client)
    body = written(BODIES["standard"])
    producer.failures = [BrokerUnavailable("away")]
    headers = sign_standard(body, at=now())
    away = await call(client, hook, body, headers)
    assert (away.status_code, away.headers["retry-after"]) == (503, "2")
    assert await logged(client, hook) == []
    assert (await call(client, hook, body, headers)).status_code == 202
    assert len(producer.sent) == 1


async def test_what_was_published_before_a_crash_is_published_again_with_the_same_ids(
    client: httpx.AsyncClient, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await create(client)
    body = written(BODIES["standard"] | {"paid": "5.00"})

    async def crash(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as during:
        during.setattr(hook_calls, "keep_call", crash)
        with pytest.raises(SystemExit):
            await call(client, hook, body, sign_standard(body, at=now()))
    assert len(producer.sent) == 2
    again = await call(client, hook, body, sign_standard(body, at=now() + timedelta(seconds=1)))
    assert again.status_code == 202
    assert producer.sent[:2] == producer.sent[2:]
    assert len({event["event_id"] for event in sent(producer)}) == 2


async def test_two_accounts_with_the_same_sender_do_not_see_each_other(
    client: httpx.AsyncClient, producer: FakeProducer
) -> None:
    other = bearer(new_id(), scope="webhooks:read webhooks:write")
    mine = await create(client)
    theirs = (
        await client.post(HOOKS, json={"name": "x", "scheme": "standard", "mapping": MAPPING}, headers=other)
    ).json()
    body = written(BODIES["standard"])
    for hook, secret in ((mine, SECRETS["standard"]), (theirs, theirs["secret"])):
        assert (await call(client, hook, body, sign_standard(body, secret=secret, at=now()))).status_code == 202
    accounts = [event["account_id"] for event in sent(producer)]
    assert accounts == [parse_source(hook["url"].rpartition("/")[2])[0] for hook in (mine, theirs)]  # type: ignore[index]
    assert len(set(accounts)) == 2
    assert [hook["id"] for hook in (await client.get(HOOKS, headers=other)).json()["hooks"]] == [theirs["id"]]
    for path in (f"{HOOKS}/{mine['id']}", f"{HOOKS}/{mine['id']}/calls"):
        assert (await client.get(path, headers=other)).status_code == 404
    for method, path, sent_body in (
        ("PATCH", f"{HOOKS}/{mine['id']}", {"paused": True}),
        ("POST", f"{HOOKS}/{mine['id']}/secret", {}),
        ("POST", f"{HOOKS}/{mine['id']}/dry-run", {"body": {}}),
        ("DELETE", f"{HOOKS}/{mine['id']}", None),
    ):
        answer = await client.request(method, path, json=sent_body, headers={**other, "if-match": "*"})
        assert answer.status_code == 404


async def test_who_asks_too_often_is_told_once_it_is_known_who_that_is(
    settings: Settings, api_database: Database, producer: FakeProducer
) -> None:
    limited = settings.model_copy(update={"rate_limit_per_minute": 3})
    app = create_app(limited, api_database, intake=Intake(producer, topic_prefix=""))
    headers = bearer(scope="webhooks:read webhooks:write")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as client:
        hook = await create(client)
        body = written(BODIES["standard"])
        forged = [(await call(client, hook, body, {})).status_code for _ in range(5)]
        signed = [
            await call(client, hook, body, sign_standard(body, at=now() + timedelta(seconds=second)))
            for second in range(3)
        ]
    assert set(forged) == {401}
    assert [answer.status_code for answer in signed] == [202, 202, 429]
    assert int(signed[2].headers["retry-after"]) > 0
    await app.state.gate.close()


async def test_a_body_may_be_as_large_as_events_may(client: httpx.AsyncClient) -> None:
    hook = await create(client)
    body = written(BODIES["standard"] | {"note": "x" * 200_000})
    assert (await call(client, hook, body, sign_standard(body, at=now()))).status_code == 202
    large = b"x" * 1_048_577
    for one in (hook, {"url": "/hooks/x"}):
        assert (await call(client, one, large, {})).status_code == 413


async def test_what_is_larger_than_kafka_takes_is_refused(client: httpx.AsyncClient, producer: FakeProducer) -> None:
    from goalstream.errors import TooLargeForKafka

    hook = await create(client)
    body = written(BODIES["standard"])
    producer.failures = [TooLargeForKafka(too_large=[0], acknowledged=[])]
    answer = await call(client, hook, body, sign_standard(body, at=now()))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/events/0")


async def test_calls_are_shown_page_by_page_and_kept_for_thirty_days(
    client: httpx.AsyncClient, database: Database
) -> None:
    hook = await create(client)
    for number in range(5):
        body = written({"number": number})
        await call(client, hook, body, sign_standard(body, at=now(), message_id=f"msg_{number}"))
    seen: list[str] = []
    path: str | None = f"{HOOKS}/{hook['id']}/calls?limit=2"
    while path:
        page = await client.get(path)
        seen += [entry["call_id"] for entry in page.json()["calls"]]
        path = page.links.get("next", {}).get("url")
    assert seen == [f"msg_{number}" for number in reversed(range(5))]
    async with database.transaction() as connection:
        clock: datetime = await connection.fetchval("select max(received_at) from hook_calls")
    cleaner = Cleaner(database)
    assert await cleaner.delete_calls(clock + timedelta(days=30)) == 4
    assert [entry["call_id"] for entry in await logged(client, hook)] == ["msg_4"]

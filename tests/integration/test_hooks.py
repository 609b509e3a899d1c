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
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from goalstream.api import hook_calls
from goalstream.api.app import create_app
from goalstream.api.hook_room import MOST_CALLS
from goalstream.config import Settings
from goalstream.domain.hooks import hook_source, parse_source
from goalstream.errors import BrokerUnavailable
from goalstream.intake import Intake
from goalstream.storage.cleaning import Cleaner
from goalstream.storage.pool import Database
from goalstream.storage.sealing import Seal
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
    padded,
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


@pytest.mark.parametrize("scheme", ["standard", "stripe", "calendly"])
async def test_a_replay_is_known_though_its_signature_is_written_otherwise(
    client: httpx.AsyncClient, producer: FakeProducer, scheme: str
) -> None:
    hook, sign = await create(client, scheme), SIGNERS[scheme]
    new = SECRETS[scheme][:-4] + "AAA="
    assert (await client.post(f"{HOOKS}/{hook['id']}/secret", json={"secret": new})).status_code == 200
    body = written(BODIES[scheme])
    at = now()
    headers, other = sign(body, at=at), sign(body, at=at, secret=new)
    name = [*headers][-1]
    both = headers | {name: padded(scheme, headers[name], other[name])}
    assert (await call(client, hook, body, both)).status_code == 202
    padding = {name: padded(scheme, headers[name], "junk")}
    for replayed in (both, headers, other, headers | padding):
        assert (await call(client, hook, body, replayed)).status_code == 401
    assert len(producer.sent) == 1


async def test_what_was_accepted_stays_so_whatever_the_mapping_has_become(
    client: httpx.AsyncClient, producer: FakeProducer
) -> None:
    hook = await create(client)
    body = written(BODIES["standard"] | {"paid": -5})
    at = now()
    mended = {"call_id": "id", "events": [MAPPING["events"][0]]}
    for version, mapping in enumerate([mended, MAPPING], start=1):
        match = {"if-match": f'"{version}"'}
        await client.patch(f"{HOOKS}/{hook['id']}", json={"mapping": mapping}, headers=match)
        headers = sign_standard(body, at=at + timedelta(seconds=version))
        assert (await call(client, hook, body, headers)).status_code == 202
    assert (await call(client, hook, body, sign_standard(body, at=at + timedelta(seconds=1)))).status_code == 401
    assert len(producer.sent) == 1
    fresh = sign_standard(body, at=at, message_id="msg_2")
    assert (await call(client, hook, body, fresh)).status_code == 422


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


async def test_what_is_kept_of_a_refusal_quotes_nothing_of_the_body(client: httpx.AsyncClient) -> None:
    rules = [
        {"event_type": "payment.completed", "data": {"contact_id": "email", "amount": "email", "note": "sum(@)"}},
        {"event_type": "payment.completed", "timestamp": "at", "data": {"contact_id": "contact"}},
    ]
    hook = await create(client, mapping={"events": rules})
    body = written({"email": "kim@example.com", "contact": CONTACT, "at": "1971-02-30T00:00:00Z"})
    answer = await call(client, hook, body, sign_standard(body, at=now()))
    assert answer.status_code == 422
    told = {(one["pointer"], one["message"]) for one in answer.json()["errors"]}
    assert told == {
        ("/mapping/events/0/data/note", "sum() takes array-number, and got object"),
        ("/events/0/data/amount", "the value is not a decimal number of at least 0, as a number or a text"),
        ("/events/0/data/contact_id", "the value is not a UUID (8-4-4-4-12, either case)"),
        ("/events/1", "bad_time: the event's time is not RFC 3339"),
    }
    (entry,) = await logged(client, hook)
    assert entry["answer"] == answer.json()
    assert not any(word in str(entry) for word in ("kim", "1971"))


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
    async with asyncio.timeout(10):
        second = await call(client, hook, body, sign_standard(body, at=now() + timedelta(seconds=1)))
    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    go_on.set()
    assert (await first).status_code == 202
    third = await call(client, hook, body, sign_standard(body, at=now() + timedelta(seconds=2)))
    assert (third.status_code, third.content) == (202, (await first).content)
    assert len(slow.sent) == 1


async def test_while_calls_wait_for_kafka_other_requests_have_connections(
    settings: Settings, api_database: Database
) -> None:
    waiting, go_on = asyncio.Event(), asyncio.Event()

    class SlowProducer(FakeProducer):
        async def send(self, records: Sequence[Outgoing]) -> None:
            waiting.set()
            await go_on.wait()
            await super().send(records)

    size = api_database.connections["limit"]
    small = settings.model_copy(update={"database_pool_size": size})
    app = create_app(small, api_database, intake=Intake(SlowProducer(), topic_prefix=""))
    headers = bearer(scope="webhooks:read webhooks:write")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as client:
        hook = await create(client)
        body = written(BODIES["standard"])
        calls = [
            asyncio.create_task(call(client, hook, body, sign_standard(body, at=now(), message_id=f"msg_{number}")))
            for number in range(2 * size)
        ]
        async with asyncio.timeout(10):
            await waiting.wait()
            for _ in range(3 * size):
                assert (await client.get(HOOKS)).status_code == 200
            assert api_database.connections["used"] <= max(1, size // 4)
            go_on.set()
            assert {(await one).status_code for one in calls} == {202}
    await app.state.gate.close()


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
    assert (await call(client, hook, large, sign_standard(large, at=now()))).status_code == 413


async def test_of_what_names_no_hook_or_is_not_signed_at_all_no_body_is_read(
    client: httpx.AsyncClient,
) -> None:
    reads: list[str] = []

    async def body(url: str) -> AsyncIterator[bytes]:
        reads.append(url)
        yield b"{}"

    hook = await create(client)
    for url, headers in (("/hooks/x", sign_standard(b"", at=now())), (hook["url"], {"x-signature": "v1,x"})):
        answer = await client.post(url, content=body(url), headers=headers)
        assert (answer.status_code, answer.json()["error"], reads) == (401, "unauthorized", [])


def turned_away() -> float:
    """How many calls found no room, says this process."""
    return REGISTRY.get_sample_value("goalstream_hook_calls_total", {"outcome": "no_room"}) or 0


async def test_beyond_the_calls_that_run_at_once_one_is_asked_to_come_again(client: httpx.AsyncClient) -> None:
    hook, go_on = await create(client), asyncio.Event()
    body = written(BODIES["standard"])
    begun = asyncio.Semaphore(0)

    async def slow() -> AsyncIterator[bytes]:
        begun.release()
        await go_on.wait()
        yield body

    def one(message_id: str, content: Any) -> asyncio.Task[httpx.Response]:
        headers = sign_standard(body, at=now(), message_id=message_id)
        return asyncio.create_task(client.post(hook["url"], content=content, headers=headers))

    running = [one(f"msg_{number}", slow()) for number in range(MOST_CALLS)]
    async with asyncio.timeout(10):
        for _ in running:
            await begun.acquire()
        before = turned_away()
        refused = await one("msg_more", body)
        assert turned_away() == before + 1
        assert (await call(client, hook, body, {})).status_code == 401
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        go_on.set()
        assert {(await answer).status_code for answer in running} == {202}
        assert (await one("msg_more", body)).status_code == 202


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


async def test_a_hook_is_created_shown_changed_and_deleted(client: httpx.AsyncClient, database: Database) -> None:
    created = await client.post(HOOKS, json={"name": "Shop", "scheme": "standard", "mapping": MAPPING})
    hook = created.json()
    secret = hook.pop("secret")
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert created.headers["location"] == f"{HOOKS}/{hook['id']}"
    assert secret.startswith("whsec_")
    shown = await client.get(created.headers["location"])
    assert (shown.json(), shown.headers["etag"]) == (hook, '"1"')
    known = await client.get(created.headers["location"], headers={"if-none-match": '"1"'})
    assert (known.status_code, known.content) == (304, b"")

    path = created.headers["location"]
    assert (await client.patch(path, json={"name": "Store"})).status_code == 428
    changed = await client.patch(path, json={"name": "Store", "paused": True}, headers={"if-match": '"1"'})
    assert changed.json() == hook | {
        "name": "Store",
        "paused": True,
        "version": 2,
        "updated_at": changed.json()["updated_at"],
    }
    same = await client.patch(path, json={"name": "Store"}, headers={"if-match": '"2"'})
    assert same.json() == changed.json()
    for stale in (
        await client.patch(path, json={"name": "x"}, headers={"if-match": '"1"'}),
        await client.delete(path, headers={"if-match": '"1"'}),
    ):
        assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
        assert stale.json()["message"] == "The hook was changed in the meantime: its version is now 2"
    rotated = await client.post(f"{path}/secret", json={"overlap_seconds": 0})
    assert rotated.json()["secret"] not in (secret, None)
    assert len(rotated.json()["secrets"]) == 1
    assert (await client.delete(path, headers={"if-match": '"3"'})).status_code == 204
    assert (await client.get(path)).status_code == (await client.delete(path)).status_code == 404

    async with database.transaction() as connection:
        entries = await connection.fetch("select actor, action, before, after from audit order by entry_id")
        everything = await connection.fetch("select secrets from hooks")
    assert [entry["action"] for entry in entries] == [
        "hook_created", "hook_changed", "hook_secret_rotated", "hook_deleted",
    ]  # fmt: skip
    assert {entry["actor"] for entry in entries} == {"ada"}
    assert [entry["before"] is None for entry in entries] == [True, False, False, False]
    assert [entry["after"] is None for entry in entries] == [False, False, False, True]
    text = f"{entries} {everything}"
    assert not any(word in text for word in (secret, rotated.json()["secret"], secret.removeprefix("whsec_")))


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({}, ["/name", "/scheme", "/mapping"]),
        ({"name": " ", "preset": "shopify", "x": 1}, ["/x", "/name", "/preset"]),
        ({"name": "a\0", "preset": "stripe"}, ["/name", "/secret"]),
        ({"name": "a" * 101, "preset": "stripe", "secret": "short"}, ["/name", "/secret"]),
        ({"name": "a", "preset": "stripe", "scheme": "stripe", "mapping": {}}, ["/scheme", "/mapping", "/secret"]),
        ({"name": "a", "preset": "typeform", "secret": "of\u00e4\u00f6\u00fcumlauts"}, ["/secret"]),
        ({"name": "a", "preset": ["stripe"]}, ["/preset"]),
        ({"name": "a", "scheme": {"x": 1}, "mapping": MAPPING}, ["/scheme"]),
        ({"name": "a", "scheme": "standard", "mapping": MAPPING, "secret": "whsec_short"}, ["/secret"]),
        ({"name": "a", "scheme": "standard", "mapping": {"events": []}}, ["/mapping/events"]),
        ({"name": "a", "scheme": "standard", "mapping": 7}, ["/mapping"]),
    ],
)
async def test_everything_that_is_wrong_with_a_hook_is_told(
    client: httpx.AsyncClient, document: dict[str, Any], pointers: list[str]
) -> None:
    answer = await client.post(HOOKS, json=document)
    assert answer.status_code == 422
    assert [problem["pointer"] for problem in answer.json()["errors"]] == pointers


async def test_what_is_wrong_with_a_change_or_a_rotation_is_told(client: httpx.AsyncClient) -> None:
    hook = await create(client)
    path, any_version = f"{HOOKS}/{hook['id']}", {"if-match": "*"}
    changes = {"paused": 1, "mapping": None, "name": None, "scheme": "stripe"}
    told = (await client.patch(path, json=changes, headers=any_version)).json()["errors"]
    assert [one["pointer"] for one in told] == ["/scheme", "/name", "/mapping", "/paused"]
    for seconds in (-1, 604_801, "1", 1.5, True):
        answer = await client.post(f"{path}/secret", json={"overlap_seconds": seconds})
        assert [one["pointer"] for one in answer.json()["errors"]] == ["/overlap_seconds"]
    for number in range(6):
        rotated = await client.post(f"{path}/secret", json={"overlap_seconds": 600 + number})
    assert len(rotated.json()["secrets"]) == 5


async def test_an_account_has_twenty_hooks_at_the_most(client: httpx.AsyncClient) -> None:
    new = {"name": "x", "scheme": "standard", "mapping": MAPPING}
    answers = await asyncio.gather(*(client.post(HOOKS, json=new) for _ in range(22)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [400] * 2
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"hook_limit_exceeded"}


async def test_a_dry_run_shows_what_a_body_becomes_and_sends_nothing(
    client: httpx.AsyncClient, producer: FakeProducer
) -> None:
    hook = await create(client)
    body = BODIES["standard"] | {"paid": "many"}
    by_hook = (await client.post(f"{HOOKS}/{hook['id']}/dry-run", json={"body": body})).json()
    by_mapping = (await client.post(f"{HOOKS}/dry-run", json={"mapping": MAPPING, "body": body})).json()
    assert (by_hook["call_id"], by_hook["errors"]) == ("1", [])
    assert [one["event"]["data"] for one in by_hook["events"]] == [
        {"contact_id": CONTACT, "tag_id": "t"},
        {"contact_id": CONTACT, "amount": "many"},
    ]
    assert [[error["pointer"] for error in one["errors"]] for one in by_hook["events"]] == [[], ["/data/amount"]]
    assert [one["event"]["data"] for one in by_mapping["events"]] == [one["event"]["data"] for one in by_hook["events"]]
    by_preset = (await client.post(f"{HOOKS}/dry-run", json={"preset": "calendly", "body": calendly_event()})).json()
    assert by_preset["events"][0]["event"]["event_type"] == "appointment.booked"
    nothing = (await client.post(f"{HOOKS}/dry-run", json={"preset": "calendly", "body": [1]})).json()
    assert nothing == {"call_id": None, "events": [], "errors": []}
    for wrong, pointer in (
        ({"body": 1}, "/mapping"),
        ({"body": 1, "mapping": MAPPING, "preset": "stripe"}, "/mapping"),
        ({"mapping": MAPPING}, "/body"),
        ({"body": 1, "preset": "x"}, "/preset"),
        ({"body": 1, "mapping": {"events": [{}]}}, "/mapping/events/0/event_type"),
        ({"body": 1, "preset": "stripe", "x": 1}, "/x"),
    ):
        answer = await client.post(f"{HOOKS}/dry-run", json=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    for content in (b"[1]", b"{", b"\xff"):
        answer = await client.post(f"{HOOKS}/dry-run", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 422
    assert producer.sent == []
    presets = (await client.get("/api/v1/hook-presets")).json()["presets"]
    assert [preset["name"] for preset in presets] == ["stripe", "calendly", "typeform"]


async def test_scopes_say_who_may_look_and_who_may_change(client: httpx.AsyncClient) -> None:
    hook = await create(client)
    path = f"{HOOKS}/{hook['id']}"
    for scope, may_read, may_write in (
        ("goals:read goals:write operator", 403, 403),
        ("webhooks:read", 200, 403),
        ("webhooks:write", 403, 200),
    ):
        headers = bearer(scope=scope) | {"if-match": "*"}
        assert (await client.get(path, headers=headers)).status_code == may_read
        assert (await client.patch(path, json={}, headers=headers)).status_code == may_write


async def test_without_a_key_there_are_no_hooks_and_the_setting_is_named(
    settings: Settings, api_database: Database, producer: FakeProducer
) -> None:
    app = create_app(
        settings.model_copy(update={"encryption_keys": None}), api_database, intake=Intake(producer, topic_prefix="")
    )
    headers = bearer(scope="webhooks:read webhooks:write") | {"if-match": "*"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as client:
        for method, path, body in (
            ("GET", HOOKS, None),
            ("POST", HOOKS, {}),
            ("GET", f"{HOOKS}/{new_id()}", None),
            ("PATCH", f"{HOOKS}/{new_id()}", {}),
            ("DELETE", f"{HOOKS}/{new_id()}", None),
            ("POST", f"{HOOKS}/{new_id()}/secret", {}),
            ("GET", f"{HOOKS}/{new_id()}/calls", None),
            ("POST", f"{HOOKS}/{new_id()}/dry-run", {"body": 1}),
            ("POST", f"{HOOKS}/dry-run", {"body": 1, "preset": "stripe"}),
            ("GET", "/api/v1/hook-presets", None),
            ("POST", f"/hooks/{hook_source(ACCOUNT, new_id())}", {}),
        ):
            answer = await client.request(method, path, json=body)
            assert answer.status_code == 503, path
            assert "GOALSTREAM_ENCRYPTION_KEYS is not set" in answer.json()["message"]
            assert answer.headers["retry-after"]
    await app.state.gate.close()


async def test_a_hook_whose_secrets_nobody_can_read_says_so_and_gets_another_secret(
    client: httpx.AsyncClient, app: FastAPI, producer: FakeProducer
) -> None:
    hook = await create(client)
    path = f"{HOOKS}/{hook['id']}"
    app.state.seal = Seal("YW5vdGhlciBrZXkgdGhhdCBoYXMgMzIgYnl0ZXMhISE=")
    shown = (await client.get(path)).json()
    assert (shown["secrets"], "no longer has" in shown["problem"]) == ([], True)
    body = written(BODIES["standard"])
    assert (await call(client, hook, body, sign_standard(body, at=now()))).status_code == 503
    assert (await client.patch(path, json={"name": "x"}, headers={"if-match": "*"})).status_code == 503
    assert (await client.post(f"{path}/secret", json={})).status_code == 503
    mended = (await client.post(f"{path}/secret", json={"overlap_seconds": 0})).json()
    assert mended["problem"] is None
    headers = sign_standard(body, secret=mended["secret"], at=now())
    assert (await call(client, hook, body, headers)).status_code == 202
    app.state.seal = Seal(ENCRYPTION_KEYS)
    assert (await client.delete(path)).status_code == 204


@pytest.mark.parametrize("change", ["scheme = 'of tomorrow'", """mapping = '{"version": 2}'"""])
async def test_what_a_newer_release_made_is_left_to_it(
    client: httpx.AsyncClient, database: Database, producer: FakeProducer, change: str
) -> None:
    hook = await create(client)
    async with database.transaction() as connection:
        await connection.execute(f"update hooks set {change}")
    body = written(BODIES["standard"])
    assert (await call(client, hook, body, sign_standard(body, at=now()))).status_code == 503
    assert producer.sent == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=9,
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["@", "*", "[]", "a.b", "&a", "`1e400`", "'\0'", "to_string(@)", "keys(@)", "sum(@)", "uuid(@)", "minor_units(@, @)",
     "from_unix(@)", "[@, @]", "{a: @}", "@ == @", "\u2028", "values(@) | [0]"]
)  # fmt: skip
RULES = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["contact.tag.added", "payment.completed", "contact.merged"]),
        "data": st.dictionaries(st.text(min_size=1, max_size=5), TEXTS, min_size=1, max_size=3),
    },
    optional={"when": TEXTS, "event_id": TEXTS, "timestamp": TEXTS},
)
MAPPINGS = (
    st.fixed_dictionaries({"events": st.lists(RULES, min_size=1, max_size=3)}, optional={"call_id": TEXTS}) | JSON
)


def test_no_mapping_and_no_body_whatsoever_is_a_failure(settings: Settings, database_url: str) -> None:
    """As it is tried, and as a hook whose calls are signed; what is a defect of ours would be raised here."""

    async def answered(mapping: object, body: object) -> None:
        api_database, intake = Database(database_url, size=1), Intake(FakeProducer(), topic_prefix="")
        app = create_app(settings, api_database, intake=intake)
        transport, headers = httpx.ASGITransport(app), bearer(scope="webhooks:read webhooks:write")
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
            tried = await client.post(f"{HOOKS}/dry-run", json={"mapping": mapping, "body": body})
            assert tried.status_code in (200, 422)
            new = {"name": "x", "scheme": "typeform", "mapping": mapping, "secret": SECRETS["typeform"]}
            created = await client.post(HOOKS, json=new)
            assert (created.status_code == 201) == (tried.status_code == 200)
            if created.status_code == 201:
                sent_body = json.dumps(body).encode()
                called = await call(client, created.json(), sent_body, sign_typeform(sent_body))
                assert called.status_code in (202, 422)
                is_sound = not tried.json()["errors"] and not any(one["errors"] for one in tried.json()["events"])
                assert (called.status_code == 202) == is_sound
                await client.delete(created.headers["location"])
        await api_database.close()
        await app.state.gate.close()

    @given(mapping=MAPPINGS, body=JSON)
    @hypothesis_settings(max_examples=20, suppress_health_check=list(HealthCheck))
    def holds(mapping: object, body: object) -> None:
        asyncio.run(answered(mapping, body))

    holds()

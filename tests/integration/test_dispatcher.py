"""Messages on their way to endpoints: good, slow and bad ones, retries, circuits, fairness, and deliverers that die."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from goalstream.domain.deliveries import FAILURES_TO_OPEN
from goalstream.domain.messages import GOAL_ACHIEVED_TOPIC, GOAL_EXIT_TOPIC, GOAL_REVOKED_TOPIC
from goalstream.domain.signing import SigningSecret, make_secret
from goalstream.storage.deliverers import Attempt, DeliveryQueue
from goalstream.storage.pool import Database
from goalstream.storage.sealing import Seal
from tests.certificates import Authority
from tests.integration.builders import new_id
from tests.integration.endpoints import SECRET, add_endpoint, message, running_dispatcher, send_all
from tests.services.receiver import Behaviour, Receiver, answer, dies, drips, never, running_receiver, says, slowly


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as found:
        yield found


def url(receiver: Receiver, path: str = "/") -> str:
    return f"http://127.0.0.1:{receiver.port}{path}"


async def test_a_message_arrives_as_kafka_has_it_and_the_library_verifies_it(
    database: Database, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, url(receiver))
    sent = message(endpoint.account_id)
    assert await DeliveryQueue(database).store([sent]) == 1
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
    (call,) = receiver.calls["/"]
    assert call.headers["webhook-id"] == sent.message.message_id
    assert Webhook(SECRET).verify(call.body, call.headers) == {
        "type": GOAL_ACHIEVED_TOPIC,
        "timestamp": sent.message.time.isoformat().replace("+00:00", "Z"),
        "data": json.loads(sent.message.body),
    }
    assert sent.message.body.encode() in call.body
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret(bytes(32))).verify(call.body, call.headers)
    (attempt,) = await endpoint.attempts(sent.message.message_id)
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (200, None, "ok")
    delivery = (await endpoint.deliveries())[sent.message.message_id]
    assert (delivery["state"], delivery["attempts"], delivery["next_attempt_at"]) == ("delivered", 1, None)
    assert await endpoint.is_idle()


async def test_while_a_secret_is_rotated_both_verify(database: Database, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    old, expired = make_secret(bytes(24)), make_secret(bytes([7] * 24))
    secrets = [
        SigningSecret(text=SECRET, added_at=now),
        SigningSecret(text=old, added_at=now, expires_at=now + timedelta(hours=1)),
        SigningSecret(text=expired, added_at=now, expires_at=now - timedelta(hours=1)),
    ]
    endpoint = await add_endpoint(database, url(receiver), secrets=secrets)
    await DeliveryQueue(database).store([message(endpoint.account_id)])
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
    (call,) = receiver.calls["/"]
    for secret in (SECRET, old):
        Webhook(secret).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(expired).verify(call.body, call.headers)


async def test_each_webhook_gets_what_it_wants_once_and_nothing_of_other_accounts_or_earlier(
    database: Database, receiver: Receiver
) -> None:
    ours = await add_endpoint(database, url(receiver, "/all"))
    exits = await add_endpoint(database, url(receiver, "/exits"), account_id=ours.account_id, topics=(GOAL_EXIT_TOPIC,))
    other = await add_endpoint(database, url(receiver, "/other"))
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    told = [
        message(ours.account_id),
        message(ours.account_id, topic=GOAL_EXIT_TOPIC),
        message(ours.account_id, topic=GOAL_REVOKED_TOPIC),
        message(ours.account_id, published_at=long_ago),
        message(new_id()),
    ]
    queue = DeliveryQueue(database)
    assert await queue.store(told) == 4
    assert await queue.store(told) == 0
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
        assert await queue.store(told) == 0
        await send_all(dispatcher)
    wanted = [one.message.message_id for one in told]
    assert sorted(receiver.ids("/all")) == sorted(wanted[:3])
    assert receiver.ids("/exits") == [wanted[1]]
    assert receiver.ids("/other") == []
    assert (await ours.states(), await exits.states(), await other.states()) == ({"delivered": 3}, {"delivered": 1}, {})


async def test_a_portion_of_which_nothing_is_a_message_of_ours_is_nothing(database: Database) -> None:
    assert await DeliveryQueue(database).store([]) == 0


async def test_a_backlog_is_how_long_a_webhook_waits_for_its_turn_and_not_how_slow_it_is(database: Database) -> None:
    queue = DeliveryQueue(database)
    assert (await queue.backlog()).age_seconds == 0
    endpoint = await add_endpoint(database, "https://example.com/")
    await queue.store([message(endpoint.account_id)])

    async def when(**columns: str) -> float:
        said = ", ".join(f"{name} = clock_timestamp() + interval '{value}'" for name, value in columns.items())
        async with database.transaction() as connection:
            await connection.execute(f"update webhooks set {said}")
        return (await queue.backlog()).age_seconds

    assert 60 <= await when(due_at="-60 seconds") < 70
    assert 20 <= await when(due_at="-60 seconds", served_at="-50 seconds", leased_until="-20 seconds") < 30
    assert await when(leased_until="20 seconds") == 0
    assert await when(due_at="60 seconds", served_at="-50 seconds", leased_until="-20 seconds") == 0
    assert (await queue.backlog()).open_circuits == 0
    await when(circuit_open_until="60 seconds")
    assert (await queue.backlog()).open_circuits == 1


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        (says(answer(500, "we are sorry")), 500, "answers 500"),
        (says(answer(302, headers="location: http://127.0.0.1:1/\r\n")), 302, "answers 302"),
        (says(b"I am no HTTP at all\r\n\r\n"), None, "gives no whole answer in HTTP"),
        (dies, None, "gives no whole answer in HTTP"),
        (never, None, "no answer within 1 s"),
        (drips, None, "no answer within 1 s"),
    ],
    ids=["500", "redirect", "garbage", "dies", "never", "drips"],
)
async def test_what_fails_is_tried_again_later_and_says_why(
    database: Database, receiver: Receiver, behaviour: Behaviour, status: int | None, error: str
) -> None:
    receiver.behaviours["/"] = behaviour
    endpoint = await add_endpoint(database, url(receiver))
    sent = message(endpoint.account_id)
    await DeliveryQueue(database).store([sent])
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
        (attempt,) = await endpoint.attempts(sent.message.message_id)
        assert attempt["status"] == status
        assert error in attempt["error"]
        delivery = (await endpoint.deliveries())[sent.message.message_id]
        assert delivery["state"] == "pending"
        wait = delivery["next_attempt_at"] - delivery["give_up_at"] + timedelta(hours=24)
        assert timedelta(seconds=3.9) < wait < timedelta(seconds=30)
        assert (await endpoint.row())["due_at"] == delivery["next_attempt_at"]
        await send_all(dispatcher)
        assert len(await endpoint.attempts(sent.message.message_id)) == 1
        receiver.behaviours["/"] = says(answer(204))
        await endpoint.make_due()
        await send_all(dispatcher)
    assert await endpoint.states() == {"delivered": 1}
    assert set(receiver.ids("/")) == {sent.message.message_id}
    assert (await endpoint.row())["failures_in_a_row"] == 0


async def test_an_answer_without_end_is_cut_off_and_counts_by_its_status(
    database: Database, receiver: Receiver
) -> None:
    receiver.behaviours["/"] = says(answer(200, "x" * 1_000_000))
    endpoint = await add_endpoint(database, url(receiver))
    sent = message(endpoint.account_id)
    await DeliveryQueue(database).store([sent])
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
    (attempt,) = await endpoint.attempts(sent.message.message_id)
    assert (attempt["status"], attempt["answer"]) == (200, "x" * 1_000)


async def test_an_endpoint_may_ask_for_time(database: Database, receiver: Receiver) -> None:
    receiver.behaviours["/"] = says(answer(503, headers="retry-after: 3600\r\n"))
    endpoint = await add_endpoint(database, url(receiver))
    await DeliveryQueue(database).store([message(endpoint.account_id)])
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
    (delivery,) = (await endpoint.deliveries()).values()
    wait = delivery["next_attempt_at"] - delivery["give_up_at"] + timedelta(hours=24)
    assert timedelta(minutes=59) < wait < timedelta(minutes=73)


async def test_after_a_day_it_is_parked_and_after_410_the_webhook_is_paused(
    database: Database, receiver: Receiver
) -> None:
    receiver.behaviours["/"] = says(answer(500))
    receiver.behaviours["/gone"] = says(answer(410))
    endpoint, gone = await add_endpoint(database, url(receiver)), await add_endpoint(database, url(receiver, "/gone"))
    queue = DeliveryQueue(database)
    await queue.store([message(endpoint.account_id), message(gone.account_id)])
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
        async with database.connection() as connection:
            await connection.execute(
                "update webhook_deliveries set give_up_at = clock_timestamp() where webhook_id = $1",
                endpoint.webhook_id,
            )
        await endpoint.make_due()
        await send_all(dispatcher)
        await queue.store([message(gone.account_id)])
        await send_all(dispatcher)
    (delivery,) = (await endpoint.deliveries()).values()
    assert (delivery["state"], delivery["attempts"], delivery["next_attempt_at"]) == ("parked", 2, None)
    assert await gone.states() == {"pending": 2}
    assert (await gone.row())["is_paused"]
    assert len(receiver.calls["/gone"]) == 1
    async with database.connection() as connection:
        entries = await connection.fetch(
            "select actor, action, after::text from audit where account_id = $1", gone.account_id
        )
    assert [(entry["actor"], entry["action"]) for entry in entries] == [("goalstream", "webhook_changed")]


async def test_the_circuit_opens_and_one_message_is_tried_before_the_others(
    database: Database, receiver: Receiver
) -> None:
    receiver.behaviours["/"] = says(answer(500))
    endpoint = await add_endpoint(database, url(receiver))
    queue = DeliveryQueue(database)
    await queue.store([message(endpoint.account_id) for _ in range(39)])
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
        tried = len(receiver.calls["/"])
        assert FAILURES_TO_OPEN <= tried < 2 * FAILURES_TO_OPEN
        row = await endpoint.row()
        assert row["failures_in_a_row"] == tried
        assert row["due_at"] == row["circuit_open_until"] > datetime.now(UTC) + timedelta(seconds=20)
        await queue.store([message(endpoint.account_id)])  # what is new waits as well
        await send_all(dispatcher)
        assert len(receiver.calls["/"]) == tried
        await endpoint.make_due()
        await send_all(dispatcher)
        assert len(receiver.calls["/"]) == tried + 1
        receiver.behaviours["/"] = says(answer(200))
        await endpoint.make_due()
        await send_all(dispatcher)
    assert await endpoint.states() == {"delivered": 40}
    row = await endpoint.row()
    assert (row["failures_in_a_row"], row["circuit_open_until"]) == (0, None)


async def test_a_turn_holds_no_more_than_it_has_room_for(database: Database, receiver: Receiver) -> None:
    endpoint = await add_endpoint(database, url(receiver))
    queue = DeliveryQueue(database)
    await queue.store([message(endpoint.account_id, body=f'"{"x" * 1_000}"') for _ in range(10)])
    lease = await queue.lease(new_id(), seconds=30, without=())
    assert lease is not None
    assert [len(await queue.due(lease, 50, most_bytes=most)) for most in (1, 1_002, 1_003, 5_000, 20_000)] == [
        1,
        1,
        2,
        5,
        10,
    ]
    assert len(await queue.due(lease, 3, most_bytes=20_000)) == 3


async def test_who_is_gone_under_another_address_is_not_paused(database: Database, receiver: Receiver) -> None:
    receiver.behaviours["/"] = says(answer(410))
    endpoint = await add_endpoint(database, url(receiver))
    queue = DeliveryQueue(database)
    await queue.store([message(endpoint.account_id)])
    lease = await queue.lease(new_id(), seconds=30, without=())
    assert lease is not None
    async with database.transaction() as connection:
        await connection.execute(
            "update webhooks set url = 'https://new.example/', lease = null, leased_until = '-infinity'"
        )
    (delivery,) = await queue.due(lease, 1, most_bytes=1)
    attempt = Attempt(url=lease.url, headers={}, duration_seconds=0, status=410, error="answers 410", answer="")
    await queue.note(lease, delivery, attempt, delay_seconds=1)
    assert not (await endpoint.row())["is_paused"]


async def test_a_slow_endpoint_gets_few_requests_at_once_and_delays_nobody(
    database: Database, receiver: Receiver
) -> None:
    receiver.behaviours["/slow"] = slowly(0.5)
    slow, quick = (
        await add_endpoint(database, url(receiver, "/slow")),
        await add_endpoint(database, url(receiver, "/quick")),
    )
    queue = DeliveryQueue(database)
    await queue.store([message(slow.account_id) for _ in range(30)])
    async with running_dispatcher(database) as dispatcher:
        await dispatcher.dispatch()
        await queue.store([message(quick.account_id) for _ in range(30)])
        await dispatcher.dispatch()
        while len(receiver.calls["/quick"]) < 30:
            await dispatcher.wait()
        assert len(receiver.calls["/slow"]) < 30
        await send_all(dispatcher)
    assert receiver.most_at_once["/slow"] == 5
    assert await slow.states() == {"delivered": 30}


async def test_an_account_with_many_bad_endpoints_leaves_turns_for_others(
    database: Database, receiver: Receiver
) -> None:
    receiver.behaviours["/never"] = never
    account_id = new_id()
    for _ in range(16):
        await add_endpoint(database, url(receiver, "/never"), account_id=account_id)
    good = await add_endpoint(database, url(receiver, "/good"))
    queue = DeliveryQueue(database)
    await queue.store([message(account_id)])
    await queue.store([message(good.account_id)])
    async with running_dispatcher(database, concurrency=16) as dispatcher:
        await dispatcher.dispatch()
        assert len(dispatcher.turns) == 3
        while not (await good.states()).get("delivered"):
            await dispatcher.wait()
        assert len(receiver.calls["/never"]) <= 2


async def test_what_a_dead_deliverer_had_in_hand_is_sent_again_once_its_lease_is_over(
    database: Database, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, url(receiver))
    queue, sent = DeliveryQueue(database), message(endpoint.account_id)
    await queue.store([sent])
    lease = await queue.lease(new_id(), seconds=30, without=())
    assert lease is not None
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
        assert receiver.calls["/"] == []
        async with database.connection() as connection:
            await connection.execute("update webhooks set leased_until = clock_timestamp()")
        await send_all(dispatcher)
    assert receiver.ids("/") == [sent.message.message_id]
    await queue.release(lease, failures_in_a_row=9)  # who comes late has no say any more
    assert (await endpoint.row())["failures_in_a_row"] == 0


async def test_what_comes_while_a_lease_ends_is_never_overlooked(database: Database, receiver: Receiver) -> None:
    endpoint = await add_endpoint(database, url(receiver))
    queue = DeliveryQueue(database)
    async with running_dispatcher(database) as dispatcher:
        for _ in range(60):
            sending = asyncio.create_task(send_all(dispatcher))
            await queue.store([message(endpoint.account_id)])
            await sending
        await send_all(dispatcher)
    assert await endpoint.states() == {"delivered": 60}


async def test_with_a_key_that_is_gone_nothing_is_sent_and_the_log_says_so(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Log:
        def bind(self, **_: object) -> Log:
            return self

        def error(self, event: str, **fields: str) -> None:
            said.append(f"{event}: {fields['error']}")

    monkeypatch.setattr("goalstream.webhooks.dispatcher.log", Log())
    other = Seal("b" * 43 + "=")
    endpoint = await add_endpoint(database, url(receiver), seal=other)
    await DeliveryQueue(database).store([message(endpoint.account_id)])
    async with running_dispatcher(database) as dispatcher:
        await send_all(dispatcher)
    assert receiver.calls["/"] == []
    assert said == [
        f"webhook_not_sent: the secrets of webhook {endpoint.webhook_id} were encrypted with a key that"
        " GOALSTREAM_ENCRYPTION_KEYS no longer has"
    ]


async def test_tls_is_verified_by_name_and_authority(database: Database, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "good")
    for name, host, ca, error in (
        ("localhost", "localhost", authority, None),
        ("elsewhere", "localhost", authority, "certificate that is not taken"),
        ("localhost", "localhost", Authority(tmp_path / "bad"), "certificate that is not taken"),
    ):
        certificate = authority.certificate(f"server-{name}", name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file, certificate.key_file)
        async with running_receiver(context) as receiver:
            endpoint = await add_endpoint(database, f"https://{host}:{receiver.port}/")
            sent = message(endpoint.account_id)
            await DeliveryQueue(database).store([sent])
            async with running_dispatcher(database, webhook_ssl_ca_file=str(ca.file)) as dispatcher:
                await send_all(dispatcher)
        (attempt,) = await endpoint.attempts(sent.message.message_id)
        assert attempt["status"] == (200 if error is None else None)
        assert (error or "") in (attempt["error"] or "")

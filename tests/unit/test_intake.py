"""Events that come over HTTP: what is accepted is what a worker takes, of the token's account, and acknowledged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream import intake
from goalstream.api.events import Outcome
from goalstream.domain.events import Event
from goalstream.errors import BrokerUnavailable, InvalidRecord, TooLargeForKafka
from goalstream.intake import Intake
from goalstream.streams.codec import decode
from goalstream.streams.producer import Outgoing
from goalstream.streams.topics import READ_TOPICS
from tests.unit.streams.fakes import FakeProducer
from tests.unit.streams.records import ACCOUNT, CONTACT, NOON_MS, FakeRecord

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = sorted(
    path
    for topic in READ_TOPICS
    for kind in ("valid", "invalid")
    for path in (SCHEMAS / topic / "examples" / kind).glob("*.json")
)
TAG: dict[str, Any] = {
    "event_type": "contact.tag.added",
    "event_id": "e1",
    "data": {"contact_id": CONTACT, "tag_id": "t"},
}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass
class Stage:
    """An intake before a producer that remembers."""

    producer: FakeProducer
    intake: Intake

    async def tell(self, *documents: object, traceparent: str | None = None) -> Sequence[Outcome]:
        told = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in documents]
        return await self.intake.accept(ACCOUNT, told, traceparent=traceparent)


@pytest.fixture
def stage() -> Stage:
    producer = FakeProducer()
    return Stage(producer, Intake(producer, topic_prefix="pre."))


def as_a_worker_reads(sent: Outgoing) -> object:
    topic, key, value, headers = sent
    record = FakeRecord(value=value, key=key, headers=headers, timestamp=NOON_MS)
    return decode(topic.removeprefix("pre."), record)


async def test_an_event_is_sent_as_it_is_with_its_account_key_and_trace(stage: Stage) -> None:
    document = (
        b'{"event_type": "contact.tag.added", "data": {"contact_id": "%s", "amount": 1.50} }\n' % CONTACT.encode()
    )
    (outcome,) = await stage.tell(document, traceparent=TRACEPARENT)
    assert outcome == Outcome(None, "contact.tag.added", [])
    ((topic, key, value, headers),) = stage.producer.sent
    assert (topic, key, headers) == ("pre.contact.tag.added", CONTACT.encode(), [("traceparent", TRACEPARENT.encode())])
    assert value == document.rstrip()[:-1].rstrip() + b',"account_id":"%s"}' % ACCOUNT.encode()
    event = as_a_worker_reads(stage.producer.sent[0])
    assert isinstance(event, Event)
    assert (event.account_id, event.traceparent) == (ACCOUNT, TRACEPARENT)


async def test_what_is_no_traceparent_does_not_go_along(stage: Stage) -> None:
    await stage.tell(TAG, traceparent="nonsense")
    assert stage.producer.sent[0][3] == []


@pytest.mark.parametrize("account", [None, ACCOUNT, ACCOUNT.upper()])
@pytest.mark.parametrize("names", [("account_id", "event_type", "event_id"), ("accountid", "type", "id")])
async def test_an_event_is_of_the_tokens_account(
    stage: Stage, account: str | None, names: tuple[str, str, str]
) -> None:
    account_name, type_name, id_name = names
    document = {type_name: TAG["event_type"], id_name: "e1", "data": TAG["data"], account_name: account}
    if type_name == "type":
        document["specversion"] = "1.0"
    (outcome,) = await stage.tell(document)
    assert outcome.problems == []
    event = as_a_worker_reads(stage.producer.sent[0])
    assert isinstance(event, Event)
    assert event.account_id == ACCOUNT


async def test_what_is_wrong_is_told_and_not_sent(stage: Stage) -> None:
    other = {"account_id": "0a000000-0000-4000-8000-0000000000ff"}
    outcomes = await stage.tell(
        TAG,
        b"nonsense",
        TAG | other,
        TAG | {"event_type": "workflow.goal.achieved"},
        {"data": {}},
        TAG | {"data": {"contact_id": 7}},
        {},
    )
    assert [[problem.pointer for problem in outcome.problems] for outcome in outcomes] == [
        [], [""], ["/account_id"], ["/event_type"], ["/event_type"], ["/data/contact_id"], ["/event_type"],
    ]  # fmt: skip
    assert len(stage.producer.sent) == 1
    assert outcomes[0].event_id == outcomes[5].event_id == "e1"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parents[2].name}/{path.parent.name}/{path.stem}")
async def test_what_is_accepted_is_what_a_worker_takes(stage: Stage, path: Path) -> None:
    await holds(stage, path.read_bytes())  # noqa: ASYNC240 - a small file


async def holds(stage: Stage, document: bytes) -> None:
    """Accepted, and a worker takes what was sent; or refused with a reason, and nothing was sent."""
    (outcome,) = await stage.tell(document)
    if outcome.problems:
        assert stage.producer.sent == []
        assert all(problem.message for problem in outcome.problems)
    else:
        as_a_worker_reads(stage.producer.sent[0])


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([CONTACT, ACCOUNT, "1.50", "2026-03-10"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        "contact_id",
        "tag_id",
        "amount",
        "currency",
        "product_ids",
        "enrollment_id",
        "workflow_id",
        "status",
        "kind",
        "id",
    ]
)


@given(
    topic=st.sampled_from(READ_TOPICS),
    data=st.dictionaries(NAMES, VALUES, max_size=4) | VALUES,
    more=st.dictionaries(st.sampled_from(["event_id", "timestamp", "account_id", "specversion"]), VALUES, max_size=2),
)
async def test_whatever_is_accepted_is_what_a_worker_takes(topic: str, data: object, more: dict[str, Any]) -> None:
    producer = FakeProducer()
    named = {"contact_id": CONTACT, **data} if isinstance(data, dict) else data
    document = json.dumps({"event_type": topic, "type": topic, "data": named, **more}).encode()
    await holds(Stage(producer, Intake(producer, topic_prefix="pre.")), document)


def test_a_worker_would_refuse_some_of_it() -> None:
    with pytest.raises(InvalidRecord):
        as_a_worker_reads(("contact.tag.added", None, b"{}", []))


async def test_nothing_is_accepted_that_kafka_has_not_acknowledged(stage: Stage) -> None:
    stage.producer.failures = [BrokerUnavailable("away")]
    with pytest.raises(BrokerUnavailable):
        await stage.tell(TAG)
    stage.producer.failures = [TooLargeForKafka(too_large=[1], acknowledged=[])]
    with pytest.raises(BrokerUnavailable):
        await stage.tell(TAG, TAG)
    stage.producer.failures = [TooLargeForKafka(too_large=[1], acknowledged=[0])]
    outcomes = await stage.tell(TAG, b"[]", TAG)
    assert [bool(outcome.problems) for outcome in outcomes] == [False, True, True]


async def test_beyond_what_may_be_in_flight_somebody_comes_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_BYTES_IN_FLIGHT", 10)
    await stage.tell(TAG)  # alone it may be larger

    async def send(_: Sequence[Outgoing]) -> None:
        with pytest.raises(BrokerUnavailable):
            await stage.tell(TAG)

    monkeypatch.setattr(stage.producer, "send", send)
    await stage.tell(TAG)
    monkeypatch.undo()
    await stage.tell(TAG)

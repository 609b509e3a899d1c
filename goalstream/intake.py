"""Events that come over HTTP, on their way to Kafka: held against their contracts, given their account, and acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goalstream.api.events import Outcome
from goalstream.config import Settings
from goalstream.contracts import problems_in
from goalstream.domain.traces import valid_trace
from goalstream.errors import BrokerUnavailable, InvalidRecord, Problem, TooLargeForKafka
from goalstream.observability.metrics import EVENTS_RECEIVED
from goalstream.streams.connection import Kafka
from goalstream.streams.envelope import parse_object
from goalstream.streams.producer import Header, Outgoing, Producer
from goalstream.streams.send import key_of
from goalstream.streams.topics import READ_TOPICS

MOST_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Of a process; whoever comes beyond it is told to come again."""

UNKNOWN = "unknown"
"""The topic of what tells none that is read, for the metric."""


class Intake:
    """Takes events for the API. As many processes as there are may do so at once."""

    def __init__(self, producer: Producer, *, topic_prefix: str) -> None:
        self._producer = producer
        self._topic_prefix = topic_prefix
        self._bytes_in_flight = 0
        for topic in (*READ_TOPICS, UNKNOWN):
            for outcome in ("accepted", "refused"):
                EVENTS_RECEIVED.labels(topic, outcome)

    def check(self, account_id: str, documents: Sequence[bytes]) -> Sequence[Outcome]:
        """As `goalstream.api.events.Intake` says."""
        checked = (_checked(account_id, document) for document in documents)
        return [Outcome(one.event_id, one.topic, one.problems) for one in checked]

    async def accept(
        self, account_id: str, documents: Sequence[bytes], *, traceparent: str | None
    ) -> Sequence[Outcome]:
        """As `goalstream.api.events.Intake` says."""
        checked = [_checked(account_id, document) for document in documents]
        trace = valid_trace(traceparent)
        headers: list[Header] = [] if trace is None else [("traceparent", trace.encode())]
        sound = [position for position, one in enumerate(checked) if not one.problems]
        too_large = await self._send([checked[position].record(self._topic_prefix, headers) for position in sound])
        for position in too_large:
            checked[sound[position]].problems.append(Problem("", "is larger than its topic takes"))
        for one in checked:
            EVENTS_RECEIVED.labels(one.topic or UNKNOWN, "refused" if one.problems else "accepted").inc()
        return [Outcome(one.event_id, one.topic, one.problems) for one in checked]

    async def close(self) -> None:
        """Ends the connections to Kafka."""
        await self._producer.close()

    async def _send(self, records: Sequence[Outgoing]) -> Sequence[int]:
        """Sends records; the positions of those that are too large. Raises BrokerUnavailable."""
        if not records:
            return ()
        size = sum(len(value or b"") for _, _, value, _ in records)
        if self._bytes_in_flight and self._bytes_in_flight + size > MOST_BYTES_IN_FLIGHT:
            raise BrokerUnavailable("too many events wait for Kafka")
        self._bytes_in_flight += size
        try:
            await self._producer.send(records)
        except TooLargeForKafka as error:
            if len(error.too_large) + len(error.acknowledged) < len(records):
                raise
            return error.too_large
        finally:
            self._bytes_in_flight -= size
        return ()


def intake_of(settings: Settings) -> Intake:
    """Takes events for the Kafka that is set; connections are made when they are first needed."""
    return Intake(Producer(Kafka.of(settings)), topic_prefix=settings.kafka_topic_prefix)


class _Checked(NamedTuple):
    """An event, what it tells of itself, and what is wrong with it."""

    document: bytes
    event_id: str | None
    topic: str | None
    key: bytes | None
    problems: list[Problem]

    def record(self, prefix: str, headers: list[Header]) -> Outgoing:
        return f"{prefix}{self.topic}", self.key, self.document, headers


def _checked(account_id: str, document: bytes) -> _Checked:
    try:
        event = parse_object(document)
    except InvalidRecord as error:
        return _Checked(document, None, None, None, [Problem("", str(error))])
    is_cloudevent = "specversion" in event
    account_name, type_name, id_name = (
        ("accountid", "type", "id") if is_cloudevent else ("account_id", "event_type", "event_id")
    )
    event_id = event.get(id_name) if isinstance(event.get(id_name), str) else None
    topic = event.get(type_name)
    if not isinstance(topic, str) or topic not in READ_TOPICS:
        told = f"{topic!r:.80} is none of: {', '.join(READ_TOPICS)}"
        return _Checked(document, event_id, None, None, [Problem(f"/{type_name}", told)])
    found: list[Problem] = []
    account = event.get(account_name)
    if account is None:
        event[account_name] = account_id
        document = _with_account(document, account_name, account_id)
    elif not _is_same(account, account_id):
        found.append(Problem(f"/{account_name}", "is another account than the token's"))
    return _Checked(document, event_id, topic, key_of(event), found or problems_in(event, document, topic))


def _with_account(document: bytes, name: str, account_id: str) -> bytes:
    """The document as it was sent, with the account as its last member: of two members with one name the last holds."""
    rest = document.rstrip()[:-1].rstrip()
    separator = b"" if rest.endswith(b"{") else b","
    return rest + separator + f'"{name}":"{account_id}"}}'.encode()


def _is_same(account: Any, account_id: str) -> bool:
    return isinstance(account, str) and account.lower() == account_id

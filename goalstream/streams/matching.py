"""From records to facts: a poll of a topic is read, and its events are matched by the goals in force when they occurred."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from goalstream.domain.events import Event
from goalstream.domain.facts import Match
from goalstream.domain.goals import GoalVersion
from goalstream.observability import metrics
from goalstream.observability.traces import UNTRACED, Traces
from goalstream.streams.codec import Decoded, decode
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.frame import canonical_json
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.in_hand import InHand, Told
from goalstream.streams.outlines import outline_of
from goalstream.streams.ports import Batch, Partition, Record
from goalstream.streams.topics import EVENT_TOPICS
from goalstream.streams.usual import Usual, usual_reader

log = structlog.get_logger()


class _Read(NamedTuple):
    """What records tell: usual events by partition, of which only the outlines are known, and everything else."""

    usual: dict[Partition, Usual]
    others: list[tuple[Partition, Record, Decoded]]


class Matcher:
    """Finds out what records tell; it changes nothing, and is safe to repeat."""

    def __init__(
        self, goals: GoalCache, retry: RetryInPlace, *, allowed_lateness: timedelta, traces: Traces = UNTRACED
    ) -> None:
        self._goals = goals
        self._traces = traces
        self._retry = retry
        self._allowed_lateness = allowed_lateness
        self._usual_readers = {topic: usual_reader(topic) for topic in EVENT_TOPICS}

    async def match(self, topic: str, batch: Batch) -> InHand:
        """Reads one poll of a topic and finds out what it tells; nothing has happened yet. Waits for PostgreSQL."""
        hand = InHand(topic, batch)
        await self._match(hand, self._read(hand))
        return hand

    def _read(self, hand: InHand) -> _Read:
        read = _Read({}, [])
        read_usual = self._usual_readers.get(hand.topic)
        for partition, records in hand.batch.items():
            others = records
            if read_usual is not None:
                try:
                    read.usual[partition] = read_usual(records)
                    others = read.usual[partition].others
                except Exception:
                    log.exception("usual_reader_failed", topic=hand.topic)
            for record in others:
                try:
                    read.others.append((partition, record, decode(hand.topic, record)))
                except Exception as error:  # noqa: BLE001 - a defect of ours too: kept as a dead letter, never lost
                    hand.refuse(partition, record, error)
        return read

    async def _match(self, hand: InHand, read: _Read) -> None:
        """Adds the facts that records tell: for an event, its matches by the goal versions in force when it occurred."""
        events = [(partition, record, event) for partition, record, event in read.others if isinstance(event, Event)]
        hand.told += [Told(where, record, [fact]) for where, record, fact in read.others if not isinstance(fact, Event)]
        newest = [event.occurred_at for _, _, event in events]
        newest += [usual.newest for usual in read.usual.values() if usual.newest is not None]
        if not newest:
            return
        horizon = await self._retry(
            "refresh_goals", lambda: self._goals.complete_for(max(newest), lambda: list(_moments(hand.topic, read)))
        )
        table = self._goals.table
        could_match = table.screen(hand.topic)
        for partition, usual in read.usual.items():
            for record, raw in zip(usual.records, usual.outlines, strict=True):
                try:
                    if could_match(raw.account_id, raw.occurrence) and (
                        versions := table.match(outline_of(raw, hand.topic, record))
                    ):
                        whole = _whole(hand.topic, record)
                        hand.told.append(self._tell(hand, partition, record, whole, versions, horizon))
                except Exception as error:  # noqa: BLE001 - as above
                    hand.refuse(partition, record, error)
        for partition, record, event in events:
            try:
                if versions := table.match(event):
                    hand.told.append(self._tell(hand, partition, record, event, versions, horizon))
            except Exception as error:  # noqa: BLE001 - as above
                hand.refuse(partition, record, error)
        self._count_matches(hand.told)

    def _tell(
        self,
        hand: InHand,
        partition: Partition,
        record: Record,
        event: Event,
        versions: Sequence[GoalVersion],
        horizon: datetime,
    ) -> Told:
        """What an event tells that fulfils goals; from here on its trace goes with the facts."""
        place = (*partition, record.offset)
        span = self._traces.record(place, event, versions, seconds=time.monotonic() - hand.began)
        traceparent = event.traceparent if span is None else span.traceparent
        data = canonical_json(event.data)
        return Told(partition, record, [_fact(event, one, horizon, data, traceparent) for one in versions], span)

    def _count_matches(self, told: Sequence[Told]) -> None:
        matches = [fact for item in told for fact in item.facts if isinstance(fact, Match)]
        for goal_type, count in Counter(fact.goal_type for fact in matches).items():
            metrics.MATCHES.labels(goal_type).inc(count)
        metrics.CLOCK_AHEAD.inc(sum(fact.clock_ahead for fact in matches))
        too_late = [fact for fact in matches if fact.record_at - fact.occurred_at > self._allowed_lateness]
        metrics.TOO_LATE.inc(len(too_late))
        for fact in too_late:
            log.info("too_late", account=fact.account_id, event_id=fact.event_id, goal=fact.goal_id)


def _moments(topic: str, read: _Read) -> Iterator[datetime]:
    """When each event happened."""
    for _, _, item in read.others:
        if isinstance(item, Event):
            yield item.occurred_at
    for usual in read.usual.values():
        for record, raw in zip(usual.records, usual.outlines, strict=True):
            yield outline_of(raw, topic, record).occurred_at


def _whole(topic: str, record: Record) -> Event:
    """The event of which only the outline was read. Raises InvalidRecord."""
    event = decode(topic, record)
    assert isinstance(event, Event)  # noqa: S101 - narrows: only event topics have outlines
    return event


def _fact(event: Event, version: GoalVersion, horizon: datetime, data: str, traceparent: str | None) -> Match:
    return Match(
        account_id=event.account_id,
        contact_id=event.contact_id,
        workflow_id=version.workflow_id,
        goal_id=version.goal_id,
        goal_version=version.version,
        goal_type=version.goal_type,
        source=event.source,
        event_id=event.event_id,
        event_type=event.event_type,
        occurred_at=event.occurred_at,
        occurred_at_source=event.occurred_at_source,
        clock_ahead=event.occurred_at > horizon,
        record_at=event.record_at,
        data=data,
        traceparent=traceparent,
    )

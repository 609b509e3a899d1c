"""The straight path of a batch: records → events → matches → settle → messages. The caller acknowledges afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from goalstream.domain.achievements import Action, Change
from goalstream.domain.events import Event
from goalstream.domain.facts import Fact, Match
from goalstream.domain.goal_table import in_force
from goalstream.domain.goals import GoalVersion
from goalstream.errors import InvalidRecord, RefusedByDatabase
from goalstream.observability import metrics
from goalstream.streams.codec import Decoded, decode
from goalstream.streams.dead_letters import DeadLetter, DeadLetters, RecordId
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.frame import canonical_json
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.ports import Batch, Ledger, Partition, Record, Settled
from goalstream.streams.publisher import Publisher
from goalstream.streams.together import Together
from goalstream.streams.topics import EVENT_TOPICS
from goalstream.streams.usual import Usual, occurred_at, usual_reader

log = structlog.get_logger()

FULL_POLL = 500
"""Records of a poll that was full, or nearly so: a worker that keeps up sees a few dozen."""


class Told(NamedTuple):
    """A record, and the facts that it tells; an event without a match tells none."""

    partition: Partition
    record: Record
    facts: list[Fact]


@dataclass(slots=True)
class InHand:
    """A poll of a topic on its way: the dead letters in it so far, what it tells, and whether that is settled."""

    topic: str
    batch: Batch
    letters: dict[RecordId, DeadLetter]
    told: list[Told]
    is_settled: bool = False
    error: Exception | None = None

    def refuse(self, partition: Partition, record: Record, error: Exception) -> None:
        """A record that cannot be processed becomes a dead letter."""
        letter = _letter(partition, record, error)
        self.letters[letter.record_id] = letter


class _Read(NamedTuple):
    """What records tell: usual events by partition, of which only the outlines are known, and everything else."""

    usual: dict[Partition, Usual]
    others: list[tuple[Partition, Record, Decoded]]


class Processor:
    """Processes batches of records; safe to repeat with the same batch."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        goals: GoalCache,
        publisher: Publisher,
        dead_letters: DeadLetters,
        retry: RetryInPlace,
        allowed_lateness: timedelta,
    ) -> None:
        self._ledger = ledger
        self._goals = goals
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._retry = retry
        self._allowed_lateness = allowed_lateness
        self._together = Together(self._store_and_settle)
        self._usual_readers = {topic: usual_reader(topic) for topic in EVENT_TOPICS}

    async def process(self, topic: str, batch: Batch) -> None:
        """Processes one poll of a topic. When it returns, PostgreSQL has committed everything the records tell.

        Waits as long as PostgreSQL or Kafka is away. Raises TooManyDeadLetters.
        """
        hand = await self.match(topic, batch)
        await self.settle(hand)
        await self.finish(hand)

    async def match(self, topic: str, batch: Batch) -> InHand:
        """Reads one poll of a topic and finds out what it tells; nothing has happened yet. Waits for PostgreSQL."""
        hand = InHand(topic, batch, {}, [])
        await self._match(hand, self._read(hand))
        return hand

    async def settle(self, hand: InHand) -> None:
        """Settles what a poll tells together with what others have at this moment; several polls may be settled at once."""
        if not hand.told:
            hand.is_settled = True
            return
        try:
            hand.is_settled = await self._together.submit(_facts(hand.told), can_wait=_is_full(hand.batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, only the record that causes it is set aside
            hand.error = error

    async def finish(self, hand: InHand) -> None:
        """Settles alone what failed with others, and sets aside what fails alone; polls of a topic in their order.

        Raises TooManyDeadLetters before anything is set aside, where it would be beyond a limit.
        """
        await self._set_aside(hand, list(hand.letters.values()))
        if hand.error is not None:
            await self._isolate(hand, hand.told, hand.error)
        elif not hand.is_settled:
            await self._settle_alone(hand, hand.told)
        self._dead_letters.count(hand.batch, hand.letters)
        metrics.RECORDS.labels(hand.topic, "valid").inc(sum(map(len, hand.batch.values())) - len(hand.letters))
        metrics.RECORDS.labels(hand.topic, "dead_letter").inc(len(hand.letters))

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
            "refresh_goals", lambda: self._goals.complete_for(max(newest), lambda: list(_moments(read)))
        )
        table = self._goals.table
        find = table.finder(hand.topic)
        for partition, usual in read.usual.items():
            for record, outline in zip(usual.records, usual.outlines, strict=True):
                try:
                    entries = find(outline.account_id, outline.occurrence)
                    if entries and in_force(entries, occurred_at(outline, record)):
                        events.append((partition, record, _whole(hand.topic, record)))
                except Exception as error:  # noqa: BLE001 - as above
                    hand.refuse(partition, record, error)
        for partition, record, event in events:
            try:
                if versions := table.match(event):
                    hand.told.append(Told(partition, record, _matches(event, versions, horizon)))
            except Exception as error:  # noqa: BLE001 - as above
                hand.refuse(partition, record, error)
        self._count_matches(hand.told)

    async def _settle_alone(self, hand: InHand, told: list[Told]) -> None:
        try:
            await self._store_and_settle(_facts(told))
        except Exception as error:  # noqa: BLE001 - as above
            await self._isolate(hand, told, error)

    async def _store_and_settle(self, facts: Sequence[Fact]) -> None:
        """Two transactions, the same for every kind of fact. Safe to repeat after any crash."""
        await self._retry("store", lambda: self._ledger.store(facts))
        settled = await self._retry("settle", lambda: self._ledger.settle(facts))
        _report(settled)
        await self._publisher.hand_over(settled.messages)

    async def _isolate(self, hand: InHand, told: list[Told], error: Exception) -> None:
        """Finds the record for which settling fails by halving, sets it aside, and settles all the others."""
        suspects = told
        others: list[Told] = []
        while len(suspects) > 1:
            half = len(suspects) // 2
            try:
                await self._store_and_settle(_facts(suspects[:half]))
                suspects = suspects[half:]
            except Exception:  # noqa: BLE001 - the search goes on
                suspects, others = suspects[:half], suspects[half:] + others
        (suspect,) = suspects
        if len(told) > 1:
            await self._settle_alone(hand, suspects)
        else:
            await self._set_aside(hand, [_letter(suspect.partition, suspect.record, error)])
        if others:
            await self._settle_alone(hand, others)

    async def _set_aside(self, hand: InHand, letters: Sequence[DeadLetter]) -> None:
        if letters:
            hand.letters.update((letter.record_id, letter) for letter in letters)
            self._dead_letters.check(hand.batch, hand.letters)
            await self._retry("dead_letter", lambda: self._dead_letters.send(letters))

    def _count_matches(self, told: Sequence[Told]) -> None:
        matches = [fact for item in told for fact in item.facts if isinstance(fact, Match)]
        for goal_type, count in Counter(fact.goal_type for fact in matches).items():
            metrics.MATCHES.labels(goal_type).inc(count)
        metrics.CLOCK_AHEAD.inc(sum(fact.clock_ahead for fact in matches))
        too_late = [fact for fact in matches if fact.record_at - fact.occurred_at > self._allowed_lateness]
        metrics.TOO_LATE.inc(len(too_late))
        for fact in too_late:
            log.info("too_late", account=fact.account_id, event_id=fact.event_id, goal=fact.goal_id)


def _is_full(batch: Batch) -> bool:
    """Whether there is more to read: then it costs no time to wait for others."""
    return sum(map(len, batch.values())) >= FULL_POLL


def _facts(told: Sequence[Told]) -> list[Fact]:
    return [fact for item in told for fact in item.facts]


def _moments(read: _Read) -> Iterator[datetime]:
    """When each event happened."""
    for _, _, item in read.others:
        if isinstance(item, Event):
            yield item.occurred_at
    for usual in read.usual.values():
        for record, outline in zip(usual.records, usual.outlines, strict=True):
            yield occurred_at(outline, record)


def _whole(topic: str, record: Record) -> Event:
    """The event of which only the outline was read. Raises InvalidRecord."""
    event = decode(topic, record)
    assert isinstance(event, Event)  # noqa: S101 - narrows: only event topics have outlines
    return event


def _matches(event: Event, versions: Sequence[GoalVersion], horizon: datetime) -> list[Fact]:
    data = canonical_json(event.data)
    return [_fact(event, version, horizon, data) for version in versions]


def _fact(event: Event, version: GoalVersion, horizon: datetime, data: str) -> Match:
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
        traceparent=event.traceparent,
    )


def _letter(partition: Partition, record: Record, error: Exception) -> DeadLetter:
    match error:
        case InvalidRecord():
            return DeadLetter(partition, record, error.reason, error.detail)
        case RefusedByDatabase():
            return DeadLetter(partition, record, "refused_by_database", str(error))
        case _:
            return _unexpected(partition, record, error)


def _unexpected(partition: Partition, record: Record, error: Exception) -> DeadLetter:
    """A defect of ours never stops the stream: the record is kept for the day it is mended."""
    topic, number = partition
    log.error(
        "unexpected",
        topic=topic,
        partition=number,
        offset=record.offset,
        error=type(error).__name__,
        exc_info=error,
    )
    return DeadLetter(partition, record, "unexpected", f"{type(error).__name__}: {error}")


def _report(settled: Settled) -> None:
    new = [change.achievement for change in settled.changes if _is_new(change)]
    metrics.EXITS.inc(sum(achievement.should_exit_workflow for achievement in new))
    kinds = Counter((change.achievement.match.goal_type, change.action) for change in settled.changes)
    for (goal_type, action), count in kinds.items():
        metrics.ACHIEVEMENTS.labels(goal_type, action).inc(count)
    for achievement in new:
        delay = (achievement.recorded_at - achievement.match.record_at).total_seconds()
        metrics.DECIDE_SECONDS.observe(max(delay, 0))
    for change in settled.changes:
        log.info(
            "achievement",
            action=change.action.value,
            account=change.achievement.account_id,
            enrollment=change.achievement.enrollment_id,
            goal=change.achievement.goal_id,
            event_id=change.achievement.match.event_id,
            revision=change.achievement.revision,
        )


def _is_new(change: Change) -> bool:
    return change.action in (Action.ACHIEVED, Action.RESTORED)

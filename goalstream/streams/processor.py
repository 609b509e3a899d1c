"""The straight path of a batch: records → events → matches → settle → messages. The caller acknowledges afterwards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter

import structlog

from goalstream.domain.achievements import Achievement, Action, Change
from goalstream.domain.facts import (
    ContactDeletion,
    ContactMerge,
    EnrollmentEnd,
    EnrollmentStart,
    Fact,
    Match,
    WorkflowStatus,
)
from goalstream.domain.traces import trace_id_of
from goalstream.observability import metrics
from goalstream.observability.traces import UNTRACED, Traces
from goalstream.streams.dead_letters import DeadLetter, DeadLetters, letter_about
from goalstream.streams.envelope import open_envelope, traceparent_of
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.in_hand import InHand, Told
from goalstream.streams.matching import Matcher
from goalstream.streams.ports import Batch, Ledger, Settled
from goalstream.streams.publisher import Origin, Publisher
from goalstream.streams.together import Together

log = structlog.get_logger()

FULL_POLL = 100
"""Records of a topic in a poll of many topics that was full, or nearly so: a worker that keeps up sees a few dozen."""


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
        traces: Traces = UNTRACED,
    ) -> None:
        self._ledger = ledger
        self._matcher = Matcher(goals, retry, allowed_lateness=allowed_lateness, traces=traces)
        self._traces = traces
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._retry = retry
        self._together = Together(self._store_and_settle)

    async def process(self, topic: str, batch: Batch) -> None:
        """Processes one poll of a topic. When it returns, PostgreSQL has committed everything the records tell.

        Waits as long as PostgreSQL or Kafka is away. Raises TooManyDeadLetters.
        """
        hand = await self.match(topic, batch)
        await self.settle(hand)
        await self.finish(hand)

    async def match(self, topic: str, batch: Batch) -> InHand:
        """Reads one poll of a topic and finds out what it tells; nothing has happened yet. Waits for PostgreSQL."""
        return await self._matcher.match(topic, batch)

    async def settle(self, hand: InHand) -> None:
        """Settles what a poll tells together with what others have at this moment; several polls may be settled at once."""
        if not hand.told:
            hand.is_settled = True
            return
        try:
            hand.is_settled = await self._together.submit(hand.facts, can_wait=_is_full(hand.batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, only the record that causes it is set aside
            hand.error = error

    async def finish(self, hand: InHand) -> None:
        """Settles alone what failed with others, and sets aside what fails alone; polls of a topic in their order.

        Raises TooManyDeadLetters before anything is set aside, where it would be beyond a limit.
        """
        await self._set_aside(hand, sorted(hand.letters.values(), key=attrgetter("record_id")))
        if hand.error is not None:
            await self._isolate(hand, hand.told, hand.error)
        elif not hand.is_settled:
            await self._settle_alone(hand, hand.told)
        for item in hand.told:
            if item.span is not None:
                item.span.end()
        self._dead_letters.count(hand.batch, hand.letters)
        if log.is_enabled_for(logging.DEBUG):
            _follow(hand)
        metrics.RECORDS.labels(hand.topic, "valid").inc(sum(map(len, hand.batch.values())) - len(hand.letters))
        metrics.RECORDS.labels(hand.topic, "dead_letter").inc(len(hand.letters))

    async def _settle_alone(self, hand: InHand, told: list[Told]) -> None:
        try:
            await self._store_and_settle(_facts(told))
        except Exception as error:  # noqa: BLE001 - as above
            await self._isolate(hand, told, error)

    async def _store_and_settle(self, facts: Sequence[Fact]) -> None:
        """Two transactions, the same for every kind of fact. Safe to repeat after any crash."""
        with self._traces.settlement(fact.traceparent for fact in facts if isinstance(fact, Match)) as also:
            await self._retry("store", lambda: self._ledger.store(facts))
            settled = await self._retry("settle", lambda: self._ledger.settle(facts))
            new = [change.achievement for change in settled.changes if _is_new(change)]
            also(achievement.match.traceparent for achievement in new)
        _report(settled, new)
        origins = _origins(new, facts) if new else ()
        await self._publisher.hand_over(settled.messages, origins)

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
            await self._set_aside(hand, [letter_about(suspect.partition, suspect.record, error)])
        if others:
            await self._settle_alone(hand, others)

    async def _set_aside(self, hand: InHand, letters: Sequence[DeadLetter]) -> None:
        if letters:
            hand.letters.update((letter.record_id, letter) for letter in letters)
            self._dead_letters.check(hand.batch, hand.letters)
            await self._retry("dead_letter", lambda: self._dead_letters.send(letters))
            for letter in letters:
                place = (*letter.partition, letter.record.offset)
                self._traces.set_aside(place, reason=letter.reason, traceparent=traceparent_of(letter.record))


def _is_full(batch: Batch) -> bool:
    """Whether there is more to read: then it costs no time to wait for others."""
    return sum(map(len, batch.values())) >= FULL_POLL


def _facts(told: Sequence[Told]) -> list[Fact]:
    return [fact for item in told for fact in item.facts]


def _origins(new: Sequence[Achievement], facts: Sequence[Fact]) -> list[Origin]:
    """The last record that each achievement needed: a match may count only now, since its enrollment has just been told of."""
    last: dict[tuple[str, str], datetime] = {}
    for fact in facts:
        match fact:
            case EnrollmentStart() | EnrollmentEnd():
                about = fact.enrollment_id
            case WorkflowStatus():
                about = fact.workflow_id
            case Match() | ContactMerge() | ContactDeletion():
                about = fact.contact_id
            case _:
                continue
        key = fact.account_id, about
        last[key] = max(fact.record_at, last.get(key, fact.record_at))
    origins = []
    for one in new:
        keys = [(one.account_id, about) for about in (one.enrollment_id, one.contact_id, one.workflow_id)]
        told = [last[key] for key in keys if key in last]
        origins.append(Origin(max([one.match.record_at, *told]), one.match.traceparent))
    return origins


def _report(settled: Settled, new: Sequence[Achievement]) -> None:
    metrics.EXITS.inc(sum(achievement.should_exit_workflow for achievement in new))
    kinds = Counter((change.achievement.match.goal_type, change.action) for change in settled.changes)
    for (goal_type, action), count in kinds.items():
        metrics.ACHIEVEMENTS.labels(goal_type, action).inc(count)
    for achievement in new:
        delay = (achievement.recorded_at - achievement.match.record_at).total_seconds()
        metrics.DECIDE_SECONDS.observe(max(delay, 0), metrics.exemplar(achievement.match.traceparent))
    for change in settled.changes:
        log.info(
            "achievement",
            action=change.action.value,
            account=change.achievement.account_id,
            enrollment=change.achievement.enrollment_id,
            goal=change.achievement.goal_id,
            event_id=change.achievement.match.event_id,
            revision=change.achievement.revision,
            achievement=change.achievement.achievement_id,
            trace_id=trace_id_of(change.achievement.match.traceparent),
        )


def _follow(hand: InHand) -> None:
    """A line for each record: with it, what became of an event can be followed by its id."""
    told = {(item.partition, item.record.offset): item for item in hand.told}
    for partition, records in hand.batch.items():
        for record in records:
            record_id = partition, record.offset
            letter, item = hand.letters.get(record_id), told.get(record_id)
            event_id, trace_id = None, None
            if letter is None:
                envelope = open_envelope(record.value, record.headers)
                event_id, trace_id = envelope.event_id, trace_id_of(envelope.traceparent)
            log.debug(
                "record",
                topic=partition[0],
                partition=partition[1],
                offset=record.offset,
                event_id=event_id,
                outcome=letter.reason if letter else "told" if item else "no_match",
                goals=[fact.goal_id for fact in item.facts if isinstance(fact, Match)] if item else [],
                trace_id=trace_id,
            )


def _is_new(change: Change) -> bool:
    return change.action in (Action.ACHIEVED, Action.RESTORED)

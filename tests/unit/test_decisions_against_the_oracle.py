"""Whole histories, from bytes to verdicts: the product decides as the oracle does.

`GOALSTREAM_TEST_EXAMPLES` says how many histories are told (200).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from goalstream.domain import goals
from goalstream.domain.events import Event
from goalstream.domain.facts import EnrollmentFacts, Match
from goalstream.domain.goal_table import GoalTable
from goalstream.domain.settlement import Settlement, settle
from goalstream.errors import InvalidRecord
from goalstream.streams.codec import decode
from goalstream.streams.frame import canonical_json
from goalstream.streams.outlines import outline_of
from goalstream.streams.topics import EVENT_TOPICS
from goalstream.streams.usual import usual_reader
from tests.oracle import generator, oracle
from tests.oracle.history import GoalVersion, Headers, History, Record

MERGES = True
"""Whether histories merge and delete contacts."""

EXAMPLES = int(os.environ.get("GOALSTREAM_TEST_EXAMPLES", "200"))
SIZES = (6, 15, 40, 90)
LATENESS = generator.LATENESS

FIELD_OF_FACT = {
    "Match": "matches",
    "EnrollmentStart": "starts",
    "EnrollmentEnd": "ends",
    "WorkflowStatus": "statuses",
    "ContactMerge": "contacts",
    "ContactDeletion": "contacts",
}
"""Where settlement takes facts of a type from."""

USUAL_READERS = {topic: usual_reader(topic) for topic in EVENT_TOPICS}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaRecord:
    """A history's record as Kafka would give it."""

    topic: str
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    offset: int
    partition: int = 0


def history(seed: int) -> History:
    return generator.history(seed, SIZES[seed % len(SIZES)], merges=MERGES, references=False)


def kafka_record(offset: int, record: Record) -> KafkaRecord:
    return KafkaRecord(
        topic=record.topic,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
        offset=offset,
    )


def configured(version: GoalVersion) -> goals.GoalVersion:
    """A goal version whose criteria came through the API."""
    goal_type = goals.GoalType(version.goal_type)
    return goals.GoalVersion(
        account_id=version.account_id,
        workflow_id=version.workflow_id,
        goal_id=version.goal_id,
        version=version.version,
        goal_type=goal_type,
        criteria=goals.parse_criteria(goal_type, version.criteria),
        is_active=version.is_active,
        is_deleted=version.is_deleted,
        window=version.window,
        measure_after_exit=version.measure_after_exit,
        effective_from=version.effective_from,
        created_at=version.created_at,
    )


class Product:
    """What the product's pure code makes of a history: dead letters, facts by account, and a settlement of every enrollment."""

    def __init__(self, told: History, lateness: timedelta) -> None:
        self._versions = [configured(version) for version in told.goal_versions]
        self._table = GoalTable()
        self._table.add(self._versions)
        self._facts: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        self.dead_letters: list[tuple[int, str]] = []
        for index, record in enumerate(told.records):
            self._read(index, kafka_record(index, record))
        self.settlements = {
            (account_id, enrollment_id): self._settle(account_id, enrollment_id, lateness)
            for account_id, facts in self._facts.items()
            for enrollment_id in {fact.enrollment_id for fact in (*facts["starts"], *facts["ends"])}
        }

    def _read(self, index: int, record: KafkaRecord) -> None:
        read_usual = USUAL_READERS.get(record.topic)
        outline = next(iter(read_usual([record]).outlines), None) if read_usual else None
        try:
            decoded = decode(record.topic, record)
        except InvalidRecord as refused:
            assert outline is None
            self.dead_letters.append((index, refused.reason))
            return
        if not isinstance(decoded, Event):
            self._facts[decoded.account_id][FIELD_OF_FACT[type(decoded).__name__]].append(decoded)
            return
        versions = self._table.match(decoded)
        if outline is not None:
            assert self._table.match(outline_of(outline, record.topic, record)) == versions
            assert not versions or self._table.screen(record.topic)(outline.account_id, outline.occurrence)
        self._facts[decoded.account_id]["matches"] += [match_of(decoded, version) for version in versions]

    def _settle(self, account_id: str, enrollment_id: str, lateness: timedelta) -> Settlement:
        facts: Mapping[str, list[Any]] = self._facts[account_id]
        own = {
            name: [fact for fact in facts[name] if fact.enrollment_id == enrollment_id] for name in ("starts", "ends")
        }
        versions = [version for version in self._versions if version.account_id == account_id]
        told = EnrollmentFacts(
            account_id=account_id, enrollment_id=enrollment_id, goal_versions=versions, **{**facts, **own}
        )
        return settle(told, allowed_lateness=lateness)


def match_of(event: Event, version: goals.GoalVersion) -> Match:
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
        clock_ahead=False,
        record_at=event.record_at,
        data=canonical_json(event.data),
        traceparent=event.traceparent,
    )


def achieved(settlement: Settlement) -> dict[str, oracle.Achieved]:
    """By goal, in the oracle's words; the published contact is the match's own until contacts are merged."""
    return {
        goal_id: oracle.Achieved(
            event_id=holding.match.event_id,
            source=holding.match.source,
            occurred_at=holding.match.occurred_at,
            goal_version=holding.match.goal_version,
            contact_id=getattr(holding, "contact_id", holding.match.contact_id),
            match_contact_id=holding.match.contact_id,
        )
        for goal_id, holding in settlement.holdings.items()
    }


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_the_same_records_are_dead_letters_and_everything_else_gets_the_same_verdict(seed: int) -> None:
    told = history(seed)
    product = Product(told, LATENESS)
    assert product.dead_letters == oracle.dead_letters(told)

    walks = oracle.walks(told, LATENESS)
    assert product.settlements.keys() == walks.keys()
    for enrollment, walk in walks.items():
        settlement = product.settlements[enrollment]
        found = [(one.goal_id, one.event_id, one.source, verdict.value) for one, verdict in settlement.verdicts]
        in_force = [(one, verdict) for one, verdict in walk.verdicts if one.version is not None]
        assert found == [(one.goal_id, one.event_id, one.source, verdict) for one, verdict in in_force]
        assert achieved(settlement) == walk.achieved
        assert (settlement.satisfied_by and settlement.satisfied_by.match.goal_id) == walk.satisfied_by

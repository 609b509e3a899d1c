"""The path of a batch, with storage and Kafka faked: what reaches whom, in what order, and what happens to bad records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from goalstream.domain.achievements import Achievement
from goalstream.domain.events import Event, Outline
from goalstream.domain.facts import EnrollmentStart, Fact, Match
from goalstream.domain.goals import GoalType, GoalVersion, TagCriteria
from goalstream.domain.references import ReferenceChange
from goalstream.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    InvalidRecord,
    RefusedByDatabase,
    TooManyDeadLetters,
)
from goalstream.observability.health import Health
from goalstream.observability.traces import UNTRACED, Traces
from goalstream.streams import matching, processor
from goalstream.streams.codec import Decoded, decode
from goalstream.streams.dead_letters import SHARE_WINDOW, DeadLetters
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.ports import Record
from goalstream.streams.processor import Processor, _origins
from goalstream.streams.publisher import Publisher
from tests.unit.domain import builders
from tests.unit.streams.fakes import FakeGoals, FakeLedger, FakeOutbox, FakeProducer, message
from tests.unit.streams.records import (
    ACCOUNT,
    CONTACT,
    ENROLLMENT,
    GOAL,
    NOON,
    NOON_MS,
    WORKFLOW,
    FakeRecord,
    envelope,
    record,
)

TAG = "contact.tag.added"


def tag_goal() -> GoalVersion:
    yesterday = datetime(2026, 11, 22, tzinfo=UTC)
    return GoalVersion(
        account_id=ACCOUNT,
        workflow_id=WORKFLOW,
        goal_id=GOAL,
        version=1,
        goal_type=GoalType.TAG_ADDED,
        criteria=TagCriteria(tag_id="tag-7"),
        is_active=True,
        is_deleted=False,
        window=None,
        measure_after_exit=timedelta(0),
        effective_from=yesterday,
        created_at=yesterday,
    )


class Stage:
    """A processor between fakes."""

    def __init__(self, *, max_in_a_row: int = 1_000, max_share: float = 0.5, traces: Traces = UNTRACED) -> None:
        self.next_offset = 0
        self.health = Health()
        self.ledger = FakeLedger()
        self.goals = FakeGoals(versions=[tag_goal()])
        self.producer = FakeProducer()
        self.outbox = FakeOutbox()
        self.publisher = Publisher(self.producer, self.outbox, topic_prefix="pre.")
        self.cache = GoalCache(self.goals, activation_delay=timedelta(seconds=2))
        self.processor = Processor(
            ledger=self.ledger,
            goals=self.cache,
            publisher=self.publisher,
            dead_letters=DeadLetters(
                self.producer, topic_prefix="pre.", max_in_a_row=max_in_a_row, max_share=max_share
            ),
            retry=RetryInPlace(self.health, traces),
            allowed_lateness=timedelta(hours=72),
            traces=traces,
        )

    async def process(self, *records: FakeRecord, topic: str = TAG) -> None:
        numbered = [replace(one, offset=self.next_offset + number) for number, one in enumerate(records)]
        self.next_offset += len(records)
        await self.processor.process(topic, {(topic, 0): numbered})

    @property
    def reasons(self) -> list[str]:
        """The reasons of the dead letters sent so far."""
        headers = [
            dict(headers) for topic, _, _, headers in self.producer.sent if topic == "pre.goalstream.dead-letter"
        ]
        return [(found["goalstream_reason"] or b"").decode() for found in headers]


def tagged(event_id: str, **changes: Any) -> FakeRecord:
    return record(envelope(event_id=event_id, **changes))


async def test_a_batch_without_matches_never_touches_the_ledger() -> None:
    stage = Stage()
    await stage.process(tagged("e1", data={"contact_id": CONTACT, "tag_id": "other"}))
    assert stage.ledger.calls == []


async def test_a_match_is_stored_and_then_settled_and_its_messages_are_handed_over() -> None:
    stage = Stage()
    stage.ledger.messages = [message()]
    await stage.process(tagged("e1"), tagged("e2"))
    assert stage.ledger.calls == ["store", "settle"]
    assert [fact.event_id for fact in stage.ledger.stored] == ["e1", "e2"]
    assert stage.publisher._waiting.qsize() == 1


async def test_an_achievement_is_as_old_as_the_last_record_that_it_needed() -> None:
    match, early, late = builders.match(0), builders.at(0), builders.at(5)
    found = Achievement(
        enrollment_id="n1", contact_id="c1", match=match, recorded_at=late, revision=1, late=False, also_matched=(),
        met=1, required=1, should_exit_workflow=True,
    )  # fmt: skip
    for fact, wanted in (
        (match, early),
        (builders.start(record_at=late), late),
        (builders.start(record_at=late, enrollment_id="n2"), early),
        (builders.status(0, record_at=late), late),
        (builders.status(0, record_at=late, workflow_id="w2"), early),
        (builders.match(1, record_at=late), late),
    ):
        assert [origin.record_at for origin in _origins([found], [match, fact])] == [wanted]


async def test_an_enrollment_fact_needs_no_goal_table() -> None:
    stage = Stage()
    topic = "workflow.enrollment.started"
    data = {"contact_id": CONTACT, "workflow_id": WORKFLOW, "enrollment_id": ENROLLMENT}
    await stage.process(record(envelope(topic, data)), topic=topic)
    assert [type(fact) for fact in stage.ledger.stored] == [EnrollmentStart]
    assert stage.goals.asked == []


async def test_a_reference_is_stored_and_needs_no_goal_table() -> None:
    stage = Stage()
    topic = "crm.reference.changed"
    bad = record(envelope(topic, {"kind": "contact", "id": "form-1"}))
    await stage.process(record(envelope(topic, {"kind": "form", "id": "form-1"})), bad, topic=topic)
    assert [type(fact) for fact in stage.ledger.stored] == [ReferenceChange]
    assert stage.reasons == ["wrong_type"]
    assert stage.goals.asked == []


async def test_bad_records_are_set_aside_untouched_and_their_neighbours_go_on() -> None:
    stage = Stage()
    stage.next_offset = 6
    bad = FakeRecord(value=b"nonsense", key=b"key", headers=[("mine", b"kept")])
    await stage.process(tagged("e1"), bad, tagged("e2"))
    assert [fact.event_id for fact in stage.ledger.stored] == ["e1", "e2"]
    ((topic, key, value, headers),) = stage.producer.sent
    assert (topic, key, value) == ("pre.goalstream.dead-letter", b"key", b"nonsense")
    assert headers[:1] == [("mine", b"kept")]
    found = dict(headers)
    assert found.pop("goalstream_error")
    assert {name: text for name, text in found.items() if name.startswith("goalstream")} == {
        "goalstream_topic": b"contact.tag.added",
        "goalstream_partition": b"0",
        "goalstream_offset": b"7",
        "goalstream_timestamp": str(NOON_MS).encode(),
        "goalstream_reason": b"not_json",
    }


async def test_a_dead_letter_is_awaited_as_long_as_kafka_is_away() -> None:
    stage = Stage()
    stage.producer.failures = [BrokerUnavailable("away")]
    await stage.process(FakeRecord(value=b"nonsense"))
    assert stage.reasons == ["not_json"]


async def test_a_database_that_is_away_is_waited_for_and_nothing_is_set_aside() -> None:
    stage = Stage()
    stage.ledger.failures = [DatabaseUnavailable("away"), DatabaseUnavailable("still away")]
    await stage.process(tagged("e1"))
    assert [fact.event_id for fact in stage.ledger.stored] == ["e1"]
    assert stage.reasons == []
    assert stage.health.reasons == {}


@pytest.mark.parametrize("bad", [0, 250, 499])
async def test_only_the_refused_record_of_a_batch_becomes_a_dead_letter(bad: int) -> None:
    stage = Stage()
    stage.ledger.refuses = _refuser(RefusedByDatabase("value out of range"), {f"e{bad}"})
    await stage.process(*(tagged(f"e{number}") for number in range(500)))
    assert sorted({fact.event_id for fact in stage.ledger.stored}) == sorted(
        f"e{number}" for number in range(500) if number != bad
    )
    assert stage.reasons == ["refused_by_database"]
    assert stage.ledger.calls.count("store") <= 12


async def test_several_refused_records_are_all_found() -> None:
    stage = Stage()
    bad = {"e3", "e4", "e90"}
    stage.ledger.refuses = _refuser(RefusedByDatabase("value out of range"), bad)
    await stage.process(*(tagged(f"e{number}") for number in range(100)))
    assert {fact.event_id for fact in stage.ledger.stored} == {f"e{number}" for number in range(100)} - bad
    assert stage.reasons == ["refused_by_database"] * 3


async def test_a_defect_of_ours_becomes_a_dead_letter_and_the_others_go_on() -> None:
    stage = Stage()
    stage.ledger.refuses = _refuser(ZeroDivisionError("a bug"), {"e1"})
    await stage.process(tagged("e0"), tagged("e1"), tagged("e2"))
    assert {fact.event_id for fact in stage.ledger.stored} == {"e0", "e2"}
    assert stage.reasons == ["unexpected"]


async def test_a_defect_while_an_event_is_matched_becomes_a_dead_letter_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()

    def defective(topic: str, told: Record) -> Decoded:
        if told.offset == 1:
            raise ZeroDivisionError("a bug")
        return decode(topic, told)

    monkeypatch.setattr(matching, "decode", defective)
    await stage.process(tagged("e0"), tagged("e1"), tagged("e2"))
    assert [fact.event_id for fact in stage.ledger.stored] == ["e0", "e2"]
    assert stage.reasons == ["unexpected"]


async def test_a_defect_of_the_goal_table_costs_the_one_event_that_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    await stage.process(tagged("e0"))
    asked: list[Event | Outline] = []

    def defective(event: Event | Outline) -> list[GoalVersion]:
        asked.append(event)
        if len(asked) == 1:
            raise ZeroDivisionError("a bug")
        return [tag_goal()]

    monkeypatch.setattr(stage.cache.table, "match", defective)
    await stage.process(tagged("e1"), tagged("e2"))
    assert [fact.event_id for fact in stage.ledger.stored] == ["e0", "e2"]
    assert stage.reasons == ["unexpected"]


async def test_what_an_outline_left_out_can_still_break_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()

    def refusing(topic: str, told: Record) -> Decoded:
        raise InvalidRecord("wrong_type", "only the whole event tells")

    monkeypatch.setattr(matching, "decode", refusing)
    await stage.process(tagged("e1"))
    assert stage.reasons == ["wrong_type"]


@pytest.mark.parametrize("limits", [{"max_in_a_row": 3, "max_share": 0.0}, {"max_in_a_row": 0, "max_share": 0.5}])
async def test_records_that_fail_only_when_they_are_stored_count_against_the_limits_as_any(
    limits: dict[str, Any],
) -> None:
    stage = Stage(**limits)
    stage.ledger.refuses = _refuser(RefusedByDatabase("value out of range"), {"bad"})
    most = limits["max_in_a_row"] or SHARE_WINDOW - 1
    for _ in range(most):
        await stage.process(tagged("bad"))
    with pytest.raises(TooManyDeadLetters):
        await stage.process(tagged("bad"))
    assert len(stage.reasons) == most


async def test_the_metrics_count_a_record_once_by_how_it_ended() -> None:
    stage = Stage()
    stage.ledger.refuses = _refuser(RefusedByDatabase("value out of range"), {"bad"})
    before = _counted()
    await stage.process(tagged("e1"), FakeRecord(value=b"nonsense"), tagged("bad"), tagged("e2"))
    assert {outcome: count - before[outcome] for outcome, count in _counted().items()} == {"valid": 2, "dead_letter": 2}


def _counted() -> dict[str, float]:
    return {
        outcome: REGISTRY.get_sample_value("goalstream_records_total", {"topic": TAG, "outcome": outcome}) or 0
        for outcome in ("valid", "dead_letter")
    }


async def test_a_batch_that_is_refused_record_by_record_is_given_up_at_the_limit() -> None:
    stage = Stage(max_in_a_row=10, max_share=0)
    stage.ledger.refuses = _refuser(RefusedByDatabase("value out of range"), {"bad"})
    with pytest.raises(TooManyDeadLetters):
        await stage.process(*[tagged("bad")] * 500)
    assert len(stage.reasons) == 10


async def test_too_many_dead_letters_in_a_row_stop_the_worker() -> None:
    stage = Stage(max_in_a_row=3, max_share=0)
    for _ in range(3):
        await stage.process(FakeRecord(value=b"nonsense"))
    await stage.process(tagged("e1"))
    with pytest.raises(TooManyDeadLetters, match="partition 0: more than 3 dead") as stopped:
        await stage.process(*[FakeRecord(value=b"nonsense")] * 5)
    advice = str(stopped.value)
    assert "(the last: offset 7, `not_json`)" in advice
    assert "`goalstream dead-letters list --since 1h`" in advice
    assert "GOALSTREAM_DEAD_LETTER_MAX_IN_A_ROW=0" in advice
    assert "`goalstream dead-letters redrive`" in advice
    assert len(stage.reasons) == 3


async def test_a_record_that_comes_again_after_a_rebalance_counts_once_against_the_limits() -> None:
    stage = Stage(max_in_a_row=3, max_share=0)
    for _ in range(5):
        await stage.process(*[FakeRecord(value=b"nonsense")] * 2)
        stage.next_offset = 0
    assert len(stage.reasons) == 10
    stage.next_offset = 1
    with pytest.raises(TooManyDeadLetters):
        await stage.process(*[FakeRecord(value=b"nonsense")] * 3)


async def test_too_large_a_share_of_dead_letters_stops_the_worker() -> None:
    stage = Stage(max_in_a_row=0, max_share=0.5)
    half = [tagged("e"), FakeRecord(value=b"nonsense")] * 500
    await stage.process(*half)
    with pytest.raises(TooManyDeadLetters, match=r"50%.*GOALSTREAM_DEAD_LETTER_MAX_SHARE=0"):
        await stage.process(FakeRecord(value=b"nonsense"), FakeRecord(value=b"nonsense"))


async def test_limits_of_zero_never_stop() -> None:
    stage = Stage(max_in_a_row=0, max_share=0)
    await stage.process(*[FakeRecord(value=b"nonsense")] * 3_000)
    assert len(stage.reasons) == 3_000


async def test_old_dead_letters_leave_the_share_again() -> None:
    stage = Stage(max_in_a_row=0, max_share=0.1)
    await stage.process(*[tagged("e")] * 950, *[FakeRecord(value=b"nonsense")] * 50)
    await stage.process(*[tagged("e")] * 1_000)
    await stage.process(*[tagged("e")] * 950, *[FakeRecord(value=b"nonsense")] * 99)
    assert len(stage.reasons) == 149


async def test_an_event_waits_for_a_goal_table_that_is_complete_for_its_time() -> None:
    stage = Stage()
    stage.goals.clock = NOON - timedelta(seconds=3)
    late_goal = stage.goals.versions.pop()
    asked = stage.goals.changes_since

    async def moving(change_id: int) -> object:
        if len(stage.goals.asked) == 1:
            stage.goals.versions.append(late_goal)
            stage.goals.clock = NOON
        return await asked(change_id)

    stage.goals.changes_since = moving  # type: ignore[method-assign, assignment]
    await stage.process(tagged("e1", timestamp="2026-11-23T12:00:00Z"))
    assert len(stage.goals.asked) == 2
    assert [fact.event_id for fact in stage.ledger.stored] == ["e1"]


async def test_a_clock_far_ahead_is_judged_by_the_goals_known_now() -> None:
    stage = Stage()
    stage.goals.clock = NOON - timedelta(minutes=1)
    await stage.process(tagged("e1", timestamp="2026-11-23T12:00:00Z"), tagged("e2", timestamp="2026-11-23T11:00:00Z"))
    ahead, normal = (fact for fact in stage.ledger.stored if isinstance(fact, Match))
    assert (ahead.clock_ahead, normal.clock_ahead) == (True, False)


def _refuser(error: Exception, event_ids: set[str]) -> Callable[[Fact], None]:
    def refuse(fact: Fact) -> None:
        if fact.event_id in event_ids:
            raise error

    return refuse


def _as_it_is(_: Any, __: str, event: Any) -> Any:
    return event


async def test_at_debug_a_line_for_each_record_tells_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = structlog.testing.CapturingLogger()
    wrapper = structlog.make_filtering_bound_logger("debug")
    monkeypatch.setattr(processor, "log", structlog.wrap_logger(logger, processors=[_as_it_is], wrapper_class=wrapper))
    stage = Stage()
    other = tagged("e2", data={"contact_id": CONTACT, "tag_id": "other"})
    await stage.process(tagged("e1"), other, record(b"nonsense"))
    lines = [call.kwargs for call in logger.calls]
    found = [(line["event_id"], line["outcome"], line["goals"]) for line in lines if line["event"] == "record"]
    assert found == [("e1", "told", [GOAL]), ("e2", "no_match", []), (None, "not_json", [])]
    assert CONTACT not in repr(lines)

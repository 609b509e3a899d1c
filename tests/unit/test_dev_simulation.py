"""The simulated story: the same for a seed, at the pace asked for, with everything in it that the demo is to show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from operator import itemgetter

import pytest

from goalstream.dev.records import Outgoing, engine_answer
from goalstream.dev.simulation import Story
from goalstream.dev.world import make_world
from goalstream.domain.events import Event
from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, WorkflowStatus
from goalstream.domain.goal_table import GoalTable
from goalstream.domain.goals import GoalType, GoalVersion, parse_criteria
from goalstream.errors import InvalidRecord
from goalstream.streams.codec import Decoded, decode

START = datetime(2026, 11, 24, 10, 0, 0, 123_000, tzinfo=UTC)
RATE = 40.0
WORLD = make_world(7)


@dataclass
class SentRecord:
    """An outgoing record as Kafka gives it to a consumer."""

    topic: str
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]] = ()
    key: bytes | None = None
    partition: int = 0
    offset: int = 0


def story(count: int, *, seed: int = 7, start: datetime = START, rate: float = RATE) -> list[Outgoing]:
    return list(islice(Story(make_world(seed), seed=seed, start=start, rate=rate), count))


def read(record: Outgoing) -> Decoded | InvalidRecord:
    moment = START + timedelta(seconds=record.at_seconds)
    timestamp = round(moment.timestamp() * 1000)
    try:
        return decode(record.topic, SentRecord(record.topic, record.value, timestamp, record.headers))
    except InvalidRecord as error:
        return error


def demo_goals() -> GoalTable:
    table = GoalTable()
    for workflow in WORLD.workflows:
        for goal in workflow.goals:
            version = GoalVersion(
                account_id=WORLD.account_id,
                workflow_id=workflow.workflow_id,
                goal_id=f"{workflow.workflow_id[:-1]}{len(table)}",
                version=1,
                goal_type=goal.goal_type,
                criteria=parse_criteria(goal.goal_type, goal.criteria),
                is_active=True,
                is_deleted=False,
                window=None,
                measure_after_exit=timedelta(),
                effective_from=START,
                created_at=START,
            )
            table.add([version])
    return table


def test_the_same_seed_and_time_tell_the_same_story() -> None:
    assert story(3_000) == story(3_000)


def test_another_seed_or_another_time_tells_another_story() -> None:
    first = {record.value for record in story(200)}
    assert not first & {record.value for record in story(200, start=START + timedelta(days=1))}
    assert not first & {record.value for record in story(200, seed=8)}


def test_people_and_workflows_are_the_same_in_every_run_of_a_seed() -> None:
    assert make_world(7) == make_world(7)
    assert make_world(7).account_id != make_world(8).account_id


def test_four_hundred_people_have_names_of_their_own() -> None:
    assert len({contact.name for contact in WORLD.contacts}) == 400
    assert len({contact.contact_id for contact in WORLD.contacts}) == 400


def test_there_is_one_goal_of_each_type_and_no_more_than_three_in_a_workflow() -> None:
    types = [goal.goal_type for workflow in WORLD.workflows for goal in workflow.goals]
    assert sorted(types) == sorted(GoalType)
    assert all(len(workflow.goals) <= 3 for workflow in WORLD.workflows)


def test_records_come_at_the_rate_asked_for() -> None:
    for rate in (2.0, 40.0, 400.0):
        times = [record.at_seconds for record in story(400, rate=rate)]
        assert all(later > earlier for earlier, later in pairwise(times))
        assert times[-1] * rate == pytest.approx(399)


def test_the_workflows_are_known_before_anybody_enters() -> None:
    first, second, third, *_ = map(read, story(3))
    assert isinstance(first, WorkflowStatus)
    assert isinstance(second, WorkflowStatus)
    assert (first.name, first.goal_logic, second.name, second.goal_logic) == ("Spring promo", "all", "Win back", "any")
    assert isinstance(third, EnrollmentStart)


def test_without_a_story_the_workflows_are_known_all_the_same() -> None:
    beginning = Story(WORLD, seed=7, start=START, rate=RATE).beginning()
    assert list(beginning) == story(2)


def test_a_goal_is_fulfilled_within_seconds() -> None:
    goals = demo_goals()
    first = next(r for r in story(1_000) if isinstance(event := read(r), Event) and goals.match(event))
    assert first.at_seconds < 3


def test_every_demo_goal_is_fulfilled_by_many() -> None:
    goals = demo_goals()
    fulfilled = Counter(
        version.goal_type for r in story(4_000) if isinstance(event := read(r), Event) for version in goals.match(event)
    )
    assert set(fulfilled) == set(GoalType)
    assert min(fulfilled.values()) >= 20


def test_a_change_of_rate_and_a_pause_move_what_follows() -> None:
    told = Story(make_world(7), seed=7, start=START, rate=40)
    records = iter(told)
    first = [next(records).at_seconds for _ in range(41)]
    told.rate = 10
    slower = [next(records).at_seconds for _ in range(10)]
    told.skip_to(100)
    after = next(records)
    assert first[-1] == pytest.approx(1)
    assert slower[-1] == pytest.approx(2)
    assert 100 <= after.at_seconds <= 100.1
    events = [event for record in islice(records, 40) if isinstance(event := read(record), Event)]
    recent = [event for event in events if event.occurred_at >= START + timedelta(seconds=100)]
    assert len(recent) > len(events) / 2, "not as if it had happened before the pause"
    told.skip_to(50)
    assert next(records).at_seconds > 100, "time goes forward only"


def test_shares_of_trouble_are_as_promised() -> None:
    """Within four standard deviations of 2 %, 1 % and 0.5 %, and of 3 % in the other account."""
    records = story(40_000)
    seen: set[tuple[bytes, object]] = set()
    copies, late, of_account, elsewhere = 0, 0, 0, 0
    malformed = sum(isinstance(read(record), InvalidRecord) for record in records)
    for record in records:
        if (record.value, record.headers) in seen:
            copies += 1
            continue
        seen.add((record.value, record.headers))
        event = read(record)
        if isinstance(event, Event) and event.account_id == WORLD.account_id:
            of_account += 1
            late += event.record_at - event.occurred_at > timedelta(seconds=10)
        elsewhere += isinstance(event, Event) and event.account_id == WORLD.other_account_id
    assert copies / len(records) == pytest.approx(0.02, abs=0.003)
    assert malformed / len(records) == pytest.approx(0.005, abs=0.0015)
    assert late / of_account == pytest.approx(0.01, abs=0.0025)
    assert elsewhere / len(records) == pytest.approx(0.03 * 11 / 12, abs=0.004), "whoever enters goes first"


def test_copies_are_redeliveries_of_what_was_sent_a_moment_ago() -> None:
    sent: dict[tuple[bytes, object], float] = {}
    for record in story(20_000):
        identity = (record.value, record.headers)
        if identity in sent:
            assert record.at_seconds - sent[identity] < 60 * RATE / 40
        sent.setdefault(identity, record.at_seconds)


def test_people_walk_in_order_with_the_delays_of_real_life_600_times_faster() -> None:
    """In minutes of real life; a second more for records that wait for their turn."""
    minutes = {
        GoalType.FORM_SUBMITTED: (5, 60),
        GoalType.APPOINTMENT_BOOKED: (30, 180),
        GoalType.PIPELINE_STAGE_REACHED: (60, 360),
        GoalType.PURCHASE_MADE: (30, 480),
        GoalType.TAG_ADDED: (5, 60),
    }
    steps = list(minutes)
    walks: dict[str, tuple[int, datetime]] = {}
    lengths: Counter[int] = Counter()
    for happened, fact in sorted(facts_of_account(story(20_000)), key=itemgetter(0)):
        if isinstance(fact, EnrollmentStart):
            walks[fact.contact_id] = (0, happened)
        elif fact.contact_id in walks and is_of_a_walk(fact):
            step, before = walks[fact.contact_id]
            if step < len(steps) and fact.event_type == steps[step].event_type:
                low, high = (timedelta(minutes=bound) / 600 for bound in minutes[steps[step]])
                assert low <= happened - before + timedelta(milliseconds=1) <= high + timedelta(seconds=1)
                walks[fact.contact_id] = (step + 1, happened)
                lengths[step + 1] += 1
    shares = [later / earlier for earlier, later in pairwise(lengths[length] for length in sorted(lengths))]
    assert shares == pytest.approx([0.85, 0.85 * 0.6, 0.85 * 0.8, 0.85], abs=0.06)


def facts_of_account(records: Sequence[Outgoing]) -> Iterator[tuple[datetime, Event | EnrollmentStart]]:
    """Who entered the promo and what people did in the demo's account, once each, with the time at which it happened."""
    for record in {record.value + repr(record.headers).encode(): record for record in records}.values():
        fact = read(record)
        if isinstance(fact, EnrollmentStart) and fact.workflow_id == WORLD.promo.workflow_id:
            yield fact.entered_at, fact
        elif isinstance(fact, Event) and fact.account_id == WORLD.account_id:
            yield fact.occurred_at, fact


def is_of_a_walk(event: Event) -> bool:
    """Whether an event can only be a step of a walk, by what everyday life never names."""
    return (
        event.data.get("form_id") == "spring-promo"
        or event.data.get("calendar_id") == "consultation"
        or event.data.get("stage_id") == "won"
        or event.data.get("amount") in ("100.00", "149.00", "320.50")
        or event.data.get("tag_name") == "Purchased"
    )


def test_malformed_records_break_the_contract_in_several_ways() -> None:
    reasons = {error.reason for record in story(20_000) if isinstance(error := read(record), InvalidRecord)}
    assert reasons == {"not_json", "bad_time", "no_contact", "no_account", "type_contradicts_topic", "wrong_type"}


def test_the_other_account_does_what_would_match_and_matches_nothing() -> None:
    goals = demo_goals()
    elsewhere = [
        event
        for record in story(4_000)
        if isinstance(event := read(record), Event) and event.account_id == WORLD.other_account_id
    ]
    assert elsewhere
    assert not any(goals.match(event) for event in elsewhere)
    assert {event.contact_id for event in elsewhere} <= {contact.contact_id for contact in WORLD.contacts}


def test_nobody_enters_a_workflow_again_before_leaving_it() -> None:
    inside: dict[tuple[str, str], str] = {}
    known: dict[str, tuple[str, str]] = {}
    seen: set[bytes] = set()
    for record in story(20_000):
        if record.value in seen:
            continue
        seen.add(record.value)
        fact = read(record)
        if isinstance(fact, EnrollmentStart):
            place = (fact.contact_id, fact.workflow_id)
            assert place not in inside
            inside[place] = fact.enrollment_id
            known[fact.enrollment_id] = place
        elif isinstance(fact, EnrollmentEnd):
            assert inside.pop(known[fact.enrollment_id]) == fact.enrollment_id
    assert len(known) > 800, "people come back"


def test_payments_are_cloudevents_with_a_trace() -> None:
    payment = next(record for record in story(1_000) if record.topic == GoalType.PURCHASE_MADE.event_type)
    event = read(payment)
    assert isinstance(event, Event)
    assert event.source == "billing"
    assert event.traceparent is not None


def test_the_engine_answers_an_exit_with_the_end_of_that_enrollment() -> None:
    document = {
        "account_id": WORLD.account_id,
        "workflow_id": WORLD.promo.workflow_id,
        "workflow_enrollment_id": WORLD.win_back.workflow_id,
        "contact_id": WORLD.contacts[0].contact_id,
    }
    topic, key, value = engine_answer(json.loads(json.dumps(document)), now=START, event_id="evt_1")
    end = decode(topic, SentRecord(topic, value, round(START.timestamp() * 1000)))
    assert isinstance(end, EnrollmentEnd)
    assert (end.enrollment_id, end.reason, end.ended_at) == (WORLD.win_back.workflow_id, "goal_achieved", START)
    assert key == WORLD.contacts[0].contact_id.encode()

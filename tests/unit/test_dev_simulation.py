"""The simulated story: the same for a seed, at the pace asked for, with everything in it that the demo is to show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

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
        assert times[-1] * rate == 399


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


def test_shares_of_trouble_are_as_promised() -> None:
    records = story(20_000)
    copies = len(records) - len({(record.topic, record.value, record.headers) for record in records})
    malformed = sum(isinstance(read(record), InvalidRecord) for record in records)
    late = sum(
        isinstance(event := read(record), Event) and event.record_at - event.occurred_at > timedelta(seconds=10)
        for record in records
    )
    assert 0.015 < copies / len(records) < 0.025
    assert 0.003 < malformed / len(records) < 0.007
    assert 0.005 < late / len(records) < 0.015


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

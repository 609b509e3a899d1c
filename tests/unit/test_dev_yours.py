"""What a key sends: somebody of one's own, who achieves every goal of the promo, a step at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from goalstream.dev.records import Outgoing
from goalstream.dev.sentences import difference
from goalstream.dev.world import make_world
from goalstream.dev.yours import YourWalk
from goalstream.domain.events import Event
from goalstream.domain.facts import EnrollmentStart
from goalstream.domain.goals import GoalType, parse_criteria
from goalstream.streams.codec import decode
from tests.unit.test_dev_simulation import SentRecord

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
WORLD = make_world(7)


def read(record: Outgoing) -> object:
    return decode(record.topic, SentRecord(record.topic, record.value, round(NOW.timestamp() * 1000), record.headers))


def fulfilled(event: object) -> list[GoalType]:
    assert isinstance(event, Event)
    return [
        goal.goal_type
        for goal in WORLD.promo.goals
        if goal.goal_type.event_type == event.event_type
        and difference(event, parse_criteria(goal.goal_type, goal.criteria)) is None
    ]


def test_four_steps_lead_through_the_promo_and_one_of_them_does_not_count() -> None:
    numbers = count()
    walk = YourWalk(WORLD, lambda: f"00000000-0000-4000-8000-{next(numbers):012}")
    steps = [walk.next(NOW + timedelta(seconds=second)) for second in range(4)]
    entered, *events = [read(record) for step in steps for record in step.records]
    assert isinstance(entered, EnrollmentStart)
    assert entered.workflow_id == WORLD.promo.workflow_id
    assert [fulfilled(event) for event in events] == [
        [GoalType.FORM_SUBMITTED],
        [GoalType.APPOINTMENT_BOOKED],
        [],
        [GoalType.PURCHASE_MADE],
    ]
    assert {step.contact_id for step in steps} == {entered.contact_id}
    assert [step.name for step in steps] == ["You"] * 4
    assert steps[2].text == "You paid 49.00 EUR"
    again = walk.next(NOW)
    assert again.name == "You (2)"
    assert again.contact_id != entered.contact_id


def test_only_events_can_be_sent_again() -> None:
    walk = YourWalk(WORLD, iter("abcdefghij").__next__)
    assert [record.is_event for record in walk.next(NOW).records] == [False, True]

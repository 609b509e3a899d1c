"""Sentences about decisions: true to what the goals say, kind to who reads them, safe for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from goalstream.dev.narrator import HOLD_MS, GoalCount, Kind, Line, Narrator, Question
from goalstream.dev.records import YOURS, engine_answer, envelope, wire_time
from goalstream.dev.sentences import difference, goal_title, printable
from goalstream.dev.simulation import Story
from goalstream.dev.world import make_world
from goalstream.domain.events import Event
from goalstream.domain.goal_table import GoalTable
from goalstream.domain.goals import GoalType, GoalVersion, parse_criteria
from goalstream.errors import InvalidRecord
from goalstream.streams.codec import decode

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
WORLD = make_world(7)
ADA = WORLD.contacts[0]
STRANGER = "99999999-9999-4999-8999-999999999999"
ENROLLMENT = "11111111-1111-4111-8111-111111111111"
TAG, PAYMENT = GoalType.TAG_ADDED.event_type, GoalType.PURCHASE_MADE.event_type


@dataclass
class SentRecord:
    """A record as Kafka gives it to a consumer."""

    topic: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int = NOW_MS
    key: bytes | None = None
    partition: int = 3
    offset: int = 42


@dataclass
class Ids:
    """Event ids, each once."""

    last: int = 0

    def next(self) -> str:
        self.last += 1
        return f"evt-{self.last}"


IDS = Ids()


def event(topic: str, *, event_id: str = "", account_id: str = WORLD.account_id, **data: Any) -> SentRecord:
    document = {"contact_id": ADA.contact_id, **data}
    return SentRecord(topic, envelope(topic, event_id or IDS.next(), account_id, wire_time(NOW), document))


def enrollment(**data: Any) -> SentRecord:
    fields = {"enrollment_id": ENROLLMENT, "workflow_id": WORLD.win_back.workflow_id}
    return event("workflow.enrollment.started", **fields, **data)


def achieved(
    goal_id: str,
    *,
    trigger: str = "an-event",
    contact_id: str = ADA.contact_id,
    late: bool = False,
    timestamp: int = NOW_MS,
) -> SentRecord:
    document = {
        "account_id": WORLD.account_id,
        "contact_id": contact_id,
        "workflow_id": WORLD.win_back.workflow_id,
        "workflow_enrollment_id": ENROLLMENT,
        "goal_config_id": goal_id,
        "trigger_event": {"source": TAG, "event_id": trigger},
        "progress": {"met": 1, "required": 1},
        "metadata": {"late": late},
    }
    return SentRecord("workflow.goal.achieved", json.dumps(document).encode(), timestamp=timestamp)


def goal_documents() -> list[Mapping[str, Any]]:
    return [
        {
            "id": f"goal-of-{goal.goal_type}",
            "account_id": WORLD.account_id,
            "workflow_id": workflow.workflow_id,
            "goal_type": goal.goal_type.value,
            "criteria": goal.criteria,
            "is_active": True,
        }
        for workflow in WORLD.workflows
        for goal in workflow.goals
    ]


@pytest.fixture
def narrator() -> Narrator:
    narrator = Narrator(WORLD)
    for document in goal_documents():
        narrator.configure(document)
    return narrator


def text_of(line: Line | None) -> str:
    assert line is not None
    return line.text


def test_a_tag_that_is_not_the_goals_is_told_with_both_names(narrator: Narrator) -> None:
    line = narrator.tell(event(TAG, tag_name="Newsletter"))
    assert text_of(line) == f'{ADA.name}: tag "Newsletter" is not "Purchased"'


@pytest.mark.parametrize(
    ("topic", "data", "sentence"),
    [
        (PAYMENT, {"amount": "49.00", "currency": "EUR"}, "49 EUR is less than 100 EUR"),
        (PAYMENT, {"amount": "490", "currency": "USD"}, "USD is not EUR"),
        (PAYMENT, {"amount": "490"}, "no currency is not EUR"),
        (PAYMENT, {"currency": "EUR"}, "no amount is named"),
        ("form.submitted", {"form_id": "contact-us"}, 'form "contact-us" is not "spring-promo"'),
        ("form.submitted", {}, "no form is named"),
        ("appointment.booked", {"calendar_id": "support"}, 'calendar "support" is not "consultation"'),
        (
            "pipeline.stage.changed",
            {"pipeline_id": "sales", "stage_id": "lost"},
            'stage "lost" is not "won"',
        ),
        (TAG, {"tag_id": "tag-1"}, "the tag has no name"),
    ],
)
def test_every_type_says_what_is_missing(narrator: Narrator, topic: str, data: dict[str, Any], sentence: str) -> None:
    line = narrator.tell(event(topic, **data))
    assert text_of(line) == f"{ADA.name}: {sentence}"


def test_a_fulfilled_goal_is_left_to_the_achievement_to_tell(narrator: Narrator) -> None:
    assert narrator.tell(enrollment()) is None
    assert narrator.tell(event(TAG, tag_name=" PURCHASED ")) is None
    line = narrator.tell(achieved("goal-of-tag_added"))
    assert text_of(line) == f'{ADA.name}: achieved tag "Purchased" in Win back (1 of 1)'


def after_a_while(narrator: Narrator, record: SentRecord) -> str:
    """What is said of an event whose enrollment could still come, and does not."""
    assert narrator.tell(record) is None
    assert narrator.overdue(NOW_MS + HOLD_MS - 1) == []
    (line,) = narrator.overdue(NOW_MS + HOLD_MS)
    assert narrator.overdue(NOW_MS + HOLD_MS) == []
    return line.text


def test_a_goal_fulfilled_by_somebody_who_is_not_enrolled_does_not_count(narrator: Narrator) -> None:
    text = after_a_while(narrator, event(TAG, tag_name="Purchased"))
    assert text == f'{ADA.name}: tag "Purchased" does not count: not in Win back'
    assert narrator.counts[Kind.NOT_COUNTED] == 1


def test_an_enrollment_that_is_read_after_the_event_makes_no_false_sentence(narrator: Narrator) -> None:
    narrator.tell(event(TAG, tag_name="Purchased"))
    narrator.tell(enrollment())
    assert narrator.overdue(NOW_MS + HOLD_MS) == []


def test_an_end_that_is_read_before_the_achievement_makes_no_false_sentence_either(narrator: Narrator) -> None:
    narrator.tell(event(TAG, event_id="evt-trigger", tag_name="Purchased"))
    narrator.tell(achieved("goal-of-tag_added", trigger="evt-trigger"))
    assert narrator.overdue(NOW_MS + HOLD_MS) == []


def test_a_goal_fulfilled_after_the_end_does_not_count(narrator: Narrator) -> None:
    narrator.tell(enrollment())
    end = {
        "account_id": WORLD.account_id,
        "workflow_enrollment_id": ENROLLMENT,
        "workflow_id": WORLD.win_back.workflow_id,
    }
    topic, _, value = engine_answer({**end, "contact_id": ADA.contact_id}, now=NOW, event_id="end")
    assert narrator.tell(SentRecord(topic, value)) is None
    assert "not in Win back" in after_a_while(narrator, event(TAG, tag_name="Purchased"))


def test_a_goal_fulfilled_twice_is_told_as_such(narrator: Narrator) -> None:
    narrator.tell(enrollment())
    narrator.tell(achieved("goal-of-tag_added"))
    line = narrator.tell(event(TAG, tag_name="Purchased"))
    assert text_of(line) == f'{ADA.name}: tag "Purchased" again: achieved before in Win back'


def test_the_event_that_achieved_the_goal_is_no_repetition_also_when_it_is_read_after_the_achievement(
    narrator: Narrator,
) -> None:
    narrator.tell(enrollment())
    narrator.tell(achieved("goal-of-tag_added", trigger="evt-trigger"))
    assert narrator.tell(event(TAG, event_id="evt-trigger", tag_name="Purchased")) is None


def test_the_same_event_again_is_ignored(narrator: Narrator) -> None:
    record = event(TAG, event_id="evt-7", tag_name="Newsletter")
    narrator.tell(record)
    line = narrator.tell(record)
    assert line is not None
    assert (line.kind, line.text) == (Kind.DUPLICATE, f"{ADA.name}: contact.tag.added came again: ignored (evt-7)")


def test_another_account_has_no_goals(narrator: Narrator) -> None:
    line = narrator.tell(event(TAG, account_id=WORLD.other_account_id, tag_name="Purchased"))
    assert f"in account {WORLD.other_account_id[:8]}, which has no goals" in text_of(line)


def test_a_dead_letter_is_told_with_its_origin_and_reason(narrator: Narrator) -> None:
    headers = {"topic": b"form.submitted", "partition": b"2", "offset": b"17", "reason": b"bad_time", "error": b"oh"}
    record = SentRecord(
        "goalstream.dead-letter", None, [(f"goalstream_{name}", text) for name, text in headers.items()]
    )
    line = narrator.tell(record)
    assert line is not None
    assert (line.kind, line.text) == (
        Kind.DEAD_LETTER,
        "form.submitted [2] offset 17 set aside: bad_time, oh",
    )


def test_exit_revocation_and_lateness_are_told(narrator: Narrator) -> None:
    assert "(1 of 1, late)" in text_of(narrator.tell(achieved("goal-of-tag_added", late=True)))
    document = json.loads(achieved("goal-of-tag_added").value or b"")
    revoked = {**document, "revoked_reason": "before_enrollment"}
    line = narrator.tell(SentRecord("workflow.goal.revoked", json.dumps(revoked).encode()))
    assert text_of(line) == f'{ADA.name}: did not achieve tag "Purchased" in Win back after all: before_enrollment'
    line = narrator.tell(SentRecord("workflow.exit.goal", json.dumps(document).encode()))
    assert text_of(line) == f"{ADA.name}: leaves Win back: exit sent"


def test_a_stranger_is_named_by_id_and_marked(narrator: Narrator) -> None:
    line = narrator.tell(achieved("goal-of-tag_added", contact_id=STRANGER))
    assert line is not None
    assert line.is_yours
    assert line.text.startswith("contact 99999999: achieved")


def test_each_goal_has_its_counts(narrator: Narrator) -> None:
    narrator.tell(enrollment())
    narrator.tell(enrollment())
    newsletter, purchased = event(TAG, tag_name="Newsletter"), event(TAG, event_id="evt-trigger", tag_name="Purchased")
    for record in (newsletter, newsletter, purchased, event(PAYMENT, amount="1")):
        narrator.tell(record)
    narrator.tell(event(TAG, account_id=WORLD.other_account_id, tag_name="Purchased"))
    narrator.tell(achieved("goal-of-tag_added", trigger="evt-trigger"))
    rows = {row.title: row for row in narrator.goal_counts()}
    tag = GoalCount(
        workflow="Win back", title='tag "Purchased"', enrolled=1, seen=2, matched=1, achieved=1, duplicates=1
    )
    assert rows['tag "Purchased"'] == tag
    assert (rows["purchase from 100 EUR"].seen, rows["purchase from 100 EUR"].enrolled) == (1, 0)
    assert [row.workflow for row in narrator.goal_counts()] == ["Spring promo"] * 3 + ["Win back"] * 2
    document = json.loads(achieved("goal-of-tag_added").value or b"") | {"revoked_reason": "before_enrollment"}
    narrator.tell(SentRecord("workflow.goal.revoked", json.dumps(document).encode()))
    assert {row.title: row.achieved for row in narrator.goal_counts()}['tag "Purchased"'] == 0


def test_latency_is_from_the_events_record_to_the_achievements(narrator: Narrator) -> None:
    narrator.tell(enrollment())
    narrator.tell(event(TAG, event_id="evt-trigger", tag_name="Purchased"))
    narrator.tell(achieved("goal-of-tag_added", trigger="evt-trigger", timestamp=NOW_MS + 17))
    narrator.tell(achieved("goal-of-tag_added", trigger="never-seen", timestamp=NOW_MS + 90))
    assert list(narrator.latencies_ms) == [17]


def test_what_did_not_count_is_worth_asking_about(narrator: Narrator) -> None:
    narrator.tell(achieved("goal-of-form_submitted", contact_id=STRANGER))
    assert narrator.question == Question(contact_id=STRANGER, goal_id="goal-of-form_submitted")
    after_a_while(narrator, event(TAG, tag_name="Purchased"))
    assert narrator.question == Question(contact_id=ADA.contact_id, goal_id="goal-of-tag_added")


def test_what_a_key_sent_is_told_as_yours(narrator: Narrator) -> None:
    record = event(TAG, event_id="evt-7", tag_name="Newsletter")
    narrator.tell(record)
    record.headers = [YOURS]
    line = narrator.tell(record)
    assert line is not None
    assert (line.kind, line.is_yours) == (Kind.DUPLICATE, True)
    narrator.introduce(STRANGER, "You")
    line = narrator.tell(achieved("goal-of-tag_added", contact_id=STRANGER))
    assert line is not None
    assert line.is_yours
    assert line.text.startswith("You: achieved")


def test_goals_made_changed_and_deleted_while_it_runs_are_heard_of(narrator: Narrator) -> None:
    added = {**goal_documents()[-1], "id": "own", "criteria": {"tag_name": "Newsletter"}}
    narrator.tell(SentRecord("workflow.goal.configured", json.dumps(added).encode()))
    assert "not in Win back" in after_a_while(narrator, event(TAG, tag_name="Newsletter"))
    assert [row.title for row in narrator.goal_counts() if row.workflow == "Win back"][-1] == 'tag "Newsletter"'
    narrator.tell(SentRecord("workflow.goal.configured", json.dumps({**added, "is_active": False}).encode()))
    assert 'is not "Purchased"' in text_of(narrator.tell(event(TAG, tag_name="Newsletter")))
    assert len(narrator.goal_counts()) == 5
    for document in goal_documents():
        narrator.configure({**document, "deleted": True})
    assert "which has no goals" in text_of(narrator.tell(event(TAG, tag_name="Newsletter")))


def test_an_event_for_which_there_is_no_goal_says_so(narrator: Narrator) -> None:
    narrator.configure({**goal_documents()[-1], "deleted": True})
    assert text_of(narrator.tell(event(TAG, tag_name="Purchased"))) == f"{ADA.name}: {TAG}: no goal asks for it"


def test_a_workflows_name_is_taken_from_its_status(narrator: Narrator) -> None:
    status = {"workflow_id": WORLD.win_back.workflow_id, "name": "Come back", "status": "active"}
    narrator.tell(event("workflow.status.changed", **status))
    assert "not in Come back" in after_a_while(narrator, event(TAG, tag_name="Purchased"))


def test_a_malformed_record_is_counted_and_left_to_the_dead_letter(narrator: Narrator) -> None:
    assert narrator.tell(SentRecord(TAG, b"{")) is None
    assert narrator.counts["events"] == 1


def test_control_characters_of_a_foreign_text_never_reach_the_terminal(narrator: Narrator) -> None:
    line = narrator.tell(event(TAG, tag_name="\x1b[2Jgone\r" + "x" * 200))
    assert "\x1b" not in text_of(line)
    assert "\r" not in text_of(line)
    assert len(text_of(line)) < 150
    assert printable("a\x9bb") == "a�b"


def test_titles_say_what_a_goal_asks_for() -> None:
    titles = [
        goal_title(parse_criteria(goal_type, criteria))
        for goal_type, criteria in (
            (GoalType.TAG_ADDED, {"tag_id": "t-1"}),
            (GoalType.PURCHASE_MADE, {"any_purchase": True}),
            (GoalType.PURCHASE_MADE, {"min_amount": 100, "currency": "eur", "product_id": "p"}),
            (GoalType.PURCHASE_MADE, {"currency": "eur"}),
            (GoalType.APPOINTMENT_BOOKED, {"any_appointment": True}),
            (GoalType.APPOINTMENT_BOOKED, {"calendar_id": "c", "service_id": "s"}),
            (GoalType.FORM_SUBMITTED, {"form_id": "f"}),
            (GoalType.PIPELINE_STAGE_REACHED, {"pipeline_id": "p", "stage_id": "s"}),
        )
    ]
    assert titles == [
        'tag "t-1"',
        "purchase",
        'purchase of "p" from 100 EUR',
        "purchase in EUR",
        "any appointment",
        'appointment in "c" for "s"',
        'form "f"',
        'stage "s" of "p"',
    ]


CRITERIA: list[tuple[GoalType, dict[str, object]]] = [
    (GoalType.TAG_ADDED, {"tag_name": "purchased"}),
    (GoalType.TAG_ADDED, {"tag_id": "tag-lead"}),
    (GoalType.TAG_ADDED, {"tag_id": "tag-lead", "tag_name": "Purchased"}),
    (GoalType.PURCHASE_MADE, {"any_purchase": True}),
    (GoalType.PURCHASE_MADE, {"product_id": "course-2"}),
    (GoalType.PURCHASE_MADE, {"product_id": "course-1", "min_amount": 49}),
    (GoalType.PURCHASE_MADE, {"currency": "usd"}),
    (GoalType.APPOINTMENT_BOOKED, {"any_appointment": True}),
    (GoalType.APPOINTMENT_BOOKED, {"calendar_id": "support", "service_id": "other"}),
    (GoalType.FORM_SUBMITTED, {"form_id": "newsletter"}),
    (GoalType.PIPELINE_STAGE_REACHED, {"pipeline_id": "sales", "stage_id": "won"}),
    (GoalType.PIPELINE_STAGE_REACHED, {"pipeline_id": "other", "stage_id": "won"}),
]


@pytest.mark.parametrize(("goal_type", "criteria"), CRITERIA)
def test_a_sentence_is_said_exactly_where_the_goal_table_finds_no_match(
    goal_type: GoalType, criteria: dict[str, object]
) -> None:
    table = GoalTable()
    parsed = parse_criteria(goal_type, criteria)
    table.add(
        [
            GoalVersion(
                account_id=WORLD.account_id,
                workflow_id=WORLD.promo.workflow_id,
                goal_id=ENROLLMENT,
                version=1,
                goal_type=goal_type,
                criteria=parsed,
                is_active=True,
                is_deleted=False,
                window=None,
                measure_after_exit=timedelta(),
                effective_from=NOW,
                created_at=NOW,
            )
        ]
    )
    compared = 0
    for outgoing in islice(Story(WORLD, seed=7, start=NOW, rate=40), 1_500):
        timestamp = round((NOW + timedelta(seconds=outgoing.at_seconds)).timestamp() * 1000)
        try:
            fact = decode(outgoing.topic, SentRecord(outgoing.topic, outgoing.value, outgoing.headers, timestamp))
        except InvalidRecord:
            continue
        if isinstance(fact, Event) and fact.account_id == WORLD.account_id and fact.event_type == goal_type.event_type:
            assert (difference(fact, parsed) is None) == bool(table.match(fact))
            compared += 1
    assert compared > 20

"""Whatever the facts, their order and their repetition: the walk finds what the contract says, and it is recorded once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.facts import (
    ContactDeletion,
    ContactMerge,
    EnrollmentEnd,
    EnrollmentFacts,
    EnrollmentStart,
    Fact,
    Match,
    WorkflowStatus,
)
from goalstream.domain.settlement import Settlement, settle
from tests.unit.domain.builders import ACCOUNT, OTHER_ACCOUNT, at, deletion, end, goal, match, merge, start, status
from tests.unit.domain.recorder import Recorder
from tests.unit.domain.reference import walk

LATENESS = timedelta(hours=10)

GOALS = [
    goal("g1"),
    goal("g1", version=2, effective_from=at(4), window=timedelta(hours=6)),
    goal("g1", version=3, effective_from=at(6), is_active=False),
    goal("g2", created_at=at(-120), measure_after_exit=timedelta(hours=3)),
    goal("g2", version=2, effective_from=at(7), created_at=at(-120), is_deleted=True),
    goal("g3", effective_from=at(2)),
    goal("g4", workflow_id="w2"),
]
WORKFLOW_OF = {"g1": "w1", "g2": "w1", "g3": "w1", "g4": "w2"}

HOURS = st.sampled_from([-1, 0, 1, 2, 3, 4, 5, 6, 8, 10, 14])
DELAYS = st.sampled_from([0, 0, 0, 1, 9, 10, 11, 20, 40])
EVENT_IDS = st.sampled_from(["a", "b", "c"])


@st.composite
def matches(draw: st.DrawFn, datas: tuple[str, ...] = ("x",)) -> Match:
    hours, goal_id = draw(HOURS), draw(st.sampled_from(["g1", "g1", "g2", "g3", "g4"]))
    return match(
        hours,
        draw(EVENT_IDS),
        goal_id,
        workflow_id=WORKFLOW_OF[goal_id],
        goal_version=draw(st.sampled_from([1, 1, 2])),
        contact_id=draw(st.sampled_from(["c1", "c1", "c2"])),
        source=draw(st.sampled_from(["s", "t"])),
        record_at=at(hours + draw(DELAYS)),
        data=f'{{"note":"{draw(st.sampled_from(datas))}"}}',
    )


@st.composite
def true_matches(draw: st.DrawFn, datas: tuple[str, ...] = ("x",)) -> Match:
    """A match by the version in force when it occurred, as the goal table finds it."""
    one = draw(matches(datas))
    versions = [v for v in GOALS if v.goal_id == one.goal_id and v.effective_from <= one.occurred_at]
    return replace(one, goal_version=max((v.version for v in versions), default=1))


@st.composite
def starts(draw: st.DrawFn) -> EnrollmentStart:
    hours = draw(st.sampled_from([-2, 0, 1, 2, 6]))
    workflow_id = draw(st.sampled_from(["w1", "w1", "w1", "w2"]))
    return start(
        hours,
        event_id=draw(EVENT_IDS),
        workflow_id=workflow_id,
        contact_id=draw(st.sampled_from(["c1", "c1", "c1", "c2"])),
        trigger_event_id=draw(st.sampled_from([None, None, "a"])),
        record_at=at(hours + draw(DELAYS)),
    )


@st.composite
def ends(draw: st.DrawFn) -> EnrollmentEnd:
    hours = draw(st.sampled_from([-3, 1, 3, 5, 8]))
    reason = draw(st.sampled_from([None, "left", "goal_achieved"]))
    return end(hours, reason, event_id=draw(EVENT_IDS), record_at=at(hours + draw(DELAYS)))


@st.composite
def statuses(draw: st.DrawFn) -> WorkflowStatus:
    hours = draw(HOURS)
    return status(
        hours,
        draw(st.sampled_from(["active", "active", "inactive"])),
        draw(st.sampled_from([None, "any", "all", "all"])),
        event_id=draw(EVENT_IDS),
        workflow_id=draw(st.sampled_from(["w1", "w1", "w2"])),
        record_at=at(hours + draw(DELAYS)),
    )


@st.composite
def merges(draw: st.DrawFn) -> ContactMerge:
    hours, contacts = draw(HOURS), st.sampled_from(["c1", "c1", "c2", "c3"])
    record_at = at(hours + draw(DELAYS))
    return merge(hours, draw(contacts), draw(contacts), event_id=draw(EVENT_IDS), record_at=record_at)


@st.composite
def deletions(draw: st.DrawFn) -> ContactDeletion:
    hours = draw(HOURS)
    contact_id, record_at = draw(st.sampled_from(["c1", "c2", "c3"])), at(hours + draw(DELAYS))
    return deletion(hours, contact_id, event_id=draw(EVENT_IDS), record_at=record_at)


@st.composite
def enrollments(draw: st.DrawFn) -> EnrollmentFacts:
    """Facts that contradict each other, of which none has the same time and event id as another of its kind."""
    return EnrollmentFacts(
        account_id=ACCOUNT,
        enrollment_id="n1",
        starts=draw(st.lists(starts(), max_size=3, unique_by=lambda one: (one.entered_at, one.event_id))),
        ends=draw(st.lists(ends(), max_size=2)),
        matches=draw(st.lists(matches(), max_size=8)),
        goal_versions=GOALS,
        statuses=draw(
            st.lists(statuses(), max_size=4, unique_by=lambda one: (one.workflow_id, one.occurred_at, one.event_id))
        ),
    )


def facts_of(one: st.SearchStrategy[Match]) -> st.SearchStrategy[list[Fact]]:
    """Facts about one enrollment, starts among them, of every kind and in any order."""
    some: st.SearchStrategy[Fact] = st.one_of(one, one, one, starts(), ends(), statuses(), merges(), deletions())
    return st.lists(some, min_size=1, max_size=12)


def seen(settlement: Settlement) -> object:
    """Everything that a settlement says."""
    return (
        settlement.holdings,
        settlement.satisfied_by,
        [(one.identity, one.record_at, found) for one, found in settlement.verdicts],
    )


@given(facts=enrollments())
def test_the_walk_finds_what_the_contract_says(facts: EnrollmentFacts) -> None:
    expected = walk(facts, LATENESS)
    settlement = settle(facts, allowed_lateness=LATENESS)
    holdings, satisfied_by = settlement.holdings, settlement.satisfied_by
    assert {goal: (one.match.event_id, one.match.occurred_at) for goal, one in holdings.items()} == expected.achieved
    assert (satisfied_by and satisfied_by.match.goal_id) == expected.satisfied_by
    assert [found.value for _, found in settlement.verdicts] == expected.verdicts
    assert (satisfied_by.also_matched if satisfied_by else []) == expected.also_matched


@given(
    facts=st.fixed_dictionaries(
        {
            "starts": st.lists(starts(), max_size=3),
            "ends": st.lists(ends(), max_size=3),
            "matches": st.lists(matches(), max_size=6),
            "kept": st.lists(true_matches(), max_size=2),
            "statuses": st.lists(statuses(), max_size=4),
            "contacts": st.lists(merges() | deletions(), max_size=4),
            "goal_versions": st.just(GOALS),
        }
    ),
    chance=st.randoms(use_true_random=False),
)
def test_neither_order_nor_repetition_of_any_fact_matters(facts: dict[str, list[Any]], chance: Any) -> None:
    def settled(told: dict[str, list[Any]]) -> object:
        described = EnrollmentFacts(account_id=ACCOUNT, enrollment_id="n1", **told)
        return seen(settle(described, allowed_lateness=LATENESS))

    mixed = {kind: chance.sample([*several, *several], 2 * len(several)) for kind, several in facts.items()}
    assert settled(mixed) == settled(facts)


@given(facts=facts_of(true_matches(datas=("x", "y"))), chance=st.randoms(use_true_random=False))
def test_facts_one_at_a_time_in_any_order_lead_to_what_all_at_once_lead_to(facts: list[Fact], chance: Any) -> None:
    at_once = recorder()
    at_once.tell(*facts)
    one_by_one = recorder()
    for fact in chance.sample([*facts, *facts], 2 * len(facts)):
        one_by_one.tell(fact)
    assert one_by_one.valid() == at_once.valid()


@given(facts=facts_of(true_matches()))
def test_settling_again_changes_nothing(facts: list[Fact]) -> None:
    told = recorder()
    for fact in facts:
        told.tell(fact)
        assert told.tell() == []
        assert told.tell(*facts[: facts.index(fact)]) == []


@given(facts=facts_of(true_matches()))
def test_revisions_count_the_messages_and_the_greatest_is_what_holds(facts: list[Fact]) -> None:
    told = recorder()
    for fact in facts:
        told.tell(fact)
    assert len(told.exits) <= 1
    for goal_id, achievement in told.recorded.items():
        messages = [(revision, holds) for name, revision, holds in told.published if name == goal_id]
        assert messages == [(number, number % 2 == 1) for number in range(1, achievement.revision + 1)]
        assert achievement.is_valid == messages[-1][1]


@given(
    facts=facts_of(true_matches()),
    chance=st.randoms(use_true_random=False),
    cleanings=st.lists(st.booleans(), min_size=24, max_size=24),
)
def test_what_counts_does_not_depend_on_when_the_cleaning_job_ran(
    facts: list[Fact], chance: Any, cleanings: list[bool]
) -> None:
    at_once = recorder()
    at_once.tell(*facts)
    cleaned = recorder()
    waiting = sorted(facts, key=lambda fact: fact.record_at + timedelta(hours=chance.randrange(30)))
    while waiting:
        cleaned.tell(waiting.pop(0))
        if cleanings.pop():
            cleaned.clean(min((fact.record_at for fact in waiting), default=at(1_000)))
            assert cleaned.tell() == []
    assert cleaned.valid() == at_once.valid()


@given(facts=enrollments())
def test_a_match_of_another_account_is_never_an_achievement(facts: EnrollmentFacts) -> None:
    foreign = [match(event_id="f", account_id=OTHER_ACCOUNT, occurred_at=one.occurred_at) for one in facts.matches]
    described = EnrollmentFacts(
        account_id=ACCOUNT,
        enrollment_id="n1",
        starts=facts.starts,
        matches=[*facts.matches, *foreign],
        goal_versions=GOALS,
    )
    settlement = settle(described, allowed_lateness=LATENESS)
    assert all(holding.match.account_id == ACCOUNT for holding in settlement.holdings.values())


def recorder() -> Recorder:
    return Recorder(GOALS, allowed_lateness=LATENESS)

"""Generated histories are the same for the same seed, and hold every kind of interaction."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.oracle import generator
from tests.oracle.contacts import Contacts
from tests.oracle.envelope import BadRecord
from tests.oracle.generator import LATENESS, NOW, history
from tests.oracle.history import (
    CONTACT_DELETED,
    CONTACT_MERGED,
    ENROLLMENT_ENDED,
    ENROLLMENT_STARTED,
    EVENT_TOPICS,
    REFERENCE_CHANGED,
    History,
    joined,
    milliseconds,
)
from tests.oracle.oracle import Enrollment, Walk, dead_letters, exits, valid_achievements, walks
from tests.oracle.reading import Told, read

SEEDS = 200
SIZE = 60
OFTEN_ENOUGH = 10


def told(one: History) -> list[Told]:
    found = []
    for record in one.records:
        try:
            found.append(read(record))
        except BadRecord:
            continue
    return found


@pytest.fixture(scope="module")
def histories() -> list[History]:
    return [history(seed, SIZE) for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def walked(histories: list[History]) -> list[dict[Enrollment, Walk]]:
    return [walks(one, LATENESS) for one in histories]


def test_nothing_is_shared_with_the_product() -> None:
    for module in Path(generator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "goalstream" for name in names), module.name


@pytest.mark.parametrize("size", [5, 20, 60, 300])
def test_the_same_seed_gives_the_same_bytes_and_another_one_gives_others(size: int) -> None:
    assert history(7, size) == history(7, size)
    assert history(7, size) != history(8, size)
    assert len(history(7, size).records) == size


@pytest.mark.parametrize("seed", range(50))
def test_small_histories_have_as_many_records_as_asked_for(seed: int) -> None:
    assert len(history(seed, 5 + seed % 16).records) == 5 + seed % 16


def test_no_record_is_ahead_of_the_clock_or_too_old_and_every_goal_is_in_force(histories: list[History]) -> None:
    for one in histories:
        for record in one.records:
            assert milliseconds(NOW - 2 * LATENESS) <= record.timestamp <= milliseconds(NOW)
        assert all(version.effective_from <= NOW for version in one.goal_versions)


def test_versions_of_a_goal_follow_each_other_and_no_two_goals_of_a_workflow_ask_the_same(
    histories: list[History],
) -> None:
    for one in histories:
        for version in one.goal_versions:
            same = [v for v in one.goal_versions if (v.account_id, v.goal_id) == (version.account_id, version.goal_id)]
            assert [v.version for v in same] == list(range(1, len(same) + 1))
            assert sorted({v.effective_from for v in same}) == [v.effective_from for v in same]
            assert not any(v.is_deleted for v in same[:-1])
            others = [v for v in one.goal_versions if v.workflow_id == version.workflow_id and v not in same]
            assert not any(v.criteria == version.criteria and v.account_id == version.account_id for v in others)


def test_without_merges_references_or_bad_records_there_are_none() -> None:
    for seed in range(20):
        one = history(seed, SIZE, merges=False, references=False, bad_records=False)
        assert dead_letters(one) == []
        assert not {CONTACT_MERGED, CONTACT_DELETED, REFERENCE_CHANGED} & {record.topic for record in one.records}


def test_joined_histories_say_what_each_says_alone() -> None:
    several = [history(seed, SIZE) for seed in range(5)]
    together = joined(several)
    alone = {key: one for part in several for key, one in valid_achievements(part, LATENESS).items()}
    assert valid_achievements(together, LATENESS) == alone
    assert len(dead_letters(together)) == sum(len(dead_letters(part)) for part in several)


def test_the_order_and_the_repetition_of_records_do_not_matter() -> None:
    for seed in range(40):
        one = history(seed, SIZE)
        mixed = History(
            goal_versions=one.goal_versions[::-1] + one.goal_versions, records=one.records[::-1] * 2, now=one.now
        )
        assert walks(mixed, LATENESS) == walks(one, LATENESS)


def test_every_verdict_and_every_reason_occurs_often(
    histories: list[History], walked: list[dict[Enrollment, Walk]]
) -> None:
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for one, found in zip(histories, walked, strict=True):
        verdicts.update(verdict for walk in found.values() for _, verdict in walk.verdicts)
        reasons.update(reason for _, reason in dead_letters(one))
    for verdict in (
        "achieved", "too_late", "no_enrollment", "contact_merged", "goal_not_in_force", "workflow_inactive",
        "before_enrollment", "after_enrollment", "contact_deleted", "outside_window", "own_trigger", "already_achieved",
        "already_satisfied",
    ):  # fmt: skip
        assert verdicts[verdict] >= OFTEN_ENOUGH, verdict
    for reason in (
        "not_json", "forbidden_character", "bad_cloudevent", "type_contradicts_topic", "no_account", "no_contact",
        "bad_time", "wrong_type",
    ):  # fmt: skip
        assert reasons[reason] >= OFTEN_ENOUGH, reason


def test_achievements_come_about_in_every_way(histories: list[History], walked: list[dict[Enrollment, Walk]]) -> None:
    seen: Counter[str] = Counter()
    for one, found in zip(histories, walked, strict=True):
        versions = {(v.account_id, v.goal_id, v.version): v for v in one.goal_versions}
        events: Counter[object] = Counter()
        for (account_id, _), walk in found.items():
            seen["more than one of an enrollment"] += len(walk.achieved) > 1
            seen["without being satisfied"] += bool(walk.achieved) and walk.satisfied_by is None
            for goal_id, achieved in walk.achieved.items():
                version = versions[account_id, goal_id, achieved.goal_version]
                events[account_id, achieved.event_id, achieved.source, achieved.occurred_at] += 1
                seen["by a later version"] += version.version > 1
                seen["within a window"] += version.window is not None
                seen["of a survivor"] += achieved.contact_id != achieved.match_contact_id
                seen["of the second account"] += account_id[7] == "1"
                seen[version.goal_type] += 1
        seen["by an event that achieves twice"] += sum(count > 1 for count in events.values())
    seen["exits"] = sum(len(exits(one, LATENESS)) for one in histories[:50])
    kinds = [
        "by a later version", "within a window", "of a survivor", "of the second account", "without being satisfied",
        "by an event that achieves twice", "more than one of an enrollment", "exits", "tag_added", "purchase_made",
        "appointment_booked", "form_submitted", "pipeline_stage_reached",
    ]  # fmt: skip
    assert {kind: seen[kind] for kind in kinds if seen[kind] < OFTEN_ENOUGH} == {}


def test_facts_contradict_and_repeat_each_other(histories: list[History]) -> None:
    seen: Counter[str] = Counter()
    for one in histories:
        facts = told(one)
        same_id = Counter((fact.account_id, fact.source, fact.event_id) for fact in facts if fact.topic in EVENT_TOPICS)
        seen["the same event id"] += sum(count > 1 for count in same_id.values())
        seen["the same bytes"] += len(one.records) - len({record.value for record in one.records})
        starts = [fact for fact in facts if fact.topic == ENROLLMENT_STARTED]
        ends = [fact for fact in facts if fact.topic == ENROLLMENT_ENDED]
        for start in starts:
            same = [s for s in starts if _enrollment(s) == _enrollment(start) and s is not start]
            seen["another contact"] += any(s.fields["contact_id"] != start.fields["contact_id"] for s in same)
            seen["another workflow"] += any(s.fields["workflow_id"] != start.fields["workflow_id"] for s in same)
            seen["the same time, contradicting"] += any(
                s.fields["entered_at"] == start.fields["entered_at"] and s.said() != start.said() for s in same
            )
            own = [end.fields["ended_at"] for end in ends if _enrollment(end) == _enrollment(start)]
            seen["several ends"] += len(own) > 1
            seen["an end before the start"] += any(ended_at < start.fields["entered_at"] for ended_at in own)
        seen["echoes"] += sum(end.fields.get("reason") == "goal_achieved" for end in ends)
        seen["missing times"] += sum(fact.is_time_of_record for fact in facts)
        seen["hashed ids"] += sum(len(fact.event_id) == 64 for fact in facts)
        seen["cloudevents"] += sum(fact.source != fact.topic for fact in facts)
    assert {kind: count for kind, count in seen.items() if count < OFTEN_ENOUGH} == {}


def test_merges_make_chains_and_cycles_and_happen_twice_and_after_deletions(histories: list[History]) -> None:
    seen: Counter[str] = Counter()
    for one in histories:
        by_account: dict[str, list[Told]] = {}
        for fact in told(one):
            if fact.topic in (CONTACT_MERGED, CONTACT_DELETED):
                by_account.setdefault(fact.account_id, []).append(fact)
        for facts in by_account.values():
            facts.sort(key=lambda fact: (fact.occurred_at, fact.event_id, fact.source, fact.said()))
            for index, fact in enumerate(facts):
                _count(seen, fact, facts[:index])
    kinds = ["chain", "cycle", "double", "merge after deletion", "deletion after merge", "deletion of one merged away"]
    assert {kind: seen[kind] for kind in kinds if seen[kind] < OFTEN_ENOUGH} == {}


def _count(seen: Counter[str], fact: Told, before: list[Told]) -> None:
    contacts = Contacts(before)
    contact = fact.fields["contact_id"]
    deleted = {other.fields["contact_id"] for other in before if other.topic == CONTACT_DELETED}
    is_merged_away = contacts.is_merged_away(contact)
    if fact.topic == CONTACT_DELETED:
        seen["deletion of one merged away"] += is_merged_away
        seen["deletion after merge"] += any(contacts.survivor(o.fields["contact_id"]) == contact for o in before)
        return
    into = fact.fields["into_contact_id"]
    seen["double"] += is_merged_away
    seen["cycle"] += not is_merged_away and contacts.survivor(into) == contact
    seen["chain"] += contacts.is_merged_away(into)
    seen["merge after deletion"] += contact in deleted or into in deleted


def _enrollment(fact: Told) -> tuple[str, str]:
    return fact.account_id, fact.fields["enrollment_id"]

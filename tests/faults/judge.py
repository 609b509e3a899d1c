"""The verdict: what is there beside what must hold. Pure, so that it can be shown to notice every kind of damage."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from tests.faults.evidence import ACHIEVED, EXIT, REVOKED, Evidence, Message
from tests.faults.expectation import AchievementKey, BadLetter, Expected
from tests.faults.topics import Origin
from tests.oracle.oracle import Enrollment


@dataclass(slots=True, kw_only=True)
class Findings:
    """Everything that is not as it must be, one sentence each; none: clean."""

    lost: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    dead_letters_wrong: list[str] = field(default_factory=list)
    limits_missed: list[str] = field(default_factory=list)
    """Limits of a row itself: times, counts."""

    @property
    def is_clean(self) -> bool:
        return not self.sentences()

    def sentences(self) -> list[str]:
        """All of them."""
        return [*self.lost, *self.duplicate, *self.wrong, *self.dead_letters_wrong, *self.limits_missed]

    def add(self, other: Findings) -> None:
        """Takes over what another judgement found."""
        self.lost += other.lost
        self.duplicate += other.duplicate
        self.wrong += other.wrong
        self.dead_letters_wrong += other.dead_letters_wrong
        self.limits_missed += other.limits_missed


def judge(expected: Expected, seen: Evidence) -> Findings:
    """Compares everything; repeated messages that are the same to the byte are no fault."""
    found = Findings()
    _judge_rows(found, expected, seen)
    _judge_satisfied(found, expected.satisfied, seen.satisfied)
    kinds: dict[str, list[Message]] = defaultdict(list)
    for message in _distinct(found, seen.messages):
        kinds[message.topic].append(message)
    _judge_achievement_messages(found, seen, [*kinds[ACHIEVED], *kinds[REVOKED]])
    _judge_exits(found, expected.exits, seen, kinds[EXIT])
    _judge_dead_letters(found, expected.dead_letters, seen)
    if seen.left_in_outbox:
        found.lost.append(f"{seen.left_in_outbox} messages are left in the outbox")
    for (topic, partition), lag in seen.lags.items():
        found.lost.append(f"{lag} records of {topic}[{partition}] are not acknowledged")
    return found


def _judge_rows(found: Findings, expected: Expected, seen: Evidence) -> None:
    for key, count in Counter(row.key for row in seen.rows).items():
        if count > 1:
            found.duplicate.append(f"achievement {key} has {count} rows")
    valid = {row.key: row.achieved for row in seen.rows if row.is_valid}
    for key, achieved in expected.achievements.items():
        if key not in valid:
            found.lost.append(f"achievement {key} has no valid row; expected {achieved}")
        elif valid[key] != achieved:
            found.wrong.append(f"achievement {key} is {valid[key]}, not {achieved}")
    for key in valid.keys() - expected.achievements.keys():
        found.wrong.append(f"achievement {key} must not be valid: {valid[key]}")


def _judge_satisfied(
    found: Findings, expected: Mapping[Enrollment, datetime], seen: Mapping[Enrollment, datetime]
) -> None:
    for enrollment in expected.keys() | seen.keys():
        if expected.get(enrollment) != seen.get(enrollment):
            found.wrong.append(
                f"enrollment {enrollment} satisfied at {seen.get(enrollment)}, not {expected.get(enrollment)}"
            )


def _distinct(found: Findings, messages: Iterable[Message]) -> list[Message]:
    """Each message once; copies must be the same to the byte, except that an erasure takes the event's data out."""
    first: dict[tuple[str, str], Message] = {}
    for message in messages:
        known = first.setdefault((message.topic, message.message_id), message)
        if known != message and not (known.key == message.key and _differ_by_an_erasure(known, message)):
            found.duplicate.append(
                f"{message.topic} {message.message_id} was published as {known.body!r} and as {message.body!r}"
            )
    return list(first.values())


def _differ_by_an_erasure(one: Message, other: Message) -> bool:
    documents = one.document(), other.document()
    events = [document.pop("trigger_event", None) or {} for document in documents]
    data = [event.pop("data", None) for event in events]
    return None in data and data[0] != data[1] and documents[0] == documents[1] and events[0] == events[1]


def _judge_achievement_messages(found: Findings, seen: Evidence, messages: Sequence[Message]) -> None:
    """Folded by (achievement, greatest revision) they say what the rows say, and no revision was left out."""
    published = _by_revision(found, messages)
    rows = {row.key: row for row in seen.rows}
    for key, row in rows.items():
        told = published.get(key, {})
        for revision in set(range(1, row.revision + 1)) - told.keys():
            found.lost.append(f"revision {revision} of achievement {key} was never published")
        for revision in told.keys() - set(range(1, row.revision + 1)):
            found.wrong.append(f"revision {revision} of achievement {key} was published, the row has {row.revision}")
        if told and (told[max(told)] == ACHIEVED) != row.is_valid:
            found.wrong.append(f"achievement {key}: the newest message is on {told[max(told)]}, valid: {row.is_valid}")
    for key in published.keys() - rows.keys():
        found.wrong.append(f"achievement {key} was published and has no row")


def _by_revision(found: Findings, messages: Sequence[Message]) -> dict[AchievementKey, dict[int, str]]:
    """The topic on which each revision of an achievement is told; checks what follows from the contract about ids and keys."""
    published: dict[AchievementKey, dict[int, str]] = defaultdict(dict)
    for message in messages:
        document = message.document()
        key = (document["account_id"], document["workflow_enrollment_id"], document["goal_config_id"])
        revision, achievement_id = document["revision"], stable_id("achievement", *key)
        name = f"revision {revision} of achievement {key} on {message.topic}"
        if revision in published[key]:
            found.duplicate.append(f"{name} is also told on {published[key][revision]}")
        published[key][revision] = message.topic
        said = document["achievement_id"], message.message_id, message.key
        wanted = achievement_id, stable_id(message.topic, achievement_id, str(revision)), document["contact_id"]
        if said != wanted:
            found.wrong.append(f"{name} has ids and key {said}, not {wanted}")
        # The first message tells of an achievement, the next of its revocation, and so on in turns.
        if (message.topic == ACHIEVED) != (revision % 2 == 1):
            found.wrong.append(f"{name}: achieved and revoked do not alternate")
    return published


def _judge_exits(found: Findings, expected: set[Enrollment], seen: Evidence, messages: Sequence[Message]) -> None:
    exits: dict[Enrollment, Message] = {}
    for message in messages:
        document = message.document()
        enrollment = document["account_id"], document["workflow_enrollment_id"]
        if enrollment in exits:
            found.duplicate.append(f"enrollment {enrollment} has two different exits")
        exits[enrollment] = message
        if message.message_id != stable_id(EXIT, *enrollment) or message.key != document["contact_id"]:
            found.wrong.append(f"the exit of {enrollment} has a wrong id or key: {message.message_id}, {message.key}")
        moment = seen.exited.get(enrollment)
        if moment is None:
            found.wrong.append(f"an exit was published for {enrollment}, whose row tells of none")
        elif datetime.fromisoformat(document["achieved_at"]) != moment:
            found.wrong.append(f"the exit of {enrollment} says {document['achieved_at']}, its row {moment}")
    for enrollment in (expected | seen.exited.keys()) - exits.keys():
        found.lost.append(f"the exit of {enrollment} was never published")


def _judge_dead_letters(found: Findings, expected: Mapping[Origin, BadLetter], seen: Evidence) -> None:
    told: set[Origin] = set()
    wrong = found.dead_letters_wrong
    for letter in seen.dead_letters:
        headers = letter.record.headers
        added = {name: (text or b"").decode() for name, text in headers if name.startswith("goalstream_")}
        try:
            topic, partition, offset = (added[f"goalstream_{part}"] for part in ("topic", "partition", "offset"))
            reason, timestamp, error = (added[f"goalstream_{part}"] for part in ("reason", "timestamp", "error"))
        except KeyError as missing:
            wrong.append(f"a dead letter has no header {missing}: {letter}")
            continue
        origin = topic.removeprefix(seen.topic_prefix), int(partition), int(offset)
        bad = expected.get(origin)
        told.add(origin)
        if bad is None:
            wrong.append(f"{origin} must be no dead letter: {reason}, {error}")
            continue
        original = tuple(item for item in headers if not item[0].startswith("goalstream_"))
        if (letter.record.key, letter.record.value, original) != (bad.record.key, bad.record.value, bad.record.headers):
            wrong.append(f"the dead letter of {origin} is not the record as it was")
        if (reason, timestamp) != (bad.reason, str(bad.record.timestamp)) or not error:
            wrong.append(
                f"the dead letter of {origin} says {reason} {timestamp} {error!r}, not {bad.reason} {bad.record.timestamp}"
            )
    wrong += [f"{origin} is no dead letter: {expected[origin].reason}" for origin in expected.keys() - told]


def stable_id(*parts: str) -> str:
    """The id that the contract gives to an achievement or a message."""
    return str(uuid5(NAMESPACE_URL, ":".join(("goalstream", *parts))))

"""What `goalstream doctor` asks about those who read topics: do they keep up, and is what they read any good."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError, IncompatibleBrokerVersion

from goalstream.observability.findings import Finding, counted, ok, unknown, warning, wrong
from goalstream.streams import reading
from goalstream.streams.checkup import NOT_TOLD
from goalstream.streams.connection import Kafka
from goalstream.streams.letters import read_letter
from goalstream.streams.topics import DEAD_LETTER, READ_TOPICS

Process = Literal["worker", "deliverer"]

LOOK_AGAIN_SECONDS = 3.0
"""Longer than a worker takes from a batch to its commit: a group that moves nothing in so long stands still."""

DEAD_LETTER_HOURS = 1
WARNING_SHARE = 0.01
WRONG_SHARE = 0.1
WRONG_LETTERS = 100
"""Of dead letters among new records; a share of fewer says nothing."""


class Members(NamedTuple):
    """Members of the group, and how many of them read no partition."""

    total: int
    idle: int


class GroupCheckup:
    """The check of a consumer group, whose members are `goalstream worker` or another process."""

    def __init__(self, kafka: Kafka, *, group_id: str, topics: Sequence[str], process: Process = "worker") -> None:
        self._kafka = kafka
        self._group_id = group_id
        self._topics = topics
        self._process: Process = process

    async def group(self) -> Finding:
        """How far they are behind, and whether they go on. Raises BrokerUnavailable where Kafka does not answer."""
        async with (
            reading.admin(self._kafka) as client,
            reading.reader(self._kafka) as consumer,
        ):
            partitions = await reading.partitions_of(client, self._topics)
            if not partitions:
                return unknown("there are no topics to read yet", "run `goalstream topics`")
            first = await reading.acknowledged(client, self._group_id, partitions)
            behind = await reading.behind(consumer, first)
            has_moved = False
            if behind:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                second = await reading.acknowledged(client, self._group_id, partitions)
                has_moved = second != first
                behind = await reading.behind(consumer, second)
            members = await self._members(client)
        if not has_moved:
            behind = await reading.that_hold_records(self._kafka, behind)
        lag: Counter[str] = Counter()
        for partition, (begin, end) in behind.items():
            lag[partition.topic] += end - begin
        return judge_group(self._group_id, lag, has_moved=has_moved, members=members, process=self._process)

    async def _members(self, client: AIOKafkaAdminClient) -> Members | None:
        """None where the broker does not tell."""
        try:
            answers = await client.describe_consumer_groups([self._group_id])
        except (IncompatibleBrokerVersion, NotImplementedError):
            return None
        except GroupCoordinatorNotAvailableError:
            return Members(0, 0)
        members = [member for answer in answers for group in answer.groups for member in group[5]]
        return Members(len(members), sum(not _partitions(member[4]) for member in members))


class DeadLetterCheckup:
    """The check of what workers set aside."""

    def __init__(self, kafka: Kafka, *, topic_prefix: str) -> None:
        self._kafka = kafka
        self._topics = [topic_prefix + topic for topic in READ_TOPICS]
        self._dead_letter = topic_prefix + DEAD_LETTER

    async def dead_letters(self, now: Callable[[], datetime]) -> Finding:
        """How much of the last hour's records was set aside. Raises BrokerUnavailable where Kafka does not answer."""
        since = now() - timedelta(hours=DEAD_LETTER_HOURS)
        since_ms = int(since.timestamp() * 1000)
        async with reading.admin(self._kafka) as client:
            partitions = await reading.partitions_of(client, [*self._topics, self._dead_letter])
        async with reading.reader(self._kafka) as consumer:
            stretches = await _since(consumer, partitions, since_ms)
        reasons: Counter[str] = Counter()

        def take(record: Any) -> None:
            letter = read_letter(record)
            if letter is not None and letter.set_aside_at >= since_ms:
                reasons[letter.reason] += 1

        await reading.read(
            self._kafka,
            {
                partition: stretch
                for partition, (stretch, _) in stretches.items()
                if partition.topic == self._dead_letter
            },
            take,
        )
        is_told = all(is_told for _, is_told in stretches.values())
        records = sum(end - begin for tp, ((begin, end), _) in stretches.items() if tp.topic != self._dead_letter)
        return judge_dead_letters(reasons, records if is_told else None)


def judge_group(
    group_id: str, lag: Mapping[str, int], *, has_moved: bool, members: Members | None, process: Process = "worker"
) -> Finding:
    """The group: records not acknowledged yet by topic, whether it acknowledged any while we looked, and its members."""
    waiting = {topic: count for topic, count in lag.items() if count}
    total = sum(waiting.values())
    by_topic = ", ".join(f"{topic} {count}" for topic, count in sorted(waiting.items()))
    behind = f"{counted(total, 'record')} behind ({by_topic})" if total else "nothing is left to read"
    if members is None:
        who = f"group {group_id}: its members {NOT_TOLD}"
    else:
        who = f"group {group_id}: {counted(members.total, process)}"
    sentence = f"{who}, {behind}"
    if members is not None and not members.total:
        finding = wrong if total else warning
        return finding(sentence, f"start `goalstream {process}`")
    if members is not None and members.idle == members.total:
        return wrong(
            f"{sentence}, none of them reads a partition", "if this lasts longer than a rebalance, restart them"
        )
    if total and not has_moved:
        advice = f"it stands still: /readyz of a {process} says what it waits for; its log, why it stopped"
        return wrong(sentence, advice)
    if members is not None and members.idle and process == "worker":  # a deliverer without partitions sends as well
        return warning(
            f"{sentence}, {members.idle} of them read no partition",
            "run no more workers than there are partitions, or add partitions",
        )
    return ok(sentence)


def judge_dead_letters(reasons: Mapping[str, int], records: int | None) -> Finding:
    """The last hour: dead letters by reason beside new records, None where the broker does not tell how many."""
    letters = sum(reasons.values())
    beside = (
        f"how many records there were {NOT_TOLD}" if records is None else f"beside {counted(records, 'new record')}"
    )
    if not letters:
        return ok(f"no dead letter in the last hour, {beside}")
    named = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
    sentence = f"{counted(letters, 'dead letter')} in the last hour ({named}), {beside}"
    advice = "look with `goalstream dead-letters list --since 1h`"
    share = letters / max(records or 0, letters)
    if share >= WRONG_SHARE and letters >= WRONG_LETTERS:
        return wrong(sentence, f"{advice}, and ask the producer what has changed")
    return warning(sentence, advice) if share >= WARNING_SHARE else ok(sentence)


async def _since(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since_ms: int
) -> dict[TopicPartition, tuple[tuple[int, int], bool]]:
    """The stretch of each partition since a moment; all of it, and False, where the broker does not look up times."""
    if not partitions:
        return {}
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    firsts = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    eldest = await consumer.offsets_for_times(dict.fromkeys(partitions, 0))
    found = {}
    for partition in partitions:
        begin, end = begins[partition], ends[partition]
        is_told = begin == end or eldest[partition] is not None
        if is_told:
            begin = end if firsts[partition] is None else firsts[partition].offset
        found[partition] = ((begin, end), is_told)
    return found


def _partitions(assignment: bytes) -> list[TopicPartition]:
    return ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else []

"""The topics: their names, what they carry, and their creation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from goalstream.domain.messages import (
    GOAL_ACHIEVED_TOPIC,
    GOAL_CONFIGURED_TOPIC,
    GOAL_EXIT_TOPIC,
    GOAL_REVOKED_TOPIC,
)
from goalstream.domain.topics import CONTACT_DELETED as CONTACT_DELETED
from goalstream.domain.topics import CONTACT_MERGED as CONTACT_MERGED
from goalstream.domain.topics import ENROLLMENT_ENDED as ENROLLMENT_ENDED
from goalstream.domain.topics import ENROLLMENT_STARTED as ENROLLMENT_STARTED
from goalstream.domain.topics import EVENT_TOPICS as EVENT_TOPICS
from goalstream.domain.topics import READ_TOPICS as READ_TOPICS
from goalstream.domain.topics import REFERENCE_CHANGED as REFERENCE_CHANGED
from goalstream.domain.topics import WORKFLOW_STATUS_CHANGED as WORKFLOW_STATUS_CHANGED
from goalstream.errors import BrokerUnavailable
from goalstream.streams.connection import Kafka

DEAD_LETTER = "goalstream.dead-letter"

WRITTEN_TOPICS = (GOAL_CONFIGURED_TOPIC, GOAL_ACHIEVED_TOPIC, GOAL_REVOKED_TOPIC, GOAL_EXIT_TOPIC, DEAD_LETTER)
ALL_TOPICS = (*READ_TOPICS, *WRITTEN_TOPICS)
COMPACTED_TOPICS = frozenset({GOAL_CONFIGURED_TOPIC})

HEAR_SECONDS = 0.1

ADMIN_TIMEOUT_MS = 15_000

USUAL_REPLICATION_FACTOR = 3
"""Where nothing is asked for and there are brokers enough."""

LARGE_TOPICS = frozenset({GOAL_ACHIEVED_TOPIC, GOAL_REVOKED_TOPIC, DEAD_LETTER})
LARGE_MAX_BYTES = 4 * 1024 * 1024
"""Room for the largest record that a broker takes by default (1 MiB), with what we add: it is in their messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicReport:
    """What `goalstream topics` found and did about one topic; `differences` tells where an existing one deviates."""

    name: str
    created: bool
    partitions: int
    differences: tuple[str, ...] = ()


def wanted_config(name: str) -> dict[str, str]:
    """The settings that a topic must have, whoever created it; `name` is without prefix."""
    config = {
        "message.timestamp.type": "CreateTime",
        "cleanup.policy": "compact" if name in COMPACTED_TOPICS else "delete",
    }
    if name in LARGE_TOPICS:
        config["max.message.bytes"] = str(LARGE_MAX_BYTES)
    return config


async def create_topics(kafka: Kafka, *, prefix: str, partitions: int, replication_factor: int) -> list[TopicReport]:
    """Creates the topics that are missing and tells where existing ones differ. Raises BrokerUnavailable.

    A replication factor of 0 stands for three replicas, or as many as there are brokers.
    """
    admin = AIOKafkaAdminClient(**kafka.options, request_timeout_ms=ADMIN_TIMEOUT_MS)
    try:
        await admin.start()
        try:
            existing = set(await admin.list_topics())
            missing = [name for name in ALL_TOPICS if prefix + name not in existing]
            if missing:
                brokers = len((await admin.describe_cluster())["brokers"])
                replicas = replication_factor or min(USUAL_REPLICATION_FACTOR, brokers)
                await _create(admin, missing, prefix, partitions, replicas)
            described = await _described(admin, [prefix + name for name in ALL_TOPICS])
            reports = []
            for name in ALL_TOPICS:
                count = len(described[prefix + name]["partitions"])
                created = name in missing
                differences = () if created else await _differences(admin, name, prefix, count, partitions)
                reports.append(
                    TopicReport(name=prefix + name, created=created, partitions=count, differences=differences)
                )
            return reports
        finally:
            await admin.close()
    except (KafkaError, OSError, TimeoutError) as error:
        raise await kafka.unavailable(error) from error


async def _described(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, Any]:
    """Topics as the brokers know them: what the controller has just created they hear of a moment later.

    Raises TimeoutError when they do not hear of it at all.
    """
    async with asyncio.timeout(ADMIN_TIMEOUT_MS / 1_000):
        while True:
            described = {topic["topic"]: topic for topic in await admin.describe_topics(names)}
            if all(described[name]["partitions"] for name in names) and set(names) <= set(await admin.list_topics()):
                return described
            await asyncio.sleep(HEAR_SECONDS)


async def require_topics(kafka: Kafka, *, prefix: str) -> None:
    """Raises BrokerUnavailable while topics do not exist, or Kafka is away."""
    admin = AIOKafkaAdminClient(**kafka.options, request_timeout_ms=ADMIN_TIMEOUT_MS)
    try:
        await admin.start()
        try:
            existing = set(await admin.list_topics())
        finally:
            await admin.close()
    except (KafkaError, OSError, TimeoutError) as error:
        raise await kafka.unavailable(error) from error
    missing = [prefix + name for name in ALL_TOPICS if prefix + name not in existing]
    if missing:
        raise BrokerUnavailable(f"topics are missing ({', '.join(missing)}): run `goalstream topics`")


async def _create(
    admin: AIOKafkaAdminClient, names: list[str], prefix: str, partitions: int, replication_factor: int
) -> None:
    topics = [
        NewTopic(prefix + name, partitions, replication_factor, topic_configs=wanted_config(name)) for name in names
    ]
    response = await admin.create_topics(topics, timeout_ms=ADMIN_TIMEOUT_MS)
    for name, code, *rest in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise BrokerUnavailable(f"Kafka refuses to create topic {name}: error {code} {rest[0] if rest else ''}")


async def _differences(
    admin: AIOKafkaAdminClient, name: str, prefix: str, count: int, partitions: int
) -> tuple[str, ...]:
    found = [f"has {count} partitions, not {partitions}"] if count != partitions else []
    resource = ConfigResource(ConfigResourceType.TOPIC, prefix + name)
    (response,) = await admin.describe_configs([resource])
    for *_, entries in response.resources:
        actual = {entry[0]: entry[1] for entry in entries}
        found += [
            f"{key} is {actual.get(key)}, not {value}"
            for key, value in wanted_config(name).items()
            if actual.get(key) != value
        ]
    return tuple(found)

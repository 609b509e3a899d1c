"""What `goalstream doctor` asks of Kafka: is it there, are the topics as they must be, and what time is it there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.admin import ApiVersionRequest

from goalstream.domain.times import from_milliseconds
from goalstream.observability.findings import Finding, counted, judge_clock, ok, unknown, wrong
from goalstream.streams import reading
from goalstream.streams.connection import Kafka
from goalstream.streams.quorum import controller_clock_ms
from goalstream.streams.topics import ALL_TOPICS, wanted_config

NOT_TOLD = "cannot be asked of this broker"

_PRODUCE, _FETCH = 0, 1
_WITH_HEADERS = 3
"""The version of the produce request that came with headers, in Kafka 0.11."""

_KAFKA_4_FETCH = 4
"""The oldest fetch request that Kafka 4 still understands."""


class KafkaCheckup:
    """The checks; each raises BrokerUnavailable where Kafka does not answer."""

    def __init__(self, kafka: Kafka, *, topic_prefix: str) -> None:
        self._kafka = kafka
        self._topics = {topic_prefix + topic: wanted_config(topic) for topic in ALL_TOPICS}

    async def reach(self) -> Finding:
        """Whether it answers, and is new enough."""
        begin = time.monotonic()
        async with self._client() as client:
            answer = await client.send(client.get_random_node(), ApiVersionRequest())
            took_ms = (time.monotonic() - begin) * 1000
            versions = {key: (least, greatest) for key, least, greatest in answer.api_versions}
            return judge_protocol(versions, len(client.cluster.brokers()), took_ms)

    async def topics(self) -> Finding:
        """Whether the topics exist, have leaders, and are set as they must be."""
        async with reading.admin(self._kafka) as client:
            existing = set(await client.list_topics())
            missing = [topic for topic in self._topics if topic not in existing]
            # Only those that exist: a broker may make a topic that it is asked about.
            described = await client.describe_topics([topic for topic in self._topics if topic in existing])
            configs = await _configs(client, [topic for topic in self._topics if topic in existing])
        partitions = {topic["topic"]: topic["partitions"] for topic in described}
        leaderless = [
            f"{topic} {each['partition']}" for topic, own in partitions.items() for each in own if each["leader"] < 0
        ]
        counts = {topic: len(own) for topic, own in partitions.items()}
        return judge_topics(counts, missing, leaderless, self._topics, configs)

    async def clock(self, now: Callable[[], datetime]) -> Finding:
        """Kafka's clock beside ours, where Kafka tells it."""
        async with self._client() as client:
            try:
                await controller_clock_ms(client)  # opens the connection
                before = now()
                milliseconds = await controller_clock_ms(client)
                after = now()
            except (IncompatibleBrokerVersion, NotImplementedError):
                milliseconds = None
        there = None if milliseconds is None else from_milliseconds(milliseconds)
        if there is None:
            return unknown(f"Kafka's clock {NOT_TOLD}")
        half = (after - before) / 2
        return judge_clock(
            "the Kafka controller's clock", (there - before - half).total_seconds(), half.total_seconds()
        )

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AIOKafkaClient]:
        client = AIOKafkaClient(**self._kafka.options, request_timeout_ms=reading.REQUEST_TIMEOUT_MS)
        try:
            await client.bootstrap()
            yield client
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._kafka.unavailable(error) from error
        finally:
            await client.close()


def judge_protocol(versions: Mapping[int, tuple[int, int]], brokers: int, took_ms: float) -> Finding:
    """What the broker understands: the least and greatest version of each request, by the request's number."""
    is_kafka_4 = versions.get(_FETCH, (0, 0))[0] >= _KAFKA_4_FETCH
    sentence = f"Kafka answers in {took_ms:.0f} ms: {counted(brokers, 'broker')}"
    if versions.get(_PRODUCE, (0, 0))[1] < _WITH_HEADERS:
        return wrong(f"{sentence}, older than 0.11", "goalstream needs records with headers: use a newer Kafka")
    return ok(f"{sentence}, protocol of Kafka 4 or newer" if is_kafka_4 else f"{sentence}, protocol of Kafka before 4")


def judge_topics(
    partitions: Mapping[str, int],
    missing: Sequence[str],
    leaderless: Sequence[str],
    wanted: Mapping[str, Mapping[str, str]],
    configs: Mapping[str, Mapping[str, str]] | None,
) -> Finding:
    """The topics: `partitions` counts those of each that exists; `configs` is None where the broker does not tell them."""
    problems, advice = [], []
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
        advice.append("run `goalstream topics`")
    if leaderless:
        problems.append(f"without a leader: {', '.join(leaderless)}")
        advice.append("look after the brokers that hold them")
    for topic, settings in (configs or {}).items():
        for name, value in wanted[topic].items():
            if not _is_as_wanted(name, settings.get(name), value):
                problems.append(f"{topic} has {name}={settings.get(name)}")
                advice.append(f"`kafka-configs.sh --alter --topic {topic} --add-config {name}={value}`")
    if problems:
        return wrong("; ".join(problems), "; ".join(advice))
    counts = sorted(set(partitions.values()))
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    sentence = f"{len(partitions)} topics with {each} partitions each"
    return (
        unknown(f"{sentence}; their settings {NOT_TOLD}") if configs is None else ok(f"{sentence}, set as they must be")
    )


async def _configs(client: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]] | None:
    """The settings of topics, of those that may be seen; None where the broker does not tell any."""
    try:
        answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics])
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    found: dict[str, dict[str, str]] = {}
    for answer in answers:
        for error_code, _, _, topic, entries in _resources(answer):
            if not error_code:
                found[topic] = {entry[0]: entry[1] for entry in entries}
    return found or None


def _resources(answer: Any) -> list[tuple[int, str | None, int, str, list[tuple[str, str]]]]:
    return list(answer.resources)


def _is_as_wanted(name: str, actual: str | None, wanted: str) -> bool:
    if actual is None:
        return False
    if name == "cleanup.policy":
        return ("compact" in actual.split(",")) == (wanted == "compact")
    if name == "max.message.bytes":
        return int(actual) >= int(wanted)
    return actual == wanted

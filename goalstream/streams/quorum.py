"""The clock of a Kafka cluster, asked without writing anything.

No ordinary answer of a broker tells what time it is. The controllers' quorum does (KIP-836, Kafka 3.3 and later): of each
replica, when it last caught up with the leader; of the leader itself that is the moment of the answer, by its own clock.
aiokafka 0.14 does not know the request, so it is described here.
"""

from __future__ import annotations

from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_METADATA_TOPIC = "__cluster_metadata"
_TAGS = ("tags", TaggedFields)
_REPLICAS = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_ms", Int64),
    ("last_caught_up_ms", Int64),
    _TAGS,
)


class _QuorumResponse(Response):
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _QuorumStruct(RequestStruct):
    API_KEY = 55
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _QuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _QuorumRequest(Request[_QuorumStruct]):
    API_KEY = 55

    def build(self, request_struct_class: type[_QuorumStruct]) -> _QuorumStruct:
        return request_struct_class([(_METADATA_TOPIC, [(0, {})], {})], {})


async def controller_clock_ms(client: AIOKafkaClient) -> int | None:
    """The active controller's clock, in milliseconds since 1970; None where Kafka does not tell.

    Raises KafkaError, NotImplementedError for a broker that is too old among them.
    """
    node = client.get_random_node()
    answer: Any = await client.send(node, _QuorumRequest())
    for _, partitions, _ in answer.topics:
        for _, error_code, leader_id, _, _, voters, _, _ in partitions:
            for replica_id, _, _, last_caught_up_ms, _ in voters:
                if not error_code and replica_id == leader_id and last_caught_up_ms > 0:
                    return int(last_caught_up_ms)
    return None

"""Whether the brokers answer: asked on a connection of its own, since a consumer that waits for one cannot tell."""

from __future__ import annotations

import asyncio

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaConnectionError, KafkaError

from goalstream.streams.connection import Kafka
from goalstream.streams.failure import RetryInPlace

ANSWER_MS = 1_000
"""The client's own limit: where a timeout of ours cuts it short, aiokafka 0.14 leaves its connection open."""

ASK_AGAIN_SECONDS = 0.2
KEEP_ASKING_SECONDS = 0.5

NEVER_MS = 2**31
"""Nothing is asked about topics here."""


class Brokers:
    """The brokers, as far as a group needs them."""

    def __init__(self, kafka: Kafka, *, group_id: str) -> None:
        self._kafka = kafka
        self._group_id = group_id
        self._client: AIOKafkaClient | None = None

    async def answer(self) -> None:
        """Returns when a broker has told who coordinates the group. Raises BrokerUnavailable."""
        try:
            if self._client is None:
                self._client = AIOKafkaClient(
                    **self._kafka.options,
                    request_timeout_ms=ANSWER_MS,
                    metadata_max_age_ms=NEVER_MS,
                )
                await self._client.bootstrap()
            if not self._client.cluster.brokers():
                raise KafkaConnectionError("the brokers know of none yet")
            await self._client.coordinator_lookup(CoordinationType.GROUP, self._group_id)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise await self._kafka.unavailable(error) from error

    async def keep_asking(self, retry: RetryInPlace) -> None:
        """Asks for ever, so that whoever looks at our health sees it when they are away."""
        while True:
            await retry("brokers", self.answer)
            await asyncio.sleep(KEEP_ASKING_SECONDS)

    async def close(self) -> None:
        """Ends the connection; the next question makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def wait_for_brokers(client: AIOKafkaClient) -> None:
    """Makes a client's `bootstrap` wait until it knows a broker.

    A broker that has just come back may answer for a second that there are none, not even itself. aiokafka 0.14 takes that for
    an answer, and a consumer's coordination then ends with a failed assertion, for ever.
    """
    bootstrap = client.bootstrap

    async def until_a_broker_is_known() -> None:
        await bootstrap()
        while not client.cluster.brokers():
            await client.force_metadata_update()
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    client.bootstrap = until_a_broker_is_known

"""Progress: how far the group of workers has read."""

from __future__ import annotations

import asyncio

from goalstream.streams import reading
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import READ_TOPICS

LOOK_SECONDS = 1.0


class Progress:
    """The group's place on all topics that it reads."""

    def __init__(self, kafka: Kafka, *, group_id: str, topic_prefix: str) -> None:
        self._kafka = kafka
        self._group_id = group_id
        self._topics = [topic_prefix + topic for topic in READ_TOPICS]

    async def catch_up(self) -> None:
        """Returns when everything has been acknowledged that was in Kafka at the time of the call, however long that takes.

        Raises BrokerUnavailable.
        """
        async with reading.admin(self._kafka) as admin, reading.reader(self._kafka) as consumer:
            partitions = await reading.partitions_of(admin, self._topics)
            ends = await consumer.end_offsets(partitions)
            before = None
            while True:
                acknowledged = await reading.acknowledged(admin, self._group_id, partitions)
                left = {
                    partition: (begin, ends[partition])
                    for partition, (begin, _) in (await reading.behind(consumer, acknowledged)).items()
                    if begin < ends[partition]
                }
                if left and acknowledged == before:
                    left = dict(await reading.that_hold_records(self._kafka, left))
                if not left:
                    return
                before = acknowledged
                await asyncio.sleep(LOOK_SECONDS)

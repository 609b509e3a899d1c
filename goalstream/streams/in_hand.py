"""A poll of a topic on its way through a worker."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from goalstream.domain.facts import Fact
from goalstream.observability.traces import RecordSpan
from goalstream.streams.dead_letters import DeadLetter, RecordId, letter_about
from goalstream.streams.ports import Batch, Partition, Record


class Told(NamedTuple):
    """A record, and the facts that it tells; an event without a match tells none."""

    partition: Partition
    record: Record
    facts: list[Fact]
    span: RecordSpan | None = None


@dataclass(slots=True)
class InHand:
    """A poll of a topic on its way: the dead letters in it so far, what it tells, and whether that is settled."""

    topic: str
    batch: Batch
    letters: dict[RecordId, DeadLetter] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    is_settled: bool = False
    error: Exception | None = None
    began: float = field(default_factory=time.monotonic)

    def refuse(self, partition: Partition, record: Record, error: Exception) -> None:
        """A record that cannot be processed becomes a dead letter."""
        letter = letter_about(partition, record, error)
        self.letters[letter.record_id] = letter

    @property
    def facts(self) -> list[Fact]:
        """Everything that it tells."""
        return [fact for item in self.told for fact in item.facts]

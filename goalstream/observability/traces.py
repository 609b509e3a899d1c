"""Traces: what became of a record, as spans in the trace that its producer began. Off, they cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from goalstream.domain.events import Event
from goalstream.domain.goals import GoalVersion
from goalstream.domain.messages import EncodedMessage

Also = Callable[[Iterable[str | None]], None]
"""Hears of more records, by their `traceparent`."""

Place = tuple[str, int, int]
"""Topic as Kafka names it, partition and offset of a record."""


class RecordSpan(Protocol):
    """The span of one record, from the moment a worker has taken it until everything that it tells is settled."""

    @property
    def traceparent(self) -> str:
        """What spans of the same record have as their parent, here or wherever its messages go."""

    def end(self) -> None: ...


class Traces(Protocol):
    """What the path of a batch tells about itself."""

    def record(
        self, place: Place, event: Event, versions: Sequence[GoalVersion], *, seconds: float
    ) -> RecordSpan | None:
        """The span of a record that was taken, and matched by goal versions, within the last `seconds`; None where it is not
        recorded.
        """

    def set_aside(self, place: Place, *, reason: str, traceparent: str | None) -> None:
        """A record has become a dead letter."""

    def settlement(self, traceparents: Iterable[str | None]) -> AbstractContextManager[Also]:
        """Facts of several records are settled together: a span in each of their traces, linked to one another.

        Gives what hears of records from before that count only now, since the fact that they waited for is among these.
        """

    def step(self, name: str) -> AbstractContextManager[None]:
        """A step of what is going on, such as a transaction."""

    def waits(self, service: str) -> None:
        """The step has failed because a service is away, and will be repeated."""

    def publish(
        self, messages: Sequence[EncodedMessage], *, prefix: str
    ) -> AbstractContextManager[Sequence[str | None]]:
        """A span for each message while Kafka has not acknowledged it; gives the `traceparent` that each goes with."""

    async def close(self) -> None:
        """Sends what has not been sent yet, for two seconds at the most."""


class Untraced:
    """No traces: a producer's `traceparent` is carried through as it is."""

    def record(self, place: Place, event: Event, versions: Sequence[GoalVersion], *, seconds: float) -> None:
        """Nothing."""

    def set_aside(self, place: Place, *, reason: str, traceparent: str | None) -> None:
        """Nothing."""

    def settlement(self, traceparents: Iterable[str | None]) -> AbstractContextManager[Also]:
        return _NOBODY

    def step(self, name: str) -> AbstractContextManager[None]:
        return _NOTHING

    def waits(self, service: str) -> None:
        """Nothing."""

    def publish(
        self, messages: Sequence[EncodedMessage], *, prefix: str
    ) -> AbstractContextManager[Sequence[str | None]]:
        return nullcontext([message.traceparent for message in messages])

    async def close(self) -> None:
        """Nothing."""


def _ignore(_: Iterable[str | None]) -> None:
    """Nothing."""


_NOTHING = nullcontext()
_NOBODY = nullcontext(_ignore)
UNTRACED = Untraced()

"""Traces sent to an OpenTelemetry collector (OTLP over HTTP), named as its semantic conventions name things.

Ids of the spans that others refer to follow from what they are about. So a record that is read again after a crash, or a message
that a sweeper sends again, is told of by the same span, and a repeated message is the same to the byte.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from goalstream.domain.events import Event
from goalstream.domain.goals import GoalVersion
from goalstream.domain.messages import EncodedMessage
from goalstream.observability.traces import Also, Place

_LOWER_HALF = slice(19, 35)
"""Of a trace's id in a `traceparent`, by which samplers choose."""

SEND_SECONDS = 2
"""For one request to the collector, and for the last one of a process that stops."""


class OtlpTraces:
    """Records a share of all traces; whether a producer's is recorded at all is the producer's decision first."""

    def __init__(self, exporter: SpanExporter, *, share: float, version: str, group_id: str) -> None:
        """`share` of the traces, by their ids: whoever uses the same share, records the same ones."""
        self._ids = _Ids()
        self._group_id = group_id
        self._chosen = TraceIdRatioBased(share)
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "goalstream", "service.version": version}),
            sampler=ParentBased(self._chosen, remote_parent_sampled=self._chosen),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("goalstream", version)

    @classmethod
    def to(cls, endpoint: str, *, share: float, version: str, group_id: str) -> OtlpTraces:
        """To the collector at `endpoint`, such as http://collector:4318."""
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=SEND_SECONDS)
        return cls(exporter, share=share, version=version, group_id=group_id)

    def record(
        self, place: Place, event: Event, versions: Sequence[GoalVersion], *, seconds: float
    ) -> _RecordSpan | None:
        if event.traceparent is not None and not self._is_chosen(event.traceparent):
            return None
        now = time.time_ns()
        began = now - int(seconds * 1e9)
        with self._ids.of("record", *place):
            span = self._tracer.start_span(
                f"process {place[0]}",
                context=_context(event.traceparent),
                kind=SpanKind.CONSUMER,
                start_time=began,
                attributes={
                    **self._consumed(place),
                    "messaging.message.id": event.event_id,
                    "goalstream.account_id": event.account_id,
                },
            )
        if not span.is_recording():
            return None
        goals = {"goalstream.goal_ids": [version.goal_id for version in versions]}
        self._tracer.start_span(
            "match", context=set_span_in_context(span, Context()), start_time=began, attributes=goals
        ).end(now)
        return _RecordSpan(span)

    def set_aside(self, place: Place, *, reason: str, traceparent: str | None) -> None:
        with self._ids.of("dead letter", *place):
            span = self._tracer.start_span(
                f"dead_letter {place[0]}",
                context=_context(traceparent),
                kind=SpanKind.CONSUMER,
                attributes={**self._consumed(place), "error.type": reason},
            )
        span.set_status(Status(StatusCode.ERROR, reason))
        span.end()

    @contextmanager
    def settlement(self, traceparents: Iterable[str | None]) -> Iterator[Also]:
        # The span that holds the steps lies in the trace of one record, and links to those of the others; each of these has a
        # span of the same length, which links to it.
        began = time.time_ns()
        told = self._chosen_ones(traceparents)
        contexts = [_context(traceparent) for traceparent in told]
        count = {"messaging.batch.message_count": len(contexts)}
        first = None
        if contexts:
            links = [Link(get_current_span(context).get_span_context()) for context in contexts[1:]]
            first = self._tracer.start_span("settlement", context=contexts[0], links=links, attributes=count)
        earlier: list[str] = []
        try:
            with nullcontext() if first is None else use_span(first, end_on_exit=True):
                yield lambda more: earlier.extend(self._chosen_ones(more))
        finally:
            contexts += [_context(traceparent) for traceparent in earlier if traceparent not in told]
            links = [] if first is None else [Link(first.get_span_context())]
            for context in contexts if first is None else contexts[1:]:
                self._tracer.start_span(
                    "settlement", context=context, links=links, attributes=count, start_time=began
                ).end()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        if not get_current_span().is_recording():
            yield
            return
        with self._tracer.start_as_current_span(name):
            yield

    def waits(self, service: str) -> None:
        get_current_span().add_event("waiting_for_service", {"goalstream.service": service})

    def statement(self, text: str, seconds: float) -> None:
        """A statement that PostgreSQL has just answered."""
        if not get_current_span().is_recording():
            return
        now = time.time_ns()
        summary = _summary(text)
        self._tracer.start_span(
            summary,
            kind=SpanKind.CLIENT,
            start_time=now - int(seconds * 1e9),
            attributes={"db.system.name": "postgresql", "db.query.summary": summary, "db.query.text": text.strip()},
        ).end(now)

    @contextmanager
    def publish(self, messages: Sequence[EncodedMessage], *, prefix: str) -> Iterator[Sequence[str | None]]:
        spans = {
            message: self._send_span(message, message.traceparent, prefix)
            for message in messages
            if message.traceparent is not None and self._is_chosen(message.traceparent)
        }
        try:
            yield [
                _traceparent(spans[message].get_span_context()) if message in spans else message.traceparent
                for message in messages
            ]
        except Exception as error:
            for span in spans.values():
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            for span in spans.values():
                span.end()

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.to_thread(self._provider.shutdown)

    def _send_span(self, message: EncodedMessage, traceparent: str, prefix: str) -> Span:
        topic = prefix + message.topic
        with self._ids.of("message", message.message_id):
            return self._tracer.start_span(
                f"send {topic}",
                context=_context(traceparent),
                kind=SpanKind.PRODUCER,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.name": "send",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": topic,
                    "messaging.message.id": message.message_id,
                },
            )

    def _consumed(self, place: Place) -> dict[str, str | int]:
        topic, partition, offset = place
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": offset,
            "messaging.consumer.group.name": self._group_id,
        }

    def _chosen_ones(self, traceparents: Iterable[str | None]) -> list[str]:
        """Those whose traces are recorded, each once."""
        return [one for one in dict.fromkeys(traceparents) if one is not None and self._is_chosen(one)]

    def _is_chosen(self, traceparent: str) -> bool:
        """Whether its producer records a trace, and it is among the share that is recorded here. Every match is asked this."""
        if not int(traceparent[-2:], 16) & TraceFlags.SAMPLED:
            return False
        return int(traceparent[_LOWER_HALF], 16) < self._chosen.bound


class _RecordSpan:
    """A record's span, and the `traceparent` of what follows from it."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = _traceparent(span.get_span_context())

    def end(self) -> None:
        self._span.end()


class _Ids(RandomIdGenerator):
    """Random ids, but for a span of which is said what it is about."""

    def __init__(self) -> None:
        self._about: str | None = None

    @contextmanager
    def of(self, *about: object) -> Iterator[None]:
        """The next span, and a trace that it begins, have the ids that follow from `about`."""
        self._about = repr(about)
        try:
            yield
        finally:
            self._about = None

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self._about is None else _hash("span", self._about, bits=64)

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self._about is None else _hash("trace", self._about, bits=128)


def _hash(*about: str, bits: int) -> int:
    return int.from_bytes(sha256(repr(about).encode()).digest()) >> (256 - bits) or 1


_PROPAGATOR = TraceContextTextMapPropagator()


def _context(traceparent: str | None) -> Context:
    """Whatever is current does not count: spans of records are children of what their producers say."""
    return Context() if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & TraceFlags.SAMPLED:02x}"


_WRITES = re.compile(r"\b(insert into|update|delete from)\s+(\w+)")
_READS = re.compile(r"\b(?:from|join)\s+(?!lateral\b)(\w+)\b(?!\()")

_NAMED = re.compile(r"\b(\w+)(?:\s*\([^()]*\))?\s+as\s+(?:materialized\s+)?\(")
"""What a statement itself names: `with family as (…`."""


def _summary(text: str) -> str:
    """What a statement does, and to which tables: few different ones, for a span's name."""
    # `for update` is followed by no table, and `do update set` by none either.
    writes = [
        f"{verb.split()[0].upper()} {table}" for verb, table in _WRITES.findall(text) if table not in ("set", "of")
    ]
    if writes:
        return " ".join(dict.fromkeys(writes))
    own = set(_NAMED.findall(text))
    reads = [f"SELECT {table}" for table in _READS.findall(text) if table not in own]
    return next(iter(reads), text.split()[0].strip(";").upper())

"""Traces of a batch: a record's spans are children of its producer's, spans of the same thing are the same, and most cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from goalstream.domain.facts import Match
from goalstream.errors import DatabaseUnavailable, RefusedByDatabase
from goalstream.observability.otlp import OtlpTraces
from tests.unit.streams.fakes import message
from tests.unit.streams.records import FakeRecord, envelope, record
from tests.unit.streams.test_processor import TAG, Stage, tagged

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CRM = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CRM}-01"
UNSAMPLED = f"00-{TRACE}-{CRM}-00"


def traced(event_id: str, traceparent: str = TRACEPARENT) -> FakeRecord:
    return record(envelope(event_id=event_id), headers=[("traceparent", traceparent.encode())])


class Traced:
    """A stage whose spans are kept."""

    def __init__(self, *, share: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.traces = OtlpTraces(self._exporter, share=share, version="1", group_id="group")
        self.stage = Stage(traces=self.traces)

    async def spans(self) -> list[ReadableSpan]:
        await self.traces.close()
        return list(self._exporter.get_finished_spans())

    @property
    def traceparents(self) -> Sequence[str | None]:
        return [fact.traceparent for fact in self.stage.ledger.stored if isinstance(fact, Match)]


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{parent.span_id:016x}" if parent else None


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


async def test_a_record_is_followed_from_its_producer_to_its_messages() -> None:
    traced_stage = Traced()
    stage = traced_stage.stage
    await stage.process(traced("e1"))
    (traceparent,) = traced_stage.traceparents
    with traced_stage.traces.publish([message(traceparent=traceparent)], prefix="pre.") as sent_with:
        pass
    spans = await traced_stage.spans()
    assert {ids(span)[0] for span in spans} == {TRACE}
    (process,) = named(spans, f"process {TAG}")
    _, process_id, parent = ids(process)
    assert parent == CRM
    assert process.kind is SpanKind.CONSUMER
    assert process.attributes is not None
    assert process.attributes["messaging.message.id"] == "e1"
    assert traceparent == f"00-{TRACE}-{process_id}-01"
    (settlement,), (send,) = named(spans, "settlement"), named(spans, "send pre.workflow.goal.achieved")
    assert [ids(span)[2] for span in (*named(spans, "match"), settlement, send)] == [process_id] * 3
    assert [ids(span)[2] for step in ("store", "settle") for span in named(spans, step)] == [ids(settlement)[1]] * 2
    assert sent_with == [f"00-{TRACE}-{ids(send)[1]}-01"]


async def test_a_record_read_again_and_a_message_sent_again_have_the_same_spans() -> None:
    found = set()
    for _ in range(2):
        again = Traced()
        await again.stage.process(traced("e1"))
        with again.traces.publish([message(traceparent=again.traceparents[0])], prefix="") as sent_with:
            found.add((again.traceparents[0], sent_with[0]))
    assert len(found) == 1


async def test_records_that_are_settled_together_are_linked() -> None:
    group = Traced()
    parents = [f"00-{number:032x}-{CRM}-01" for number in (1, 2, 3)]
    await group.stage.process(*[traced(f"e{number}", parent) for number, parent in enumerate(parents)])
    settlements = named(await group.spans(), "settlement")
    assert {ids(span)[0] for span in settlements} == {f"{number:032x}" for number in (1, 2, 3)}
    (first,) = [span for span in settlements if len(span.links) == 2]
    assert {link.context.trace_id for link in first.links} == {2, 3}
    assert [[f"{link.context.span_id:016x}" for link in span.links] for span in settlements if span is not first] == [
        [ids(first)[1]]
    ] * 2


async def test_a_match_that_counts_only_now_has_the_settlement_in_its_trace() -> None:
    waited = Traced()
    earlier, unsampled = f"00-{7:032x}-{CRM}-01", f"00-{8:032x}-{CRM}-00"
    with waited.traces.settlement([TRACEPARENT]) as also:
        also([earlier, unsampled, None, TRACEPARENT])
    with waited.traces.settlement([]) as also:
        also([earlier])
    spans = named(await waited.spans(), "settlement")
    assert [ids(span)[0] for span in spans] == [TRACE, f"{7:032x}", f"{7:032x}"]
    assert [[link.context.trace_id for link in span.links] for span in spans] == [[], [int(TRACE, 16)], []]
    assert all(span.start_time and span.end_time and span.start_time <= span.end_time for span in spans)


async def test_what_its_producer_does_not_record_is_carried_through_untouched() -> None:
    unsampled = Traced()
    await unsampled.stage.process(traced("e1", UNSAMPLED))
    assert unsampled.traceparents == [UNSAMPLED]
    with unsampled.traces.publish([message(traceparent=UNSAMPLED)], prefix="") as sent_with:
        assert sent_with == [UNSAMPLED]
    assert await unsampled.spans() == []


async def test_of_a_share_the_others_are_carried_through_untouched() -> None:
    none = Traced(share=0)
    await none.stage.process(traced("e1"), tagged("e2"))
    assert set(none.traceparents) == {TRACEPARENT, None}
    with none.traces.publish([message(traceparent=TRACEPARENT), message()], prefix="") as sent_with:
        assert sent_with == [TRACEPARENT, None]
    assert await none.spans() == []


async def test_a_record_without_a_trace_begins_one() -> None:
    alone = Traced()
    await alone.stage.process(tagged("e1"))
    (process,) = named(await alone.spans(), f"process {TAG}")
    trace_id, span_id, parent = ids(process)
    assert parent is None
    assert alone.traceparents == [f"00-{trace_id}-{span_id}-01"]


async def test_an_outage_is_seen_in_the_step_that_waited() -> None:
    outage = Traced()
    outage.stage.ledger.failures = [DatabaseUnavailable("away")]
    await outage.stage.process(traced("e1"))
    spans = await outage.spans()
    assert [span.status.status_code for span in named(spans, "store")] == [StatusCode.ERROR, StatusCode.UNSET]
    (settlement,) = named(spans, "settlement")
    assert [event.name for event in settlement.events] == ["waiting_for_service"]


async def test_a_dead_letter_is_an_error_in_its_producers_trace() -> None:
    poison = Traced()
    await poison.stage.process(record(b"nonsense", headers=[("traceparent", TRACEPARENT.encode())]))
    poison.stage.ledger.failures = [RefusedByDatabase("no")]
    await poison.stage.process(traced("e2"))
    letters = named(await poison.spans(), f"dead_letter {TAG}")
    assert [ids(span)[::2] for span in letters] == [(TRACE, CRM)] * 2
    assert [span.attributes and span.attributes["error.type"] for span in letters] == [
        "not_json",
        "refused_by_database",
    ]
    assert {span.status.status_code for span in letters} == {StatusCode.ERROR}


async def test_a_statement_is_named_by_what_it_does_to_which_tables() -> None:
    names = {
        "with marked as (insert into marks values (1)) update enrollments set x = 1": "INSERT marks UPDATE enrollments",
        "insert into facts select * from unnest($1) on conflict do update set x = 1": "INSERT facts",
        "\nselect now(), e.* from unnest($1) join lateral (select 1) as x on true join enrollments as e on true for update":
            "SELECT enrollments",
        "delete from outbox where true": "DELETE outbox",
        "with recursive family (id) as (select $1 union select 1 from family) select * from family join merges on true":
            "SELECT merges",
        "COMMIT;": "COMMIT",
    }  # fmt: skip
    found = Traced()
    with found.traces.settlement([TRACEPARENT]), found.traces.step("store"):
        for text in names:
            found.traces.statement(text, 0.25)
    found.traces.statement("select * from nobody_asks", 0.1)
    spans = [span for span in await found.spans() if span.kind is SpanKind.CLIENT]
    assert [span.name for span in spans] == list(names.values())
    assert {span.end_time - span.start_time for span in spans if span.end_time and span.start_time} == {250_000_000}

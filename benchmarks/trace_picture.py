"""A trace as it looks: a CRM's payment, what goalstream does with it, and the workflow engine that reads of it.

python -m benchmarks.trace_picture docs/trace.svg [--kafka HOST:PORT] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from benchmarks import plots
from benchmarks.services import services
from benchmarks.worker import running_worker
from goalstream.domain.goals import PurchaseCriteria
from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import create_topics
from tests.integration.builders import World
from tests.services.collector import CollectedSpan, collector

WARM_UP = 30
"""Payments before the one that is shown: the first ones prepare statements and open connections."""

WAIT_SECONDS = 60


def tracer(service: str, endpoint: str) -> trace.Tracer:
    """Traces of a system around goalstream."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    return provider.get_tracer(service)


def envelope(event_type: str, account_id: str, data: dict[str, Any]) -> bytes:
    document = {
        "event_id": str(uuid4()),
        "event_type": event_type,
        "account_id": account_id,
        "timestamp": datetime.now(UTC).isoformat(),
        "data": data,
    }
    return json.dumps(document).encode()


async def follow(kafka: str, database_url: str, endpoint: str) -> int:
    """Sends payments, one after the other, and reads what comes of each; the last one's trace."""
    await migrate(database_url)
    await create_topics(Kafka(bootstrap_servers=kafka), prefix="", partitions=1, replication_factor=1)
    database = Database(database_url, size=2, sees_all_accounts=True)
    crm, engine = tracer("crm", endpoint), tracer("workflow-engine", endpoint)
    environment = {
        "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "GOALSTREAM_DATABASE_URL": database_url,
        "GOALSTREAM_OTLP_ENDPOINT": endpoint,
        "GOALSTREAM_METRICS_PORT": "0",
    }
    worlds = [World(database) for _ in range(WARM_UP + 1)]
    for world in worlds:
        await world.add_goal(PurchaseCriteria(any_purchase=True))
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    consumer = AIOKafkaConsumer("workflow.goal.achieved", bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with producer, consumer:
        with running_worker(environment) as worker:
            for world in worlds:
                ids = {"workflow_id": world.workflow_id, "contact_id": world.contact_id}
                start = envelope(
                    "workflow.enrollment.started", world.account_id, {"enrollment_id": world.enrollment_id, **ids}
                )
                await producer.send_and_wait("workflow.enrollment.started", start)
                await asyncio.sleep(0.2)
                with crm.start_as_current_span("checkout: payment.completed", kind=trace.SpanKind.PRODUCER) as span:
                    headers: dict[str, str] = {}
                    inject(headers)
                    payment = envelope(
                        "payment.completed", world.account_id, {**ids, "amount": "49.00", "currency": "EUR"}
                    )
                    await producer.send_and_wait(
                        "payment.completed", payment, headers=[(name, text.encode()) for name, text in headers.items()]
                    )
                async with asyncio.timeout(WAIT_SECONDS):
                    achieved = await consumer.getone()
                context = extract({name: value.decode() for name, value in achieved.headers})
                with engine.start_as_current_span(
                    "process workflow.goal.achieved", context=context, kind=trace.SpanKind.CONSUMER
                ):
                    await asyncio.sleep(0.002)  # it lets the contact out
            await asyncio.sleep(0.5)
            await worker.stop()
    await database.close()
    return span.get_span_context().trace_id


def in_order(
    spans: Sequence[CollectedSpan], parent_id: str = "", depth: int = 0
) -> Iterator[tuple[int, CollectedSpan]]:
    """The spans as a tree is read, each with how deep it lies."""
    for span in sorted(spans, key=lambda one: one.start):
        if span.parent_id == parent_id:
            yield depth, span
            yield from in_order(spans, span.span_id, depth + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--kafka")
    parser.add_argument("--database")
    arguments = parser.parse_args()
    with services(arguments.kafka, arguments.database) as (kafka, database), collector() as collected:
        trace_id = asyncio.run(follow(kafka, database, collected.endpoint))
        rows = list(in_order(collected.trace(f"{trace_id:032x}")))
    if len(rows) != len(collected.trace(f"{trace_id:032x}")):
        raise SystemExit("the trace is broken: some spans have no parent")
    plots.trace([(depth, span.service, span.name, span.start, span.end) for depth, span in rows], arguments.path)
    print(f"{len(rows)} spans in {arguments.path}")


if __name__ == "__main__":
    main()

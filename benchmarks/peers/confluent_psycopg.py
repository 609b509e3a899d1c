"""By hand with confluent-kafka and psycopg: poll, record, publish, commit."""

from __future__ import annotations

import msgspec
import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from psycopg.rows import dict_row

from benchmarks.peers import job


def delivered(error: KafkaError | None, _: Message) -> None:
    """Ends the program where a message was not taken: the events are read again."""
    if error is not None:
        raise KafkaException(error)


def main() -> None:
    """Until it is stopped."""
    decode = msgspec.json.Decoder(job.Event).decode
    consumer = Consumer(
        {
            "bootstrap.servers": job.KAFKA,
            "group.id": job.GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": job.KAFKA, "acks": "all", "enable.idempotence": True})
    consumer.subscribe(job.TOPICS)
    with psycopg.connect(job.DATABASE_URL, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        goals = job.index_goals(connection.execute(job.GOALS))
        cursor = connection.cursor(row_factory=dict_row)
        while True:
            records = consumer.consume(job.BATCH, timeout=0.1)
            for record in records:
                if record.error():
                    raise KafkaException(record.error())
            if columns := job.match(goals, [decode(record.value() or b"") for record in records]):
                for row in cursor.execute(job.RECORD, [list(column) for column in columns]):
                    producer.produce(job.ACHIEVED, msgspec.json.encode(row), row["contact_id"], on_delivery=delivered)
                producer.flush()
            if records:
                consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main()

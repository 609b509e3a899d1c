"""Every metric, declared once with its meaning. Labels are bounded; a batch updates each at most once."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

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
    "What housekeeping removed as too old: matches, enrollments, audit entries, and answers kept for an Idempotency-Key",
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
JWKS_READS = Counter(
    "goalstream_jwks_reads", "Times that the public keys of tokens were read, or failed to be", ["outcome"]
)
ROLL_UP_SECONDS = Histogram(
    "goalstream_roll_up_seconds",
    "How long it took to bring the statistics of large workflows up to date, in seconds; near zero where another worker does",
    buckets=(0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
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
GOALS = Gauge("goalstream_goals", "Goals in the goal table that can be achieved")
HORIZON_AGE_SECONDS = Gauge(
    "goalstream_horizon_age_seconds", "How long ago the goal table was last proved complete, in seconds"
)
ASSIGNED_PARTITIONS = Gauge("goalstream_assigned_partitions", "Partitions that this worker reads")

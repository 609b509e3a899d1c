"""What `explain --scan` adds to the verdicts of the API: events of the goal's type that Kafka still has, and why they are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.progress import Progress

from goalstream.cli.terminal import err, settings_in_force, within_deadline
from goalstream.cli.verdicts import moment_of, versions_of
from goalstream.domain.differences import why_no_match
from goalstream.domain.events import Event
from goalstream.domain.explanation import Explanation
from goalstream.domain.goal_history import GoalHistory
from goalstream.domain.goals import GoalType, GoalVersion, criteria_document
from goalstream.domain.messages import event_document
from goalstream.domain.wording import moment_in_words
from goalstream.streams.connection import Kafka
from goalstream.streams.scan import Scan, Scanned, scan

NOT_RECORDED = "not_recorded"
"""An event fulfils the criteria, and nothing is known of it."""


def add_scanned(document: dict[str, Any], since: datetime, until: datetime, max_records: int) -> list[str]:
    """Reads the goal's topic, and adds to `verdicts` what has none yet; returns what a person should know of it.

    Raises BrokerUnavailable, or OperatorError where the topic does not exist.
    """
    goal = document["goal"]
    versions = versions_of(goal)
    settings = settings_in_force()
    wanted = Scan(
        topic=GoalType(goal["goal_type"]).event_type,
        account_id=goal["account_id"],
        contact_ids=document["contact_ids"],
        since=since,
        until=until,
        max_records=max_records,
    )
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(f"reading {wanted.topic}", total=None)
        found = within_deadline(
            lambda: scan(
                Kafka.of(settings),
                wanted,
                topic_prefix=settings.kafka_topic_prefix,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        )
    added = list(_entries(document, found.events, versions))
    document["verdicts"] = sorted([*document["verdicts"], *added], key=_occurred_at, reverse=True)
    document["scanned"] = {
        "since": since,
        "until": until,
        "records": found.read,
        "left_out": found.left_out,
        "retained_from": {str(partition): moment for partition, moment in sorted(found.retained_from.items())},
        "unreadable": found.unreadable,
    }
    return list(_notes(wanted, found, len(added)))


def _entries(
    document: Mapping[str, Any], events: Sequence[Event], versions: Sequence[GoalVersion]
) -> Iterator[dict[str, Any]]:
    """A verdict for each event that the API tells nothing of; copies are one."""
    judged = {_identity(verdict["event"]) for verdict in document["verdicts"]}
    oldest = min((_occurred_at(verdict) for verdict in document["verdicts"]), default=None)
    history = GoalHistory(versions)
    for event in {_identity(event_document(event)): event for event in events}.values():
        told = event_document(event)
        why = why_no_match(event, versions)
        if why is None:
            is_beyond = not document["is_complete"] and (oldest is None or event.occurred_at <= oldest)
            if is_beyond or _identity(told) in judged:
                continue
            why = _not_recorded()
        version = history.at(versions[0].goal_id, event.occurred_at)
        yield {
            "event": told,
            "goal_version": version and version.version,
            "criteria": None if version is None else criteria_document(version.criteria),
            "enrollment_id": None,
            "verdict": why.verdict,
            "wanted": why.wanted,
            "got": why.got,
            "text": why.text,
            "achievement": None,
        }


def _not_recorded() -> Explanation:
    text = (
        "The event fulfils the criteria, and nothing is recorded of it: no worker has read it yet, or it was read and deleted"
        " again when nothing could change any more."
    )
    return Explanation(verdict=NOT_RECORDED, wanted=None, got=None, text=text)


def _notes(wanted: Scan, found: Scanned, added: int) -> Iterator[str]:
    span = f"{moment_in_words(wanted.since)} and {moment_in_words(wanted.until)}"
    yield f"{found.read} records of {wanted.topic} read, written between {span}: {added} events of the contact besides"
    if found.left_out:
        yield f"stopped at --max-records: the oldest {found.left_out} records of that time were not read"
    for partition, moment in sorted(found.retained_from.items()):
        kept = "nothing" if moment is None else f"only what was written since {moment_in_words(moment)}"
        yield f"Kafka retains {kept} in partition {partition}"
    for reason, count in sorted(found.unreadable.items()):
        yield f"{count} that name the contact break the contract ({reason}): look at `goalstream dead-letters list`"


def _identity(event: Mapping[str, Any]) -> tuple[object, ...]:
    return event["source"], event["event_id"], moment_of(event["occurred_at"])


def _occurred_at(verdict: Mapping[str, Any]) -> datetime:
    return moment_of(verdict["event"]["occurred_at"])

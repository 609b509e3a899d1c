"""How webhooks and deliveries look. URLs, answers and data were written by others: only printable characters reach the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from goalstream.cli.tables import fields_of, secret_in_words, table_of


def table(webhooks: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each webhook."""
    rows = [
        (one["id"], one["url"], " ".join(one["topics"]), _state(one), str(one["version"]), one["description"] or "-")
        for one in webhooks
    ]
    return table_of(("ID", "URL", "TOPICS", "STATE", "VERSION", "DESCRIPTION"), rows)


def one(webhook: Mapping[str, Any]) -> Table:
    """Everything about a webhook, a line for each field; the secret, where it is there."""
    fields = {
        "id": webhook["id"],
        "url": webhook["url"],
        "description": webhook["description"] or "-",
        "topics": " ".join(webhook["topics"]),
        "state": _state(webhook),
        "failures in a row": str(webhook["failures_in_a_row"]),
        "secrets": ", ".join(map(secret_in_words, webhook["secrets"])) or "none that can be used",
        "version": str(webhook["version"]),
        "created": f"{webhook['created_at']} by {webhook['created_by']}",
        "changed": f"{webhook['updated_at']} by {webhook['updated_by']}",
    }
    if webhook["problem"] is not None:
        fields["problem"] = webhook["problem"]
    if "secret" in webhook:
        fields["secret"] = webhook["secret"]
    return fields_of(fields)


def deliveries(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each delivery."""
    rows = [
        (
            one["message_id"],
            one["topic"],
            one["state"],
            str(one["attempt_count"]),
            one["created_at"],
            one["next_attempt_at"] or "-",
        )
        for one in found
    ]
    return table_of(("MESSAGE", "TOPIC", "STATE", "ATTEMPTS", "CREATED", "NEXT ATTEMPT"), rows)


def in_full(delivery: Mapping[str, Any]) -> Iterator[Table]:
    """A delivery, and its attempts if there were any."""
    yield fields_of(
        {
            "message": delivery["message_id"],
            "topic": delivery["topic"],
            "state": delivery["state"],
            "happened": delivery["occurred_at"],
            "created": delivery["created_at"],
            "next attempt": delivery["next_attempt_at"] or "-",
            "given up": delivery["give_up_at"] or "-",
            "ended": delivery["ended_at"] or "-",
            "body": delivery["body"],
        }
    )
    rows = [
        (
            one["at"],
            f"{one['duration_seconds']:.3f}",
            "-" if one["status"] is None else str(one["status"]),
            one["error"] or "delivered",
            one["answer"] or "-",
        )
        for one in delivery["attempts"]
    ]
    if rows:
        yield table_of(("ATTEMPT AT", "SECONDS", "STATUS", "RESULT", "ANSWER"), rows)


def _state(webhook: Mapping[str, Any]) -> str:
    until = f" until {webhook['circuit_open_until']}" if webhook["state"] == "failing" else ""
    return f"{webhook['state']}{until}"

"""How hooks and their calls look. What is sent was written by others: only printable characters reach the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from goalstream.cli.tables import fields_of, secret_in_words, table_of


def table(hooks: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each hook."""
    rows = [(one["id"], one["name"], one["scheme"], _state(one), str(one["version"]), one["url"]) for one in hooks]
    return table_of(("ID", "NAME", "SCHEME", "STATE", "VERSION", "URL"), rows)


def one(hook: Mapping[str, Any]) -> Table:
    """Everything about a hook, a line for each field; the secret, where it is there."""
    fields = {
        "id": hook["id"],
        "name": hook["name"],
        "url": hook["url"],
        "scheme": hook["scheme"],
        "state": _state(hook),
        "secrets": ", ".join(map(secret_in_words, hook["secrets"])) or "none that can be used",
        "mapping": json.dumps(hook["mapping"], ensure_ascii=False),
        "version": str(hook["version"]),
        "created": f"{hook['created_at']} by {hook['created_by']}",
        "changed": f"{hook['updated_at']} by {hook['updated_by']}",
    }
    if hook["problem"] is not None:
        fields["problem"] = hook["problem"]
    if "secret" in hook:
        fields["secret"] = hook["secret"]
    return fields_of(fields)


def calls(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each call."""
    rows = [(one["received_at"], one["call_id"], str(one["status"]), _outcome(one)) for one in found]
    return table_of(("RECEIVED", "CALL", "STATUS", "RESULT"), rows)


def presets(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each preset."""
    rows = [(one["name"], one["title"], one["contact_id"]) for one in found]
    return table_of(("NAME", "WHAT IT BRINGS", "WHERE THE CONTACT'S ID STANDS"), rows)


def trial(found: Mapping[str, Any]) -> Iterator[Table]:
    """What a body becomes: the events, and everything that is wrong."""
    for place, tried in enumerate(found["events"]):
        event = tried["event"]
        fields = {name: str(event[name]) for name in ("event_type", "event_id", "timestamp") if name in event}
        yield fields_of(fields | {"data": json.dumps(event["data"], ensure_ascii=False)})
        yield from _wrong(f"/events/{place}", tried["errors"])
    yield from _wrong("", found["errors"])


def _wrong(where: str, errors: Sequence[Mapping[str, str]]) -> Iterator[Table]:
    if errors:
        yield table_of(("WHAT IS WRONG", "WHERE"), [(one["message"], f"{where}{one['pointer']}") for one in errors])


def _outcome(call: Mapping[str, Any]) -> str:
    answer = call["answer"]
    if "message" in answer:
        return str(answer["message"])
    events = [f"{one['topic']} {one['event_id']}" for one in answer["events"]]
    return ", ".join(events) or "nobody wants it"


def _state(hook: Mapping[str, Any]) -> str:
    return "paused" if hook["paused"] else "active"

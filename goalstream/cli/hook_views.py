"""How hooks and their calls look. What is sent was written by others: only printable characters reach the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from goalstream.cli.terminal import printable


def table(hooks: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each hook."""
    rows = [(one["id"], one["name"], one["scheme"], _state(one), str(one["version"]), one["url"]) for one in hooks]
    return _table(("ID", "NAME", "SCHEME", "STATE", "VERSION", "URL"), rows)


def one(hook: Mapping[str, Any]) -> Table:
    """Everything about a hook, a line for each field; the secret, where it is there."""
    fields = {
        "id": hook["id"],
        "name": hook["name"],
        "url": hook["url"],
        "scheme": hook["scheme"],
        "state": _state(hook),
        "secrets": ", ".join(map(_secret, hook["secrets"])) or "none that can be used",
        "mapping": json.dumps(hook["mapping"], ensure_ascii=False),
        "version": str(hook["version"]),
        "created": f"{hook['created_at']} by {hook['created_by']}",
        "changed": f"{hook['updated_at']} by {hook['updated_by']}",
    }
    if hook["problem"] is not None:
        fields["problem"] = hook["problem"]
    if "secret" in hook:
        fields["secret"] = hook["secret"]
    return _fields(fields)


def calls(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each call."""
    rows = [(one["received_at"], one["call_id"], str(one["status"]), _outcome(one)) for one in found]
    return _table(("RECEIVED", "CALL", "STATUS", "RESULT"), rows)


def presets(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each preset."""
    rows = [(one["name"], one["title"], one["contact_id"]) for one in found]
    return _table(("NAME", "WHAT IT BRINGS", "WHERE THE CONTACT'S ID STANDS"), rows)


def trial(found: Mapping[str, Any]) -> Iterator[Table]:
    """What a body becomes: the events, and everything that is wrong."""
    for place, tried in enumerate(found["events"]):
        event = tried["event"]
        fields = {name: str(event[name]) for name in ("event_type", "event_id", "timestamp") if name in event}
        yield _fields(fields | {"data": json.dumps(event["data"], ensure_ascii=False)})
        yield from _wrong(f"/events/{place}", tried["errors"])
    yield from _wrong("", found["errors"])


def _wrong(where: str, errors: Sequence[Mapping[str, str]]) -> Iterator[Table]:
    if errors:
        yield _table(("WHAT IS WRONG", "WHERE"), [(one["message"], f"{where}{one['pointer']}") for one in errors])


def _outcome(call: Mapping[str, Any]) -> str:
    answer = call["answer"]
    if "message" in answer:
        return str(answer["message"])
    events = [f"{one['topic']} {one['event_id']}" for one in answer["events"]]
    return ", ".join(events) or "nobody wants it"


def _state(hook: Mapping[str, Any]) -> str:
    return "paused" if hook["paused"] else "active"


def _secret(one: Mapping[str, Any]) -> str:
    end = "" if one["expires_at"] is None else f" until {one['expires_at']}"
    return f"of {one['added_at']}{end}"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        found.add_column(name, no_wrap=True, justify="right" if name in ("VERSION", "STATUS") else "left")
    for row in rows:
        found.add_row(*(Text(printable(cell)) for cell in row))
    return found


def _fields(fields: Mapping[str, str]) -> Table:
    found = Table(box=None, pad_edge=False, show_header=False)
    for name, value in fields.items():
        found.add_row(Text(name, style="bold"), Text(printable(value)))
    return found

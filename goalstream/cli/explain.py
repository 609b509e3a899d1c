"""`goalstream explain`: why a contact has or has not achieved a goal, over HTTP; with `--scan` also by what Kafka still has."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from goalstream.cli.moments import parse_moment
from goalstream.cli.terminal import err, printable, wide
from goalstream.domain.texts import is_uuid
from goalstream.errors import SettingsError

MAX_SPAN = timedelta(days=7)
MAX_RECORDS = 1_000_000


def explain(
    contact: Annotated[str, typer.Option(metavar="UUID", help="the contact, by any of its ids")],
    goal: Annotated[str, typer.Option(metavar="UUID", help="the goal, as `goals list` shows it")],
    limit: Annotated[int, typer.Option(min=1, help="so many verdicts at the most, the newest")] = 100,
    scan: Annotated[
        bool, typer.Option("--scan", help="also events that did not fulfil the criteria, read again from Kafka")
    ] = False,
    since: Annotated[
        str, typer.Option(help="with --scan: records since then, RFC 3339 or how long ago, 7d at the most")
    ] = "1h",
    until: Annotated[
        str | None, typer.Option(help="with --scan: records before then (30m); without it until now")
    ] = None,
    max_records: Annotated[
        int, typer.Option(min=1, help="with --scan: so many records at the most, the newest")
    ] = MAX_RECORDS,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Tells of a contact's events whether they achieved a goal, or by which rule they did not, the newest first.

    Over HTTP (GOALSTREAM_API_URL, GOALSTREAM_API_TOKEN). What does not fulfil a goal's criteria is not stored: with --scan the
    topic of the goal's events is read again, with the settings of Kafka.
    """
    from goalstream.cli import explain_views as views
    from goalstream.cli.verdicts import verdicts_of
    from goalstream.storage.codecs import encode_json

    ids = {"--contact": contact, "--goal": goal}
    if problems := [f"{option}: {text} is no UUID" for option, text in ids.items() if not is_uuid(text)]:
        raise SettingsError(*problems)
    span = _span(since, until) if scan else None
    document = verdicts_of(contact, goal, limit)
    notes = [views.summary(document)]
    if span is not None:
        from goalstream.cli.rescan import add_scanned

        notes += add_scanned(document, *span, max_records)
    if as_json:
        sys.stdout.write(encode_json(document) + "\n")
    elif document["verdicts"]:
        wide.print(views.table(document["verdicts"]))
    for note in notes:
        err.print(printable(note), markup=False)


def _span(since: str, until: str | None) -> tuple[datetime, datetime]:
    """From when to when. Raises SettingsError."""
    now = datetime.now(UTC)  # noqa: TID251 - a composition root reads the clock
    said = {"--since": parse_moment(since, now), "--until": now if until is None else parse_moment(until, now)}
    begin, end = said.values()
    if begin is None or end is None:
        raise SettingsError(
            *(
                f"{option}: must be a time in RFC 3339 or how long ago, such as 2h or 7d"
                for option, moment in said.items()
                if moment is None
            )
        )
    if now - begin > MAX_SPAN:
        raise SettingsError(f"--since: {since} is more than {MAX_SPAN.days} days ago")
    if begin >= end:
        raise SettingsError("--since: must be before --until")
    return begin, end

"""Commands about dead letters: list, show, redrive, drop."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer
from rich.progress import Progress

from goalstream.cli import letter_views as views
from goalstream.cli.letter_choice import Choice, choose, find, parse_places, read_all
from goalstream.cli.terminal import err, out, printable, settings_in_force, wide, within_deadline
from goalstream.errors import OperatorError
from goalstream.streams.letters import Place

app = typer.Typer(help="Looks at records that could not be processed, and sends them again.", no_args_is_help=True)

Ids: TypeAlias = Annotated[list[str] | None, typer.Argument(help="ids, as `list` shows them: partition:offset")]
Reason: TypeAlias = Annotated[str | None, typer.Option(help="only those with this reason")]
Topic: TypeAlias = Annotated[str | None, typer.Option(help="only those that came from this topic")]
Since: TypeAlias = Annotated[str | None, typer.Option(help="set aside since then: RFC 3339, or how long ago (2h)")]
Until: TypeAlias = Annotated[str | None, typer.Option(help="set aside before then: RFC 3339, or how long ago (30m)")]
IncludeDone: TypeAlias = Annotated[bool, typer.Option("--include-done", help="also what was redriven or dropped")]
All: TypeAlias = Annotated[bool, typer.Option("--all", help="everything; needed where nothing else says which")]
Oldest: TypeAlias = Annotated[int | None, typer.Option(help="so many at the most, the oldest first", min=1)]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="as JSON")]


@app.command("list")
def list_letters(
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="so many at the most, the newest", min=1)] = 100,
    include_done: IncludeDone = False,
    as_json: Json = False,
) -> None:
    """Lists dead letters, the newest last, and tells how many there are for each reason."""
    settings = settings_in_force()
    selection = Choice(reason=reason, topic=topic, since=since, until=until).selection(settings)
    collection = read_all(settings)
    letters = [letter for letter in collection.letters() if selection.takes(letter)]
    shown = [letter for letter in letters if include_done or letter.mark is None]
    if as_json:
        for letter in shown[-limit:]:
            sys.stdout.write(json.dumps(views.document(letter)) + "\n")
    elif shown:
        wide.print(views.table(shown[-limit:]))
    notes = [views.summary(shown)]
    if len(shown) > limit:
        notes.append(f"the newest {limit} are shown")
    if hidden := len(letters) - len(shown):
        notes.append(f"{hidden} redriven or dropped ones are hidden (--include-done)")
    if collection.strangers:
        notes.append(f"{collection.strangers} records on the topic are not goalstream's")
    err.print("; ".join(notes), markup=False)


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="as `list` shows it")], as_json: Json = False
) -> None:
    """Shows one dead letter with its headers and its value, which may hold personal data."""
    from goalstream.streams.connection import Kafka
    from goalstream.streams.letter_topic import LetterTopic

    settings = settings_in_force()
    places = parse_places([letter_id])
    (letter,) = find(read_all(settings), places)
    topic = LetterTopic(Kafka.of(settings), topic_prefix=settings.kafka_topic_prefix)
    records = within_deadline(lambda: topic.records([letter]))
    if letter.place not in records:
        raise OperatorError(f"dead letter {letter_id} was deleted by Kafka at this moment")
    record = records[letter.place]
    if as_json:
        sys.stdout.write(json.dumps(views.full_document(letter, record)) + "\n")
        return
    for line in views.in_full(letter, record):
        out.print(line, markup=False)


@app.command()
def redrive(
    ids: Ids = None,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    limit: Oldest = None,
    everything: All = False,
    include_done: IncludeDone = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what would be sent where")] = False,
    yes: Yes = False,
) -> None:
    """Sends records again to the topics that they came from, with their original timestamps; each once."""
    from goalstream.streams.connection import Kafka
    from goalstream.streams.redrive import Redriver

    settings = settings_in_force()
    choice = Choice(
        ids=ids or (),
        reason=reason,
        topic=topic,
        since=since,
        until=until,
        limit=limit,
        everything=everything,
        include_done=include_done,
    )
    letters = choose(settings, choice)
    redriver = Redriver(Kafka.of(settings), topic_prefix=settings.kafka_topic_prefix)
    shipments, refused = within_deadline(lambda: redriver.plan(letters)) if letters else ([], {})
    if dry_run:
        for target, letter in shipments:
            out.print(f"{letter.place}  {target.topic} {target.partition}", markup=False)
    elif shipments:
        _confirm(f"Send {len(shipments)} records again?", yes)

        async def send(on_done: Callable[[int], None]) -> dict[Place, str]:
            async with redriver:
                return await redriver.redrive(shipments, on_done)

        with _progress("redriving", len(shipments)) as on_done:
            refused |= asyncio.run(send(on_done))
    for place, why in refused.items():
        err.print(f"{place}: {printable(why)}", style="red", markup=False)
    verb = "would be redriven" if dry_run else "redriven"
    out.print(f"{len(letters) - len(refused)} {verb}, {len(refused)} refused")
    if refused:
        raise typer.Exit(1)


@app.command()
def drop(
    ids: Ids = None,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    limit: Oldest = None,
    everything: All = False,
    yes: Yes = False,
) -> None:
    """Marks dead letters as done with; Kafka keeps them as long as its retention says."""
    from goalstream.streams.connection import Kafka
    from goalstream.streams.redrive import Redriver

    settings = settings_in_force()
    choice = Choice(
        ids=ids or (), reason=reason, topic=topic, since=since, until=until, limit=limit, everything=everything
    )
    letters = choose(settings, choice)
    if letters:
        _confirm(f"Mark {len(letters)} dead letters as dropped?", yes)

        async def mark(on_done: Callable[[int], None]) -> None:
            async with Redriver(Kafka.of(settings), topic_prefix=settings.kafka_topic_prefix) as redriver:
                await redriver.drop(letters, on_done)

        with _progress("dropping", len(letters)) as on_done:
            asyncio.run(mark(on_done))
    out.print(f"{len(letters)} dropped")


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.update(task, advance=count)


def _confirm(question: str, is_confirmed: bool) -> None:
    """Asks a person; a script, which has no terminal, has said what it wants."""
    if not is_confirmed and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)

"""Which dead letters a person means, out of what the topic holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.progress import Progress

from goalstream.cli.letter_views import summary
from goalstream.cli.moments import parse_moment
from goalstream.cli.terminal import err, within_deadline
from goalstream.config import Settings
from goalstream.domain.times import to_milliseconds
from goalstream.errors import OperatorError, SettingsError
from goalstream.streams.letters import Collection, Letter, Place, Selection, parse_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was said on the command line."""

    ids: Sequence[str] = ()
    reason: str | None = None
    topic: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    everything: bool = False
    include_done: bool = False

    def selection(self, settings: Settings) -> Selection:
        """What it says without the ids; a topic may be named without its prefix. Raises SettingsError."""
        topic, prefix = self.topic, settings.kafka_topic_prefix
        if topic is not None and not topic.startswith(prefix):
            topic = prefix + topic
        return Selection(
            reason=self.reason,
            topic=topic,
            since=_milliseconds("--since", self.since),
            until=_milliseconds("--until", self.until),
        )


def choose(settings: Settings, choice: Choice) -> list[Letter]:
    """The letters that are meant, the oldest first; tells what they are.

    Raises SettingsError for a choice that says nothing, OperatorError for an id that is not there.
    """
    if not (choice.everything or choice.ids or choice.reason or choice.topic or choice.since or choice.until):
        raise SettingsError("say which dead letters: ids, --reason, --topic, --since, --until, or --all")
    places = parse_places(choice.ids)
    selection = choice.selection(settings)
    collection = read_all(settings)
    meant = [
        letter for letter in (find(collection, places) if places else collection.letters()) if selection.takes(letter)
    ]
    chosen = [letter for letter in meant if choice.include_done or letter.mark is None]
    if done := len(meant) - len(chosen):
        err.print(f"{done} redriven or dropped already", markup=False)
    chosen = chosen[: choice.limit]
    err.print(summary(chosen), markup=False)
    return chosen


def read_all(settings: Settings) -> Collection:
    """Everything on the dead-letter topic, with progress. Raises BrokerUnavailable, or OperatorError without the topic."""
    from goalstream.streams.connection import Kafka
    from goalstream.streams.letter_topic import LetterTopic

    topic = LetterTopic(Kafka.of(settings), topic_prefix=settings.kafka_topic_prefix)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        return within_deadline(
            lambda: topic.read(lambda done, total: progress.update(task, completed=done, total=total))
        )


def parse_places(ids: Sequence[str]) -> list[Place]:
    """The places that ids name. Raises SettingsError with each that names none."""
    places = {text: parse_place(text) for text in ids}
    if wrong := [text for text, place in places.items() if place is None]:
        raise SettingsError(
            *(f"{text!r} is no id of a dead letter: partition:offset, as `list` shows it" for text in wrong)
        )
    return [place for place in places.values() if place is not None]


def find(collection: Collection, places: Sequence[Place]) -> list[Letter]:
    """The letters at these places. Raises OperatorError where there is none."""
    letters, missing = collection.find(places)
    if missing:
        named = ", ".join(str(place) for place in missing)
        raise OperatorError(f"there is no dead letter {named}: look with `goalstream dead-letters list`")
    return letters


def _milliseconds(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    moment = parse_moment(text, datetime.now(UTC))  # noqa: TID251 - a composition root reads the clock
    if moment is None:
        raise SettingsError(f"{option}: {text!r} is neither a time in RFC 3339 nor how long ago, such as 2h or 7d")
    return to_milliseconds(moment)

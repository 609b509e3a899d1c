"""Dead letters for operators who ask over HTTP: bounded in records, bytes and time, one after the other.

Beyond the bounds `goalstream dead-letters` goes on, beside Kafka. All of it raises BrokerUnavailable where Kafka does not answer.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from goalstream.domain.letters import LetterChoice, LetterKey, LetterPage, LettersDone
from goalstream.domain.times import from_milliseconds, to_milliseconds
from goalstream.errors import BrokerUnavailable, LetterNotFound, OperatorError
from goalstream.streams.connection import Kafka
from goalstream.streams.letter_topic import LetterTopic
from goalstream.streams.letters import Collection, Letter, Place, Selection, parse_place
from goalstream.streams.ports import Record
from goalstream.streams.redrive import Redriver

MOST_RECORDS = 10_000
"""Of the dead-letter topic, the newest: read anew for every question, in half a second, of which nobody else waits over 0.1 s."""

MOST_DONE = 1_000
MOST_BYTES_DONE = 16 * 1024 * 1024
"""What is redriven or dropped for one request; the values are in memory together."""

READ_SECONDS = 20
CHANGE_SECONDS = 60


class LetterDesk:
    """The dead-letter topic, asked and told over HTTP."""

    def __init__(self, kafka: Kafka, *, topic_prefix: str) -> None:
        self._kafka = kafka
        self._topic_prefix = topic_prefix
        self._topic = LetterTopic(kafka, topic_prefix=topic_prefix)
        self._reading, self._changing = asyncio.Lock(), asyncio.Lock()

    async def page(
        self, choice: LetterChoice, *, include_done: bool, limit: int, before: LetterKey | None
    ) -> LetterPage:
        """The newest letters that are meant, `limit` at the most; those before a place in the order where it is given."""
        collection = await self._read()
        selection = self._selection(replace(choice, reason=None))
        taken = [
            letter
            for letter in collection.letters()
            if selection.takes(letter) and (include_done or letter.mark is None)
        ]
        meant = [
            letter
            for letter in reversed(taken)
            if choice.reason in (None, letter.reason) and (before is None or _key(letter) < before)
        ]
        shown = meant[:limit]
        return LetterPage(
            letters=[_document(letter) for letter in shown],
            by_reason=dict(Counter(letter.reason for letter in taken).most_common()),
            unread=collection.unread,
            last=_key(shown[-1]) if len(meant) > limit else None,
        )

    async def show(self, letter_id: str) -> Mapping[str, Any]:
        """A letter with all that was set aside. Raises LetterNotFound."""
        (letter,) = _find(await self._read(), [letter_id])
        async with _in_time(READ_SECONDS):
            records = await self._topic.records([letter])
        if letter.place not in records:
            raise LetterNotFound([letter_id])
        return _in_full(letter, records[letter.place])

    async def redrive(self, choice: LetterChoice, *, dry_run: bool) -> LettersDone:
        """Sends open letters back to their topics, the oldest first; or only tells which. Raises LetterNotFound."""
        async with _in_time(CHANGE_SECONDS), self._changing, self._redriver() as redriver:
            letters, remaining = await self._open(choice)
            shipments, refused = await redriver.plan(letters) if letters else ([], {})
            if shipments and not dry_run:
                refused |= await redriver.redrive(shipments, lambda count: None)
        return LettersDone(
            ids=[str(letter.place) for letter in letters if letter.place not in refused],
            refused={str(place): why for place, why in refused.items()},
            remaining=remaining,
        )

    async def drop(self, choice: LetterChoice, *, dry_run: bool) -> LettersDone:
        """Marks open letters as done with, the oldest first; or only tells which. Raises LetterNotFound."""
        async with _in_time(CHANGE_SECONDS), self._changing, self._redriver() as redriver:
            letters, remaining = await self._open(choice)
            if not dry_run:
                await redriver.drop(letters, lambda count: None)
        return LettersDone(ids=[str(letter.place) for letter in letters], refused={}, remaining=remaining)

    def _redriver(self) -> Redriver:
        return Redriver(self._kafka, topic_prefix=self._topic_prefix)

    async def _read(self) -> Collection:
        async with _in_time(READ_SECONDS), self._reading:
            return await self._topic.read(lambda done, total: None, newest=MOST_RECORDS)

    async def _open(self, choice: LetterChoice) -> tuple[Sequence[Letter], int]:
        """The open letters that are meant, as many as are done with together, and how many more there are."""
        collection = await self._read()
        letters = _find(collection, choice.ids) if choice.ids else collection.letters()
        selection = self._selection(choice)
        meant = [letter for letter in letters if letter.mark is None and selection.takes(letter)]
        count = size = 0
        for letter in meant[:MOST_DONE]:
            size += letter.size_bytes
            if count and size > MOST_BYTES_DONE:
                break
            count += 1
        return meant[:count], len(meant) - count

    def _selection(self, choice: LetterChoice) -> Selection:
        """A topic may be named without its prefix."""
        topic = choice.topic
        if topic is not None and not topic.startswith(self._topic_prefix):
            topic = self._topic_prefix + topic
        since, until = (None if one is None else to_milliseconds(one) for one in (choice.since, choice.until))
        return Selection(reason=choice.reason, topic=topic, since=since, until=until)


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    """Raises BrokerUnavailable where it takes longer, or where the topic is not as it should be."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise BrokerUnavailable(f"dead letters took longer than {seconds} s: use `goalstream dead-letters`") from None
    except OperatorError as error:
        raise BrokerUnavailable(str(error)) from error


def _find(collection: Collection, ids: Sequence[str]) -> list[Letter]:
    places: dict[Place, str] = {}
    for text in ids:
        place = parse_place(text)
        if place is None:
            raise LetterNotFound([text])
        places[place] = text
    letters, missing = collection.find(places)
    if missing:
        raise LetterNotFound([places[place] for place in missing])
    return letters


def _key(letter: Letter) -> LetterKey:
    """As letters are sorted; a time that is none counts as the oldest."""
    return LetterKey(max(letter.set_aside_at, 0), *letter.place)


def _document(letter: Letter) -> dict[str, Any]:
    """Without what may be personal: below the first line of an error PostgreSQL repeats the row that it refuses."""
    return {
        "id": str(letter.place),
        "topic": letter.origin.topic,
        "partition": letter.origin.partition,
        "offset": letter.origin.offset,
        "reason": letter.reason,
        "error": letter.error.split("\n", 1)[0],
        "attempts": letter.attempts,
        "at": from_milliseconds(letter.set_aside_at),
        "done": letter.mark and letter.mark.value,
    }


def _in_full(letter: Letter, record: Record) -> dict[str, Any]:
    return _document(letter) | {
        "error": letter.error,
        "done_at": None if letter.marked_at is None else from_milliseconds(letter.marked_at),
        "timestamp": from_milliseconds(letter.origin.timestamp),
        "key": _readable(letter.key),
        "value": _readable(record.value),
        "headers": [{"name": name, "value": _readable(part)} for name, part in letter.headers],
    }


def _readable(part: bytes | None) -> str | dict[str, str] | None:
    """Text; what is none as base64."""
    try:
        return None if part is None else part.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(part or b"").decode()}

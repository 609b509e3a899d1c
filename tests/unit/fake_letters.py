"""Dead letters in memory, as the API knows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from goalstream.domain.letters import LetterChoice, LetterKey, LetterPage, LettersDone
from goalstream.errors import BrokerUnavailable, LetterNotFound

LETTER: Mapping[str, Any] = {
    "id": "2:17",
    "topic": "form.submitted",
    "partition": 3,
    "offset": 981,
    "reason": "bad_time",
    "error": "timestamp is not RFC 3339",
    "attempts": 1,
    "at": datetime(2026, 3, 10, 12, tzinfo=UTC),
    "done": None,
}
IN_FULL = {
    **LETTER,
    "done_at": None,
    "timestamp": None,
    "key": None,
    "value": {"base64": "/w=="},
    "headers": [{"name": "h", "value": "1"}],
}
LAST = LetterKey(1_773_144_000_000, 2, 17)


class FakeLetters:
    """One dead letter, of which there is always one more page; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.is_away = False

    async def page(
        self, choice: LetterChoice, *, include_done: bool, limit: int, before: LetterKey | None
    ) -> LetterPage:
        self._hear("page", choice, include_done, limit, before)
        return LetterPage(letters=[LETTER], by_reason={"bad_time": 7}, unread=3, last=LAST)

    async def show(self, letter_id: str) -> Mapping[str, Any]:
        self._hear("show", letter_id)
        if letter_id != LETTER["id"]:
            raise LetterNotFound([letter_id])
        return IN_FULL

    async def redrive(self, choice: LetterChoice, *, dry_run: bool) -> LettersDone:
        self._hear("redrive", choice, dry_run)
        return LettersDone(ids=["2:17"], refused={"0:4": "Kafka has deleted it meanwhile"}, remaining=5)

    async def drop(self, choice: LetterChoice, *, dry_run: bool) -> LettersDone:
        self._hear("drop", choice, dry_run)
        return LettersDone(ids=["2:17"], refused={}, remaining=0)

    def _hear(self, *what: Any) -> None:
        if self.is_away:
            raise BrokerUnavailable("Kafka at a secret address does not answer")
        self.asked.append(what)

"""Dead letters as operators ask for them over HTTP, and what they are answered; where the letters lie is known elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterChoice:
    """Which dead letters are meant: those with the ids, or those that the rest takes; what is not said does not matter.

    Times are when a letter was set aside; `since` is inclusive, `until` is not.
    """

    ids: Sequence[str] = ()
    reason: str | None = None
    topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class LetterKey(NamedTuple):
    """Where a letter stands among all: by when it was set aside, in milliseconds since 1970, and where it lies."""

    set_aside_at: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Letters as documents, the newest first, and `last`, where another page goes on.

    `by_reason` counts all that the choice takes, but for its reason; `unread` is how many older records were not looked at.
    """

    letters: Sequence[Mapping[str, Any]]
    by_reason: Mapping[str, int]
    unread: int
    last: LetterKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersDone:
    """What became of letters: the ids of those that it was done with, why it could not be with others, and how many are left."""

    ids: Sequence[str]
    refused: Mapping[str, str]
    remaining: int

"""What comes out of the API about dead letters, for operators."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DeadLetterDocument(BaseModel):
    """A record that could not be processed: where it lay, why it was set aside, and what became of it."""

    model_config = ConfigDict(title="DeadLetter")

    id: str = Field(description="where it lies on the dead-letter topic", examples=["2:17"])
    topic: str = Field(description="that the record came from")
    partition: int
    offset: int
    reason: str = Field(examples=["bad_time"])
    error: str = Field(description="a sentence about this very record; in a list its first line")
    attempts: int = Field(ge=1, description="how often it was tried, and failed")
    at: datetime | None = Field(description="when it was set aside; null where Kafka does not know")
    done: Literal["redriven", "dropped"] | None = Field(description="null while it is open")


class DeadLetterPage(BaseModel):
    """A page of dead letters, newest first."""

    dead_letters: list[DeadLetterDocument]
    by_reason: dict[str, int] = Field(
        description="how many there are for each reason on all pages, whatever reason was asked for; the most frequent first"
    )
    unread: int = Field(ge=0, description="older records of the topic that were not looked at")
    next_cursor: str | None


class Bytes(BaseModel):
    """What is no UTF-8."""

    base64: str


class HeaderDocument(BaseModel):
    """A header of the original record."""

    name: str
    value: str | Bytes | None


class DeadLetterInFull(DeadLetterDocument):
    """A dead letter with all of the record that was set aside."""

    model_config = ConfigDict(title="DeadLetterInFull")

    done_at: datetime | None
    timestamp: datetime | None = Field(description="of the original record")
    key: str | Bytes | None
    value: str | Bytes | None
    headers: list[HeaderDocument]


class RefusedLetter(BaseModel):
    """A dead letter that stays as it is."""

    id: str
    message: str


class RedrivenLetters(BaseModel):
    """What was sent again, the oldest first, or would be in a dry run."""

    redriven: int = Field(ge=0)
    ids: list[str]
    refused: list[RefusedLetter]
    remaining: int = Field(ge=0, description="that are meant as well, and were too many at once: ask again")
    dry_run: bool


class DroppedLetters(BaseModel):
    """What was marked as done with, the oldest first, or would be in a dry run."""

    dropped: int = Field(ge=0)
    ids: list[str]
    remaining: int = Field(ge=0, description="that are meant as well, and were too many at once: ask again")
    dry_run: bool

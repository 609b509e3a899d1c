"""Fields of a record's document, read and checked; what breaks the contract is an InvalidRecord with its reason."""

from __future__ import annotations

from datetime import datetime

from goalstream.domain.texts import MAX_TEXT_LENGTH, is_uuid
from goalstream.domain.times import parse_time
from goalstream.errors import InvalidRecord


def text_field(value: object, name: str) -> str | None:
    """A text of at most 255 characters; None where it is missing or null."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRecord("wrong_type", f"{name} is no string")
    if len(value) > MAX_TEXT_LENGTH:
        raise InvalidRecord("wrong_type", f"{name} has more than {MAX_TEXT_LENGTH} characters")
    return value


def required_text_field(value: object, name: str) -> str:
    """A text that must be there."""
    text = text_field(value, name)
    if text is None:
        raise InvalidRecord("wrong_type", f"{name} is missing")
    return text


def uuid_field(value: object, name: str) -> str:
    """A UUID, in lower case."""
    if not (isinstance(value, str) and is_uuid(value)):
        raise InvalidRecord("wrong_type", f"{name} is no UUID")
    return value.lower()


def time_field(value: object, name: str) -> datetime | None:
    """A moment; None where it is missing or null."""
    if value is None:
        return None
    moment = parse_time(value) if isinstance(value, str) else None
    if moment is None:
        raise InvalidRecord("bad_time", f"{name} is not RFC 3339: {value!r:.80}")
    return moment

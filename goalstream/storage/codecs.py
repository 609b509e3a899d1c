"""Rows and JSON to domain values and back. Amounts keep their digits: JSON numbers are int or Decimal, never float."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from goalstream.domain.goals import Criteria, GoalType, GoalVersion, parse_criteria
from goalstream.domain.messages import JsonText
from goalstream.errors import DatabaseUnavailable, InvalidGoal
from goalstream.storage.pool import Row

_Value = TypeVar("_Value")

GOAL_TYPES = {goal_type.value: goal_type for goal_type in GoalType}


def _written(value: object) -> msgspec.Raw:
    if isinstance(value, JsonText):
        return msgspec.Raw(value.text)
    raise TypeError(f"{type(value).__name__} has no JSON")


_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_written)
_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted")


def encode_json(document: object) -> str:
    """JSON as it is published: keys in the order given, times as RFC 3339 with `Z`."""
    return _encoder.encode(document).decode()


def canonical_json(document: object) -> str:
    """The one JSON text of a document: keys sorted, no blanks, numbers by their own digits."""
    return _canonical.encode(document).decode()


def digest(*parts: object) -> str:
    """SHA-256 of the canonical JSON of parts, in hexadecimal."""
    return sha256(canonical_json(parts).encode()).hexdigest()


def decode_json(text: str) -> Any:
    """The document that `text` holds."""
    return _decoder.decode(text)


def _criteria(goal_type: GoalType, text: str) -> Criteria:
    return parse_criteria(goal_type, decode_json(text))


_known_criteria = lru_cache(maxsize=4096)(_criteria)


def values_of(kind: type[_Value], rows: Sequence[Row]) -> list[_Value]:
    """Values from rows whose columns are named as their fields."""
    return [kind(**row) for row in rows]


def uuid_columns(rows: Iterable[tuple[str, ...]], width: int) -> list[str]:
    """The columns of rows, each as the text that `uuids` takes in SQL (migration 0007); `width`, where there are no rows."""
    return [",".join(column) for column in zip(*rows, strict=True)] or [""] * width


def goal_version(row: Row, *, is_once: bool = False) -> GoalVersion:
    """A goal version from a row of `goal_versions`; its criteria are remembered for the next time, unless there is none.

    Raises DatabaseUnavailable where a newer release made it and this one does not understand it: without it nothing can be decided.
    """
    goal_type = GOAL_TYPES.get(row["goal_type"])
    if goal_type is None:
        raise _newer(row, f"type {row['goal_type']}")
    try:
        criteria = (_criteria if is_once else _known_criteria)(goal_type, row["criteria"])
    except InvalidGoal as error:
        raise _newer(row, str(error)) from error
    window = row["window_seconds"]
    return GoalVersion(
        account_id=str(row["account_id"]),
        workflow_id=str(row["workflow_id"]),
        goal_id=str(row["goal_id"]),
        version=row["version"],
        goal_type=goal_type,
        criteria=criteria,
        is_active=row["is_active"],
        is_deleted=row["is_deleted"],
        window=None if window is None else timedelta(seconds=window),
        measure_after_exit=timedelta(seconds=row["measure_after_exit_seconds"]),
        effective_from=row["effective_from"],
        created_at=row["goal_created_at"],
    )


def _newer(row: Row, what: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"goal {row['goal_id']} was made by a newer release ({what}): run that one everywhere")

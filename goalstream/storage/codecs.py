"""Rows and JSON to domain values and back. Amounts keep their digits: JSON numbers are int or Decimal, never float."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from goalstream.domain.goals import GoalType, GoalVersion, parse_criteria

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_canonical_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


def encode_json(document: object) -> str:
    """JSON as it is published: keys in the order given, times as RFC 3339 with `Z`."""
    return _encoder.encode(document).decode()


def encode_canonical_json(document: object) -> str:
    """The one JSON text of a document: keys sorted, no blanks."""
    return _canonical_encoder.encode(document).decode()


def decode_json(text: str) -> Any:
    """The document that `text` holds."""
    return _decoder.decode(text)


def goal_version(row: Mapping[str, Any]) -> GoalVersion:
    """A goal version from a row of `goal_versions`."""
    goal_type = GoalType(row["goal_type"])
    window = row["window_seconds"]
    return GoalVersion(
        account_id=str(row["account_id"]),
        workflow_id=str(row["workflow_id"]),
        goal_id=str(row["goal_id"]),
        version=row["version"],
        goal_type=goal_type,
        criteria=parse_criteria(goal_type, decode_json(row["criteria"])),
        is_active=row["is_active"],
        is_deleted=row["is_deleted"],
        window=None if window is None else timedelta(seconds=window),
        measure_after_exit=timedelta(seconds=row["measure_after_exit_seconds"]),
        effective_from=row["effective_from"],
        created_at=row["goal_created_at"],
    )

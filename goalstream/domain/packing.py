"""Goal versions packed into bytes: one object of 240 bytes instead of ten of 600, and nothing for the garbage collector.

A version is unpacked when an event might fulfil it, which few do.
"""

from __future__ import annotations

import marshal
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from goalstream.domain.goals import CRITERIA_OF, Criteria, GoalType, GoalVersion

HOT_VERSIONS = 4_096
"""Versions that are kept unpacked as well: those that events meet again and again. They take 3 MB at most."""

_GOAL_TYPES = tuple(GoalType)
_KEYS_OF = {kind: tuple(field.name for field in fields(kind)) for kind in CRITERIA_OF.values()}
_KINDS = tuple(_KEYS_OF)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def pack(version: GoalVersion) -> bytes:
    """All of a version, for `unpack` in the same process: marshal promises nothing to another."""
    return marshal.dumps(
        (
            version.account_id,
            version.workflow_id,
            version.goal_id,
            version.version,
            _GOAL_TYPES.index(version.goal_type),
            _pack_criteria(version.criteria),
            version.is_active,
            version.is_deleted,
            None if version.window is None else version.window // _MICROSECOND,
            version.measure_after_exit // _MICROSECOND,
            (version.effective_from - _EPOCH) // _MICROSECOND,
            (version.created_at - _EPOCH) // _MICROSECOND,
        )
    )


def unpack(packed: bytes) -> GoalVersion:
    """A version equal to the one that was packed."""
    values = marshal.loads(packed)  # noqa: S302 - `pack` wrote it
    account_id, workflow_id, goal_id, number, goal_type, criteria, is_active, is_deleted, *times = values
    window, measure_after_exit, effective_from, created_at = times
    return GoalVersion(
        account_id=account_id,
        workflow_id=workflow_id,
        goal_id=goal_id,
        version=number,
        goal_type=_GOAL_TYPES[goal_type],
        criteria=_unpack_criteria(*criteria),
        is_active=is_active,
        is_deleted=is_deleted,
        window=None if window is None else timedelta(microseconds=window),
        measure_after_exit=timedelta(microseconds=measure_after_exit),
        effective_from=_EPOCH + timedelta(microseconds=effective_from),
        created_at=_EPOCH + timedelta(microseconds=created_at),
    )


unpack_hot = lru_cache(HOT_VERSIONS)(unpack)


def _pack_criteria(criteria: Criteria) -> tuple[int | str | bool | None, ...]:
    kind = type(criteria)
    values = (getattr(criteria, key) for key in _KEYS_OF[kind])
    return _KINDS.index(kind), *(str(value) if isinstance(value, Decimal) else value for value in values)


def _unpack_criteria(kind: int, *values: object) -> Criteria:
    document = dict(zip(_KEYS_OF[_KINDS[kind]], values, strict=True))
    if isinstance(minimum := document.get("min_amount"), str):
        document["min_amount"] = Decimal(minimum)
    return _KINDS[kind](**document)  # type: ignore[arg-type]

"""Values of a program as JSON has them, so that what is told in-process is read as a record would be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from goalstream.domain.documents import MAX_DEPTH, as_document
from goalstream.domain.goals import GoalType

ID = "8f14e45f-ceea-467f-9b6a-0d3f1a2b3c4d"


class Plan(str, Enum):  # noqa: UP042 - as programs had them before there was StrEnum
    GOLD = "gold"


@pytest.mark.parametrize(
    ("given", "document"),
    [
        (None, None),
        (True, True),
        (7, 7),
        ("text", "text"),
        (GoalType.TAG_ADDED, "tag_added"),
        (Plan.GOLD, "gold"),
        (UUID(ID), ID),
        (Decimal("1.50"), Decimal("1.50")),
        (150.1, Decimal("150.1")),
        (datetime(2026, 11, 23, 12, tzinfo=UTC), "2026-11-23T12:00:00Z"),
        (datetime(2026, 11, 23, 12), "2026-11-23T12:00:00Z"),  # noqa: DTZ001 - without an offset it is UTC
        (datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=2))), "2026-11-23T10:00:00Z"),
        ({"a": (1, [2.5])}, {"a": [1, [Decimal("2.5")]]}),
    ],
)
def test_what_json_knows_is_a_document(given: object, document: object) -> None:
    found = as_document(given, "data")
    assert found == document
    assert type(found) is type(document)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"a": {"b": object()}}, "data.a.b is nothing that JSON knows: object"),
        ([1, {2}], "data[1] is nothing that JSON knows: set"),
        (b"bytes", "data is nothing that JSON knows: bytes"),
        ({1: 2}, "a key of data is no string"),
        ({"\ud800": 2}, "a key of data holds U+0000 or a lone surrogate"),
        ("\x00", "data holds U+0000 or a lone surrogate"),
        (float("inf"), "data is no number: inf"),
        (Decimal("NaN"), "data is no number: NaN"),
    ],
)
def test_what_no_record_may_hold_is_no_document(given: object, sentence: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole sentence is compared
        as_document(given, "data")
    assert str(error.value) == sentence


def test_a_document_is_nested_no_deeper_than_a_record_may_be() -> None:
    document: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        document = [document]
    assert as_document(document, "data") == document
    with pytest.raises(ValueError, match="is nested deeper than 100"):
        as_document([document], "data")

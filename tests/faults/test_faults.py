"""Every row of the table, at the size for CI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.breakable import Breakable
from tests.faults.previous_release import NoPreviousRelease
from tests.faults.report import document_of
from tests.faults.rows import Row, Size, rows, run_row

SEED = 1


def _nobody_watches(*_: Any) -> None:
    """Progress is for people."""


@pytest.fixture(scope="module")
def breakable() -> Iterator[Breakable]:
    """Started by the first row that breaks something."""
    with Breakable() as services:
        yield services


@pytest.mark.real_kafka
@pytest.mark.timeout(300)
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.fault)
async def test_nothing_is_lost_nothing_comes_twice_and_nothing_is_wrong(
    row: Row, kafka_servers: str, postgres_url: str, breakable: Breakable
) -> None:
    if not row.has(Size.CI):
        pytest.skip(f"{row.fault} has full size only: {row.full_only}")
    try:
        result = await run_row(
            row,
            Size.CI,
            SEED,
            kafka=kafka_servers,
            postgres=postgres_url,
            breakable=breakable,
            show=_nobody_watches,
        )
    except NoPreviousRelease as error:  # an archive of the sources, say
        pytest.skip(f"{row.fault}: {error}")
    found = "\n".join(result.outcome.findings.sentences()[:20])
    assert result.is_clean, f"{document_of(result)}\nlogs and timeline: {result.folder}\n{found}"

"""Texts as the contract understands them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.texts import are_uuids, is_uuid

UUIDS = st.uuids().map(str) | st.uuids().map(lambda one: str(one).upper())
NEARLY = st.sampled_from(
    [
        "",
        "0c000000-0000-4000-8000-00000000000",
        "0c000000-0000-4000-8000-0000000000001",
        "0c000000-0000-4000-8000-00000000000g",
        "0c0000000-000-4000-8000-000000000001",
        "0c00000000004000800000000000000000--",
        "0c000000-0000-4000-8000-00000000000\n",
        "0c000000-0000-4000-8000-00000000000é",
        "0c000000-0000-4000-8000-00000000000\ud800",
        "----0c000000000040008000000000000001",
    ]
)


@given(st.lists(UUIDS | NEARLY | st.text(max_size=40), max_size=4))
def test_many_are_looked_at_as_one_is(texts: list[str]) -> None:
    assert are_uuids(texts) == all(map(is_uuid, texts))

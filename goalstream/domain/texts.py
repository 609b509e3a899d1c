"""Texts and UUIDs as the contract understands them."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_TEXT_LENGTH = 255
"""Longest id or name, in code points; more is refused (a B-tree key of PostgreSQL must stay below 2,704 bytes)."""

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}").fullmatch
_HEXADECIMAL = b"0123456789abcdefABCDEF"
_LINE = len("00000000-0000-0000-0000-000000000000\n")
_MARKS = ((8, b"-"), (13, b"-"), (18, b"-"), (23, b"-"), (36, b"\n"))
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]").search


def is_uuid(text: str) -> bool:
    """Whether `text` has the form 8-4-4-4-12, in either case."""
    return _UUID(text) is not None


def are_uuids(texts: Sequence[str]) -> bool:
    """Whether all of many texts have that form, in a fourth of the time that looking at each would take."""
    lines = "\n".join([*texts, ""]).encode(errors="replace")
    if len(lines) != len(texts) * _LINE or lines.translate(None, _HEXADECIMAL) != b"----\n" * len(texts):
        return False
    return all(lines[column::_LINE] == mark * len(texts) for column, mark in _MARKS)


def has_forbidden_character(text: str) -> bool:
    """Whether `text` holds U+0000 or a lone surrogate, which PostgreSQL cannot store."""
    return _FORBIDDEN(text) is not None


def fold_name(name: str) -> str:
    """A tag's name as it is compared: stripped of Unicode white space and case-folded."""
    return name.strip().casefold()

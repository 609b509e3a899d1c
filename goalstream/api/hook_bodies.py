"""What requests about hooks hold. Every problem has its pointer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from goalstream.api.bodies import refuse, unknown_fields
from goalstream.api.rotation import USUAL_OVERLAP_SECONDS, overlap_of
from goalstream.domain import mappings
from goalstream.domain.mappings import parse_mapping
from goalstream.domain.presets import PRESETS, PresetName
from goalstream.domain.signing import Scheme, is_secret
from goalstream.domain.texts import has_forbidden_character
from goalstream.domain.topics import READ_TOPICS
from goalstream.errors import InvalidMapping, OperatorError, Problem
from goalstream.storage.codecs import decode_json, encode_json

NEW_FIELDS = ("name", "preset", "scheme", "mapping", "secret")
CHANGE_FIELDS = ("name", "mapping", "paused")
ROTATION_FIELDS = ("secret", "overlap_seconds")

MOST_NAME = 100
LEAST_SECRET, MOST_SECRET = 8, 255

_MOST_EXPONENT = 400
"""Of a number that is read as one: a larger one is its text, since to round it would take all memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHook:
    """A hook as it is asked for; `mapping` is JSON, and without a `secret` one is made."""

    name: str
    scheme: Scheme
    mapping: str
    secret: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A new secret, which is made where it is None, and how long those before it hold."""

    secret: str | None
    overlap: timedelta


def parse_body(content: bytes) -> Any:
    """The JSON in a body, whatever it is; its numbers are int or Decimal. Raises ValueError."""
    try:
        return _decoder.decode(content)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise ValueError(f"The body is not JSON: {error}") from None


@lru_cache(maxsize=256)
def known_mapping(text: str) -> mappings.Mapping:
    """The mapping that is stored as JSON. Raises OperatorError where a newer release made it, and this one does not understand it."""
    try:
        return parse_mapping(decode_json(text), event_types=READ_TOPICS)
    except InvalidMapping as error:
        raise OperatorError(f"a mapping was made by a newer release ({error}): run that one everywhere") from None


def parse_new_hook(document: Mapping[str, Any]) -> NewHook:
    """The hook in a POST body. Raises ApiError, 422, with everything that is wrong."""
    problems = unknown_fields(document, NEW_FIELDS)
    name = _name(document, problems)
    scheme, mapping = _scheme_and_mapping(document, problems)
    secret = None if scheme is None else _secret(document, scheme, problems)
    refuse(problems)
    assert scheme is not None  # noqa: S101 - narrows: else there is a problem
    return NewHook(name=name, scheme=scheme, mapping=mapping, secret=secret)


def parse_hook_changes(document: Mapping[str, Any]) -> dict[str, Any]:
    """The changes in a PATCH body, by the names of Hook. Raises ApiError, 422, with everything that is wrong."""
    problems = unknown_fields(document, CHANGE_FIELDS)
    changes: dict[str, Any] = {}
    if "name" in document:
        changes["name"] = _name(document, problems)
    if "mapping" in document:
        changes["mapping"] = mapping_text(document["mapping"], problems)
    if "paused" in document:
        changes["is_paused"] = document["paused"]
        if not isinstance(document["paused"], bool):
            problems.append(Problem("/paused", "must be true or false"))
    refuse(problems)
    return changes


def parse_rotation(document: Mapping[str, Any], scheme: Scheme) -> Rotation:
    """The rotation in a POST body. Raises ApiError, 422, with everything that is wrong."""
    problems = unknown_fields(document, ROTATION_FIELDS)
    secret = _secret(document, scheme, problems)
    seconds = document.get("overlap_seconds")
    overlap = overlap_of(USUAL_OVERLAP_SECONDS if seconds is None else seconds, problems)
    refuse(problems)
    return Rotation(secret=secret, overlap=overlap)


def mapping_text(document: object, problems: list[Problem]) -> str:
    """A mapping as JSON, where it can be accepted."""
    try:
        parse_mapping(document, event_types=READ_TOPICS)
    except InvalidMapping as error:
        problems += error.problems
        return ""
    return encode_json(document)


def preset_named(told: object, problems: list[Problem]) -> PresetName | None:
    """The preset that a document names."""
    found = next((name for name in PresetName if name == told), None)
    if found is None:
        problems.append(Problem("/preset", f"must be one of: {', '.join(PresetName)}"))
    return found


def _scheme_and_mapping(document: Mapping[str, Any], problems: list[Problem]) -> tuple[Scheme | None, str]:
    told = document.get("scheme")
    if document.get("preset") is not None:
        problems += (
            Problem(f"/{name}", "comes with the preset: leave one of them out")
            for name in ("scheme", "mapping")
            if document.get(name) is not None
        )
        preset = preset_named(document["preset"], problems)
        return (None, "") if preset is None else (PRESETS[preset].scheme, encode_json(PRESETS[preset].mapping))
    scheme = Scheme(told) if told in list(Scheme) else None
    if scheme is None:
        problems.append(Problem("/scheme", f"must be one of: {', '.join(Scheme)}; or name a preset"))
    if document.get("mapping") is None:
        problems.append(Problem("/mapping", "is required without a preset"))
        return scheme, ""
    return scheme, mapping_text(document["mapping"], problems)


def _name(document: Mapping[str, Any], problems: list[Problem]) -> str:
    name = document.get("name")
    if isinstance(name, str) and name.strip() and len(name) <= MOST_NAME and not has_forbidden_character(name):
        return name
    problems.append(Problem("/name", f"must be a text of 1 to {MOST_NAME} characters"))
    return ""


def _secret(document: Mapping[str, Any], scheme: Scheme, problems: list[Problem]) -> str | None:
    secret = document.get("secret")
    if scheme is Scheme.STANDARD:
        if secret is not None and not (isinstance(secret, str) and len(secret) <= MOST_SECRET and is_secret(secret)):
            problems.append(Problem("/secret", "must be whsec_ and 24 to 64 bytes in base64; without it one is made"))
            return None
        return secret
    if secret is None:
        problems.append(Problem("/secret", f"is required: {scheme} has it"))
        return None
    if not (
        isinstance(secret, str)
        and LEAST_SECRET <= len(secret) <= MOST_SECRET
        and secret.isascii()
        and secret.isprintable()
        and secret == secret.strip()
    ):
        problems.append(Problem("/secret", f"must be {LEAST_SECRET} to {MOST_SECRET} characters of ASCII"))
        return None
    return secret


def _number(digits: str) -> Decimal | str:
    number = Decimal(digits)
    return number if abs(number.adjusted()) <= _MOST_EXPONENT else digits


_decoder = msgspec.json.Decoder(float_hook=_number)

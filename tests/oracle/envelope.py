"""Bytes → the parts of an envelope: plain, CloudEvents binary or structured; section 5 of the contract."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from tests.oracle.history import Record

_MAX_DEPTH = 100


class BadRecord(Exception):
    """The record is a dead letter; `reason` is one of the contract's."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The parts as they were sent; None where missing or null."""

    event_type: Any
    event_id: Any
    source: Any
    account_id: Any
    time: Any
    data: Any


def open_envelope(record: Record) -> Envelope:
    """The parts of a record. Raises BadRecord: not_json, forbidden_character or bad_cloudevent.

    A batch and content that is not JSON are declared by headers and looked for first: their values are not JSON objects, so
    that the contract's reason for them could never be told otherwise.
    """
    if record.value is None:
        raise BadRecord("not_json", "null value")
    try:
        headers = {name.lower(): text.decode("utf-8") for name, text in record.headers if text is not None}
    except UnicodeDecodeError:
        raise BadRecord("not_json", "a header is bad UTF-8") from None
    content_type = headers.get("content-type", "")
    is_binary = any(name.startswith("ce_") for name in headers)
    if content_type.startswith("application/cloudevents-batch"):
        raise BadRecord("bad_cloudevent", "batch mode")
    if is_binary and content_type and not _is_json(content_type):
        raise BadRecord("bad_cloudevent", "not JSON content")
    document = _parse(record.value)
    if any(_is_forbidden(text) for text in (*headers.values(), *_texts(document))):
        raise BadRecord("forbidden_character", "U+0000 or a lone surrogate")
    if content_type.startswith("application/cloudevents+json") or (not is_binary and "specversion" in document):
        return _structured(document)
    if is_binary:
        return _binary(headers, document)
    get = document.get
    return Envelope(
        event_type=get("event_type"),
        event_id=get("event_id"),
        source=None,
        account_id=get("account_id"),
        time=get("timestamp"),
        data=get("data"),
    )


def _structured(document: dict[str, Any]) -> Envelope:
    get = document.get
    if get("specversion") != "1.0" or get("id") in (None, ""):
        raise BadRecord("bad_cloudevent", "specversion not 1.0, or no id")
    content_type = get("datacontenttype")
    if content_type is not None and not (isinstance(content_type, str) and _is_json(content_type)):
        raise BadRecord("bad_cloudevent", "not JSON content")
    if get("data_base64") is not None:
        raise BadRecord("bad_cloudevent", "not JSON content")
    return Envelope(
        event_type=get("type"),
        event_id=get("id"),
        source=get("source"),
        account_id=get("accountid"),
        time=get("time"),
        data=get("data"),
    )


def _binary(headers: dict[str, str], document: dict[str, Any]) -> Envelope:
    get = headers.get
    if get("ce_specversion") != "1.0" or not get("ce_id"):
        raise BadRecord("bad_cloudevent", "specversion not 1.0, or no id")
    return Envelope(
        event_type=get("ce_type"),
        event_id=get("ce_id"),
        source=get("ce_source"),
        account_id=get("ce_accountid"),
        time=get("ce_time"),
        data=document,
    )


def _is_json(content_type: str) -> bool:
    media_type = content_type.split(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _parse(value: bytes) -> dict[str, Any]:
    """An object of at most 100 levels; of duplicate keys the last holds; numbers keep their digits."""
    try:
        document = json.loads(value.decode("utf-8"), parse_float=_number, parse_int=_number, parse_constant=_refuse)
        if not isinstance(document, dict):
            raise BadRecord("not_json", "not an object")
        if _depth(document) > _MAX_DEPTH:
            raise BadRecord("not_json", "nested too deep")
    except (ValueError, RecursionError) as error:
        raise BadRecord("not_json", str(error)) from None
    return document


def _number(digits: str) -> int | Decimal | str:
    """The number from its own digits; what not even a decimal can hold stays text."""
    if digits.lstrip("-").isdigit() and len(digits) < 1_000:
        return int(digits)
    try:
        return Decimal(digits)
    except InvalidOperation:
        return digits


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _depth(document: object) -> int:
    if isinstance(document, dict):
        return 1 + max(map(_depth, document.values()), default=0)
    if isinstance(document, list):
        return 1 + max(map(_depth, document), default=0)
    return 0


def _texts(document: object) -> list[str]:
    """Every text in a document, keys included."""
    if isinstance(document, str):
        return [document]
    if isinstance(document, dict):
        return [text for key, part in document.items() for text in (key, *_texts(part))]
    return [text for part in document for text in _texts(part)] if isinstance(document, list) else []


def _is_forbidden(text: str) -> bool:
    return any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def canonical(document: object) -> str:
    """The one text of a document: keys sorted by code point, no blanks, numbers by their own digits."""
    if isinstance(document, dict):
        return "{" + ",".join(f"{canonical(key)}:{canonical(document[key])}" for key in sorted(document)) + "}"
    if isinstance(document, list):
        return "[" + ",".join(map(canonical, document)) + "]"
    return str(document) if isinstance(document, Decimal) else json.dumps(document, ensure_ascii=False)

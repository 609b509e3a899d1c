"""Envelopes: the CRM's plain one, CloudEvents 1.0 in binary and in structured mode, all read into the same parts.

What headers declare is looked at before the body: a batch or a foreign content type is a bad CloudEvent, whatever it holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn

import msgspec

from goalstream.domain.texts import has_forbidden_character
from goalstream.domain.traces import valid_trace
from goalstream.errors import InvalidRecord
from goalstream.streams.ports import Headers, Record

MAX_DEPTH = 100


class Envelope(NamedTuple):
    """The parts of a record, as they were sent; a part that is missing or null is None."""

    event_type: Any
    event_id: Any
    source: Any
    account_id: Any
    time: Any
    data: Any
    traceparent: str | None


def open_envelope(value: bytes | None, headers: Headers) -> Envelope:
    """Opens a record's envelope. Raises InvalidRecord: not_json, forbidden_character or bad_cloudevent."""
    if value is None:
        raise InvalidRecord("not_json", "the record has no value")
    if not headers:
        document = parse_object(value)
        return _structured(document, {}) if "specversion" in document else _plain(document, None)
    attributes = _texts(headers)
    content_type = attributes.get("content-type", "").split(";")[0].strip().lower()
    if content_type == "application/cloudevents-batch+json":
        raise InvalidRecord("bad_cloudevent", "batch mode is not supported")
    is_binary = any(name.startswith("ce_") for name in attributes)
    if is_binary and content_type and not _is_json(content_type) and content_type != "application/cloudevents+json":
        raise InvalidRecord("bad_cloudevent", f"content type {content_type} is not JSON")
    document = parse_object(value)
    if any(map(has_forbidden_character, attributes.values())):
        raise InvalidRecord("forbidden_character", "a header holds U+0000")
    if content_type == "application/cloudevents+json" or (not is_binary and "specversion" in document):
        return _structured(document, attributes)
    return _binary(document, attributes) if is_binary else _plain(document, _trace(attributes))


def _plain(document: dict[str, Any], trace: str | None) -> Envelope:
    get = document.get
    return Envelope(get("event_type"), get("event_id"), None, get("account_id"), get("timestamp"), get("data"), trace)


def _structured(document: dict[str, Any], headers: Mapping[str, str]) -> Envelope:
    get = document.get
    content_type = get("datacontenttype")
    if content_type is not None and not (isinstance(content_type, str) and _is_json(content_type)):
        raise InvalidRecord("bad_cloudevent", "datacontenttype is not JSON")
    if get("data_base64") is not None:
        raise InvalidRecord("bad_cloudevent", "data_base64 is not JSON")
    _check_cloudevent(get("specversion"), get("id"))
    trace = _trace(headers) or valid_trace(get("traceparent"))
    return Envelope(get("type"), get("id"), get("source"), get("accountid"), get("time"), get("data"), trace)


def _binary(document: dict[str, Any], headers: Mapping[str, str]) -> Envelope:
    get = headers.get
    _check_cloudevent(get("ce_specversion"), get("ce_id"))
    return Envelope(
        get("ce_type"), get("ce_id"), get("ce_source"), get("ce_accountid"), get("ce_time"), document, _trace(headers)
    )


def _check_cloudevent(specversion: object, event_id: object) -> None:
    if specversion != "1.0":
        raise InvalidRecord("bad_cloudevent", "specversion is not 1.0")
    if event_id is None or event_id == "":
        raise InvalidRecord("bad_cloudevent", "id is missing")


def _is_json(content_type: str) -> bool:
    media_type = content_type.split(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _texts(headers: Headers) -> dict[str, str]:
    """Headers by their lower-case name; of repeated ones the last holds."""
    try:
        return {name.lower(): value.decode() for name, value in headers if value is not None}
    except UnicodeDecodeError:
        raise InvalidRecord("not_json", "a header is not UTF-8") from None


def traceparent_of(record: Record) -> str | None:
    """What a record's headers say about its trace, however broken the rest of it is."""
    return _trace({name.lower(): value.decode(errors="replace") for name, value in record.headers if value is not None})


def _trace(headers: Mapping[str, str]) -> str | None:
    return valid_trace(headers.get("traceparent") or headers.get("ce_traceparent"))


def parse_object(value: bytes) -> dict[str, Any]:
    """The JSON object in `value`, its numbers int or Decimal. Raises InvalidRecord: not_json or forbidden_character.

    The dear checks run only where a cheap look at the bytes raises suspicion.
    """
    try:
        document = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = _parse_patiently(value)
    if not isinstance(document, dict):
        raise InvalidRecord("not_json", "not an object")
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _depth(document) > MAX_DEPTH:
        raise InvalidRecord("not_json", f"nested deeper than {MAX_DEPTH}")
    if b"\\u" in value and _holds_forbidden_character(document):
        raise InvalidRecord("forbidden_character", "the value holds U+0000 or a lone surrogate")
    return document


def _parse_patiently(value: bytes) -> object:
    """Reads what the fast parser refuses although it is JSON: lone surrogates, integers of thousands of digits."""
    try:
        return json.loads(value.decode(), parse_constant=_refuse_constant, parse_int=_number, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord("not_json", str(error)) from None


def _number(digits: str) -> Decimal | str:
    """The number from its own digits; as text where its exponent is beyond what a decimal holds."""
    try:
        return Decimal(digits)
    except InvalidOperation:
        return digits


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _depth(document: object) -> int:
    """How deep arrays and objects are nested, found level by level."""
    depth, level = 0, [document]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _holds_forbidden_character(document: object) -> bool:
    if isinstance(document, str):
        return has_forbidden_character(document)
    if isinstance(document, dict):
        return any(_holds_forbidden_character(part) for item in document.items() for part in item)
    return isinstance(document, list) and any(map(_holds_forbidden_character, document))


_decoder = msgspec.json.Decoder(float_hook=_number)

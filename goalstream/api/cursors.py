"""Cursors: where a page ended, as a text that clients hand back and do not look into; and the link to the next page."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request, Response

from goalstream.api.parts import invalid_query, json_response
from goalstream.domain.texts import is_uuid
from goalstream.domain.times import parse_time

Cursor = Annotated[str | None, Query(max_length=300, description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=200, description="entries of a page at the most")]

Entry = TypeVar("Entry")


def encode_cursor(listing: str, *parts: datetime | str | int) -> str:
    """A cursor of a listing's page, with the values that it ended with."""
    told = [listing, *(part.isoformat() if isinstance(part, datetime) else part for part in parts)]
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode()


def decode_cursor(cursor: str, listing: str, *kinds: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The values of a listing's cursor, each as its kind reads it, which gives None for what it is not. Raises ApiError: 422."""
    try:
        named, *told = json.loads(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
        parts = tuple(kind(part) for kind, part in zip(kinds, told, strict=True))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        named, parts = None, ()
    if named != listing or not parts or None in parts:
        raise invalid_query("cursor", "is none that this API gave out")
    return parts


def moment(part: object) -> datetime | None:
    """A time in a cursor."""
    return parse_time(part) if isinstance(part, str) else None


def uuid(part: object) -> str | None:
    """An id in a cursor."""
    return part.lower() if isinstance(part, str) and is_uuid(part) else None


def text(part: object) -> str | None:
    """A text in a cursor, which is compared with others and nothing else."""
    return part if isinstance(part, str) else None


def number(part: object) -> int | None:
    """A number in a cursor, as PostgreSQL knows them."""
    return part if isinstance(part, int) and not isinstance(part, bool) and 0 <= part < 1 << 63 else None


def cut(found: Sequence[Entry], limit: int, cursor_of: Callable[[Entry], str]) -> tuple[Sequence[Entry], str | None]:
    """A page of what was found, of which one more was asked for than it takes; and where it ends, if there is more."""
    shown = found[:limit]
    return shown, cursor_of(shown[-1]) if len(found) > limit else None


def page(request: Request, document: dict[str, Any], next_cursor: str | None, *, limit: int) -> Response:
    """A page as an answer, with links to the first one, to the one before where it was cut out by offset, and to the next."""
    response = json_response(document | {"next_cursor": next_cursor})
    base = request.url.remove_query_params(["offset", "cursor"])
    links = {"first": base.include_query_params(limit=limit)}
    if offset := document.get("offset", 0):
        links["prev"] = base.include_query_params(limit=limit, offset=max(offset - limit, 0))
    if next_cursor is not None:
        links["next"] = base.include_query_params(limit=limit, cursor=next_cursor)
    response.headers["Link"] = ", ".join(f'<{url.path}?{url.query}>; rel="{name}"' for name, url in links.items())
    return response

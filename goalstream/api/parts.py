"""What routes share: ids in paths, problems with queries, and answers that write amounts and times as everywhere else."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path, Response

from goalstream.api.problems import ApiError
from goalstream.domain.texts import is_uuid
from goalstream.domain.times import parse_time
from goalstream.errors import Problem
from goalstream.storage.codecs import encode_json

_TIME = len("2026-01-01T")

Id = Annotated[str, Path(json_schema_extra={"format": "uuid"})]


def path_uuid(text: str) -> str:
    """An id of a path, in lower case; what is no UUID names nothing."""
    if not is_uuid(text):
        raise ApiError(404, "An id in the path is no UUID")
    return text.lower()


def invalid_query(name: str, message: str) -> ApiError:
    """The problem with a parameter of the query."""
    return ApiError(422, f"{name} {message}", problems=[Problem(f"/query/{name}", f"{name} {message}")])


def query_uuid(name: str, text: str | None) -> str | None:
    """The id in a query, in lower case, if there is one. Raises ApiError: 422."""
    if text is None:
        return None
    if not is_uuid(text):
        raise invalid_query(name, "must be a UUID")
    return text.lower()


def query_moment(name: str, text: str) -> datetime:
    """The time in a query. Raises ApiError: 422."""
    date, rest = text[:_TIME], text[_TIME:]
    moment = parse_time(date + rest.replace(" ", "+"))  # an unescaped + of a query arrives as a blank
    if moment is None:
        raise invalid_query(name, "must be RFC 3339, such as 2026-03-01T00:00:00Z")
    return moment


def json_response(document: object, status: int = 200) -> Response:
    """A document as JSON: times as RFC 3339 with `Z`."""
    return Response(encode_json(document), status, media_type="application/json")

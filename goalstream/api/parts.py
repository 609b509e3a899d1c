"""What several routes share: ids in paths, and answers whose amounts and times are written as everywhere else."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response

from goalstream.api.problems import ApiError
from goalstream.domain.texts import is_uuid
from goalstream.storage.codecs import encode_json

Id = Annotated[str, Path(json_schema_extra={"format": "uuid"})]


def path_uuid(text: str) -> str:
    """An id of a path, in lower case; what is no UUID names nothing."""
    if not is_uuid(text):
        raise ApiError(404, "An id in the path is no UUID")
    return text.lower()


def json_response(document: object, status: int = 200) -> Response:
    """A document as JSON: times as RFC 3339 with `Z`."""
    return Response(encode_json(document), status, media_type="application/json")

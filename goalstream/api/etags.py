"""Versions as HTTP tells them (RFC 9110): ETag, and the headers that ask for one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Response

from goalstream.api.problems import ApiError

IfMatch = Annotated[str | None, Header(alias="If-Match", description="the ETag last read")]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="ETags that are known; 304 if it still is one")
]


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def not_modified(if_none_match: str | None, version: int) -> Response | None:
    """The answer to whoever knows the version already."""
    if if_none_match is None or not _names(if_none_match, etag(version), is_strong=False):
        return None
    return Response(status_code=304, headers={"ETag": etag(version)})


def require_if_match(if_match: str | None) -> str:
    """The header, without which nothing is changed. Raises ApiError: 428."""
    if if_match is None:
        raise ApiError(428, "Send If-Match with the ETag that you last read")
    return if_match


def expected_version(if_match: str | None, current: int) -> int | None:
    """The version that a header asks for: the current one if it names it, else one that is stale; None accepts any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return current if _names(if_match, etag(current), is_strong=True) else 0


def _names(header: str, wanted: str, *, is_strong: bool) -> bool:
    """Whether an If-Match header, which compares strongly, or an If-None-Match header names an ETag."""
    named = (part.strip() for part in header.split(","))
    return header.strip() == "*" or wanted in (part if is_strong else part.removeprefix("W/") for part in named)

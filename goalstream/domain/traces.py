"""W3C Trace Context: the `traceparent` that goes along with events."""

from __future__ import annotations

import re

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


def valid_trace(traceparent: object) -> str | None:
    """A `traceparent`; None where it is none."""
    return traceparent if isinstance(traceparent, str) and _TRACEPARENT(traceparent) else None


def trace_id_of(traceparent: str | None) -> str | None:
    """The id of the trace that a valid `traceparent` belongs to."""
    return None if traceparent is None else traceparent.split("-")[1]

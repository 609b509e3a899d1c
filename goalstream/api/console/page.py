"""Routes of the console: its files as they are, and the contracts' examples for its form of events."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from goalstream.storage.codecs import encode_json

Examples = Mapping[str, Mapping[str, Any]]
"""Valid events of each topic, by their names."""

router = APIRouter(include_in_schema=False)

_FOLDER = files(__package__)
_REFUSES_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)").search
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)


@router.get("/")
def page(request: Request) -> Response:
    """The page itself."""
    return _file(request, "index.html")


@router.get("/console/examples.json")
def examples(request: Request) -> Response:
    """Valid events by topic and name."""
    return _answer(request, encode_json(request.app.state.examples()).encode(), "application/json")


@router.get("/console/{name}")
def asset(request: Request, name: str) -> Response:
    """A file that the page names."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    path, kind = _FOLDER / name, _TYPES.get(name.rpartition(".")[2])
    if kind is None or not path.is_file():
        raise HTTPException(404)
    return _answer(request, path.read_bytes(), kind)


def _answer(request: Request, body: bytes, kind: str) -> Response:
    """Kept by whoever asked, and asked for again before it is used: a new release is seen at once."""
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY, "Vary": "Accept-Encoding"}
    is_compressed = _takes_gzip(request.headers.get("accept-encoding", "").lower())
    body = _compressed(body) if is_compressed else body
    headers["ETag"] = etag = f'"{sha256(body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    encoding = {"Content-Encoding": "gzip"} if is_compressed else {}
    return Response(body, headers=headers | encoding | {"Content-Type": kind})


def _takes_gzip(accepted: str) -> bool:
    return "gzip" in accepted and _REFUSES_GZIP(accepted) is None


@lru_cache(maxsize=32)
def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)

"""Routes of hooks: create, list, show, change, delete, rotate the secret, try a mapping, and look at the calls."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from goalstream.api.auth import WebhookReader, WebhookWriter
from goalstream.api.bodies import read_object
from goalstream.api.contract import headers, links_to_hook, problems
from goalstream.api.cursors import Cursor, Limit, cut, decode_cursor, encode_cursor, moment, page, text
from goalstream.api.etags import IfMatch, IfNoneMatch, etag, expected_version, not_modified, require_if_match
from goalstream.api.hook_bodies import parse_hook_changes, parse_new_hook, parse_rotation
from goalstream.api.hook_documents import HookCallPage, HookDocument, HookList, HookWithSecret, PresetList
from goalstream.api.parts import Id, json_response, path_uuid
from goalstream.api.rotation import new_secret
from goalstream.api.schemas import body
from goalstream.api.sealing import require_seal
from goalstream.api.tokens import Principal
from goalstream.domain.presets import PRESETS
from goalstream.storage.hook_calls import calls
from goalstream.storage.hooks import Hook, HookBook

router = APIRouter(prefix="/api/v1", tags=["hooks"])


@router.post(
    "/hooks",
    status_code=201,
    operation_id="createHook",
    summary="Create a hook",
    openapi_extra=body("NewHook"),
    response_model=HookWithSecret,
    responses={201: headers("Location", "ETag") | links_to_hook(), **problems(400, 413, 415, 422)},
)
async def create_hook(request: Request, writer: WebhookWriter) -> Response:
    """An address for one system to send to. A secret that is made here is told in this answer, and never again."""
    book = _book(request, writer)
    wanted = parse_new_hook(await read_object(request))
    made = new_secret() if wanted.secret is None else None
    hook = await book.create(
        str(uuid4()),
        name=wanted.name,
        scheme=wanted.scheme,
        mapping=wanted.mapping,
        secret=wanted.secret or str(made),
        actor=writer.subject,
    )
    response = _shown(hook, 201, made)
    response.headers["Location"] = f"/api/v1/hooks/{hook.hook_id}"
    return response


@router.get(
    "/hooks",
    operation_id="listHooks",
    summary="List hooks",
    response_model=HookList,
    responses=problems(),
)
async def list_hooks(request: Request, reader: WebhookReader) -> Response:
    """All of the account's, in the order of creation."""
    found = await _book(request, reader).hooks()
    return json_response({"hooks": [hook.document() for hook in found]})


@router.get(
    "/hook-presets",
    operation_id="listHookPresets",
    summary="List presets of hooks",
    response_model=PresetList,
    responses=problems(),
)
async def list_presets(request: Request, _: WebhookReader) -> Response:
    """Systems whose signature and mapping are known, and where each carries the id of a contact."""
    require_seal(request)
    shown = [
        {
            "name": name.value,
            "title": preset.title,
            "scheme": preset.scheme.value,
            "contact_id": preset.contact_id,
            "mapping": preset.mapping,
        }
        for name, preset in PRESETS.items()
    ]
    return json_response({"presets": shown})


@router.get(
    "/hooks/{hook_id}",
    operation_id="getHook",
    summary="Show a hook",
    response_model=HookDocument,
    responses={200: headers("ETag"), 304: {"description": "Not modified", **headers("ETag")}, **problems(404, 422)},
)
async def get_hook(hook_id: Id, request: Request, reader: WebhookReader, if_none_match: IfNoneMatch = None) -> Response:
    """Without its secrets, which nobody can tell again; only since when and until when each holds."""
    hook = await _book(request, reader).get(path_uuid(hook_id))
    return not_modified(if_none_match, hook.version) or _shown(hook)


@router.patch(
    "/hooks/{hook_id}",
    operation_id="changeHook",
    summary="Change a hook",
    openapi_extra=body("HookChanges"),
    response_model=HookDocument,
    responses={200: headers("ETag"), **problems(404, 412, 413, 415, 422, 428)},
)
async def change_hook(hook_id: Id, request: Request, writer: WebhookWriter, if_match: IfMatch = None) -> Response:
    """`mapping` replaces; calls of a hook that is paused are refused."""
    hook_id = path_uuid(hook_id)
    if_match = require_if_match(if_match)
    book = _book(request, writer)
    changes = parse_hook_changes(await read_object(request))
    expected = expected_version(if_match, (await book.get(hook_id)).version)
    return _shown(await book.change(hook_id, changes, expected_version=expected, actor=writer.subject))


@router.delete(
    "/hooks/{hook_id}",
    status_code=204,
    operation_id="deleteHook",
    summary="Delete a hook",
    response_class=Response,
    responses=problems(404, 412, 422),
)
async def delete_hook(hook_id: Id, request: Request, writer: WebhookWriter, if_match: IfMatch = None) -> Response:
    """Its calls are refused from now on; what it brought stays."""
    hook_id = path_uuid(hook_id)
    book = _book(request, writer)
    expected = None
    if if_match is not None:
        expected = expected_version(if_match, (await book.get(hook_id)).version)
    await book.delete(hook_id, expected_version=expected, actor=writer.subject)
    return Response(status_code=204)


@router.post(
    "/hooks/{hook_id}/secret",
    operation_id="rotateHookSecret",
    summary="Rotate a hook's secret",
    openapi_extra=body("HookSecret"),
    response_model=HookWithSecret,
    responses={200: headers("ETag"), **problems(404, 413, 415, 422)},
)
async def rotate_secret(hook_id: Id, request: Request, writer: WebhookWriter) -> Response:
    """Calls may be signed with the new one or, for `overlap_seconds`, with those before it, of which four are kept."""
    hook_id = path_uuid(hook_id)
    book = _book(request, writer)
    document = await read_object(request)
    wanted = parse_rotation(document, (await book.get(hook_id)).scheme)
    made = new_secret() if wanted.secret is None else None
    hook = await book.rotate(hook_id, wanted.secret or str(made), overlap=wanted.overlap, actor=writer.subject)
    return _shown(hook, 200, made)


@router.get(
    "/hooks/{hook_id}/calls",
    operation_id="listHookCalls",
    summary="List calls of a hook",
    response_model=HookCallPage,
    responses={200: headers("Link"), **problems(404, 422)},
)
async def list_calls(
    hook_id: Id, request: Request, reader: WebhookReader, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Those that were signed as they should be, newest first, each with its last answer; kept for 30 days."""
    hook_id = path_uuid(hook_id)
    await _book(request, reader).get(hook_id)
    before = None if cursor is None else decode_cursor(cursor, "calls", moment, text)
    found = await calls(
        request.app.state.database,
        reader.account_id,
        hook_id,
        limit=limit + 1,
        before=None if before is None else (before[0], before[1]),
    )
    shown, next_cursor = cut(found, limit, lambda last: encode_cursor("calls", last["received_at"], last["call_id"]))
    return page(request, {"calls": shown}, next_cursor, limit=limit)


def _book(request: Request, principal: Principal) -> HookBook:
    return HookBook(request.app.state.database, account_id=principal.account_id, seal=require_seal(request))


def _shown(hook: Hook, status: int = 200, made: str | None = None) -> Response:
    document: dict[str, Any] = hook.document() if made is None else hook.document() | {"secret": made}
    response = json_response(document, status)
    response.headers["ETag"] = etag(hook.version)
    return response

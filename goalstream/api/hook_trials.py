"""Routes that try a mapping: what a body would become, while nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from goalstream.api.auth import WebhookReader
from goalstream.api.bodies import read_json, refuse, unknown_fields
from goalstream.api.contract import problems
from goalstream.api.events import require_intake
from goalstream.api.hook_bodies import known_mapping, mapping_text, parse_body, preset_named
from goalstream.api.hook_documents import DryRun
from goalstream.api.hook_events import make_events
from goalstream.api.parts import Id, json_response, path_uuid
from goalstream.api.problems import ApiError
from goalstream.api.schemas import body
from goalstream.api.sealing import require_seal
from goalstream.domain.mappings import apply
from goalstream.domain.presets import PRESETS
from goalstream.errors import Problem
from goalstream.storage.codecs import encode_json
from goalstream.storage.hooks import HookBook

router = APIRouter(prefix="/api/v1/hooks", tags=["hooks"])

_UNKNOWN_CALL = "unknown"
_NO_HOOK = "00000000-0000-0000-0000-000000000000"


@router.post(
    "/dry-run",
    operation_id="tryMapping",
    summary="Try a mapping",
    openapi_extra=body("MappingTrial"),
    response_model=DryRun,
    responses=problems(413, 415, 422),
)
async def try_mapping(request: Request, reader: WebhookReader) -> Response:
    """The events that a mapping, or a preset, makes of a body, each with what is wrong with it. Nothing is sent."""
    require_seal(request)
    document = await _object(request, ("mapping", "preset", "body"))
    wrong: list[Problem] = []
    if (document.get("mapping") is None) == (document.get("preset") is None):
        wrong.append(Problem("/mapping", "is needed, or a preset; and not both"))
    elif document.get("mapping") is not None:
        mapping = mapping_text(document["mapping"], wrong)
    elif (preset := preset_named(document["preset"], wrong)) is not None:
        mapping = encode_json(PRESETS[preset].mapping)
    refuse(wrong)
    return _tried(request, reader.account_id, _NO_HOOK, mapping, document["body"])


@router.post(
    "/{hook_id}/dry-run",
    operation_id="tryHook",
    summary="Try a hook",
    openapi_extra=body("HookTrial"),
    response_model=DryRun,
    responses=problems(404, 413, 415, 422),
)
async def try_hook(hook_id: Id, request: Request, reader: WebhookReader) -> Response:
    """The events that a hook would make of a body, each with what is wrong with it. Nothing is sent."""
    hook_id = path_uuid(hook_id)
    book = HookBook(request.app.state.database, account_id=reader.account_id, seal=require_seal(request))
    document = await _object(request, ("body",))
    hook = await book.get(hook_id)
    return _tried(request, reader.account_id, hook_id, hook.mapping, document["body"])


async def _object(request: Request, known: tuple[str, ...]) -> Mapping[str, Any]:
    """The JSON object with a `body` that a request holds. Raises ApiError: 413, 415 or 422."""
    content = await read_json(request, request.app.state.settings.max_events_body_bytes)
    try:
        document = parse_body(content)
    except ValueError as error:
        raise ApiError(422, str(error)) from None
    if not isinstance(document, dict):
        raise ApiError(422, "The body must be a JSON object")
    wrong = unknown_fields(document, known)
    if "body" not in document:
        wrong.append(Problem("/body", "is required: what the other system sends"))
    refuse(wrong)
    return document


def _tried(request: Request, account_id: str, hook_id: str, mapping: str, sent: object) -> Response:
    mapped = apply(known_mapping(mapping), sent)
    call_id = mapped.call_id or _UNKNOWN_CALL
    made = make_events(require_intake(request), mapped, account_id=account_id, hook_id=hook_id, call_id=call_id)
    shown = [
        {"event": event, "errors": _errors(outcome.problems)}
        for event, outcome in zip(made.shown, made.outcomes, strict=True)
    ]
    return json_response({"call_id": mapped.call_id, "events": shown, "errors": _errors(made.problems)})


def _errors(found: Any) -> list[dict[str, str]]:
    return [{"pointer": one.pointer, "message": one.message} for one in found]

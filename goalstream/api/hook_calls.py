"""Calls of hooks: what other systems send is known by its signature, becomes events, and is answered once.

Whoever is not known learns nothing: whether there is such a hook, whether it is paused, and what is wrong with a signature is
one answer.
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Path, Request, Response

from goalstream.api.bodies import read_body
from goalstream.api.contract import problems
from goalstream.api.events import Intake, accepted_events, require_intake
from goalstream.api.hook_bodies import known_mapping, parse_body
from goalstream.api.hook_documents import HookAnswer
from goalstream.api.hook_events import HookEvents, make_events, problems_of_events
from goalstream.api.parts import json_response
from goalstream.api.problems import ApiError, problem_response
from goalstream.api.schemas import body
from goalstream.api.sealing import require_seal
from goalstream.domain.hooks import call_id_of, parse_source
from goalstream.domain.mappings import apply
from goalstream.domain.signing import SIGNED_BY, TELLS_NO_TIME, signed_content
from goalstream.errors import OperatorError, Problem
from goalstream.observability.metrics import HOOK_CALLS, HOOK_OUTCOMES
from goalstream.storage.hook_calls import KnownCall, claim, find_call, keep_call, look_up
from goalstream.storage.hooks import Hook
from goalstream.storage.sealing import Seal

router = APIRouter()

ACCEPTED: Final = 202

for _outcome in HOOK_OUTCOMES:
    HOOK_CALLS.labels(_outcome)


@router.post(
    "/hooks/{source}",
    tags=["hooks"],
    operation_id="callHook",
    summary="Call a hook",
    status_code=ACCEPTED,
    openapi_extra=body("HookBody"),
    response_model=HookAnswer,
    responses=problems(400, 409, 413, 422, is_public=True),
)
async def call_hook(
    source: Annotated[str, Path(max_length=100, description="names the hook; `url` of the hook ends with it")],
    request: Request,
) -> Response:
    """For the system that the hook is for, which signs what it sends. What nobody wants is accepted, and becomes no event.

    A repetition is answered as the first time, and nothing is published again. What breaks a contract is refused whole.
    """
    seal, intake = require_seal(request), require_intake(request)
    named = parse_source(source)
    if named is None or not any(header in request.headers for header in SIGNED_BY.values()):
        raise _refused("unauthorized", _unauthorized())
    with request.app.state.hook_room.enter():
        content = await read_body(request, request.app.state.settings.max_events_body_bytes)
        return await _take(request, intake, seal, named, content)


async def _take(request: Request, intake: Intake, seal: Seal, named: tuple[str, str], content: bytes) -> Response:
    """Answers a call whose body is here. Raises ApiError where it is not to be judged."""
    hook, now = await look_up(request.app.state.database, *named, seal)
    if hook is None or hook.is_paused:
        raise _refused("unauthorized", _unauthorized())
    if hook.problem:
        raise OperatorError(hook.problem)
    signed = signed_content(hook.scheme, hook.secrets, headers=request.headers, body=content, now=now)
    if signed is None:
        raise _refused("unauthorized", _unauthorized())
    structlog.contextvars.bind_contextvars(account=hook.account_id, hook=hook.hook_id)
    if wait := request.app.state.rate_limit.take(hook.account_id):
        headers = {"Retry-After": str(math.ceil(wait))}
        raise _refused("rate_limited", ApiError(429, "The account asks too often", headers=headers))
    try:
        document = parse_body(content)
    except ValueError as error:
        raise _refused("malformed", ApiError(400, str(error), error="malformed")) from None
    mapped = apply(known_mapping(hook.mapping), document)
    call_id = call_id_of(hook.scheme, request.headers, mapped.call_id, content)
    events = make_events(intake, mapped, account_id=hook.account_id, hook_id=hook.hook_id, call_id=call_id)
    async with request.app.state.hook_room.turn:
        return await _answer_once(request, intake, hook, call_id, sha256(signed).digest(), events)


async def _answer_once(
    request: Request, intake: Intake, hook: Hook, call_id: str, signature: bytes, events: HookEvents
) -> Response:
    """The first answer where the call was accepted before; else it is judged, and the answer kept with what was done."""
    async with request.app.state.database.transaction(hook.account_id) as connection:
        if not await claim(connection, hook.hook_id, call_id):
            headers = {"Retry-After": "1"}
            busy = ApiError(409, "The same call is still running", error="busy", headers=headers)
            raise _refused("busy", busy)
        known = await find_call(connection, hook, call_id)
        if known is not None and known.signature == signature and hook.scheme not in TELLS_NO_TIME:
            raise _refused("unauthorized", _unauthorized())
        if known is not None and known.status == ACCEPTED:
            HOOK_CALLS.labels("repeated").inc()
            return Response(known.answer, known.status, media_type="application/json")
        outcome, response = await _judge(request, intake, hook, events)
        answer = KnownCall(signature=signature, status=response.status_code, answer=bytes(response.body).decode())
        await keep_call(connection, hook, call_id, answer)
    HOOK_CALLS.labels(outcome).inc()
    return response


async def _judge(request: Request, intake: Intake, hook: Hook, events: HookEvents) -> tuple[str, Response]:
    """Sends all events, or none where one of them is not sound. Raises BrokerUnavailable."""
    wrong = events.all_problems
    if not wrong and events.documents:
        trace = request.headers.get("traceparent")
        outcomes = await intake.accept(hook.account_id, events.documents, traceparent=trace)
        wrong = problems_of_events(outcomes)
    if wrong:
        # The answer is kept: what a person sent must not stand in it.
        told = [Problem(one.pointer, one.unquoted or one.message) for one in wrong]
        return "refused", problem_response(ApiError(422, told[0].message, problems=told))
    return "accepted" if events.documents else "ignored", json_response(accepted_events(events.outcomes), ACCEPTED)


def _unauthorized() -> ApiError:
    return ApiError(
        401, "There is no such hook, or the call is not signed for it", headers={"WWW-Authenticate": "HMAC"}
    )


def _refused(outcome: str, refusal: ApiError) -> ApiError:
    HOOK_CALLS.labels(outcome).inc()
    return refusal

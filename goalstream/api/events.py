"""Events in, for systems that do not speak Kafka: a body becomes records, and each event gets an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from fastapi import APIRouter, Header, Request, Response

from goalstream.api.auth import Writer
from goalstream.api.bodies import read_body
from goalstream.api.contract import headers, problems
from goalstream.api.documents import AcceptedEvents
from goalstream.api.idempotency import REPLAYED, IdempotencyKey, answer_once
from goalstream.api.parts import json_response
from goalstream.api.problems import ApiError
from goalstream.api.schemas import body
from goalstream.errors import Problem
from goalstream.storage.pool import Transactions

router = APIRouter(prefix="/api/v1")

MOST_EVENTS = 500
"""Of one request."""

CONTENT_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")

_batch = msgspec.json.Decoder(list[msgspec.Raw])


class Outcome(NamedTuple):
    """What became of an event: its id and topic, as far as it tells them, and what is wrong; accepted without a problem."""

    event_id: str | None
    topic: str | None
    problems: Sequence[Problem]


class Intake(Protocol):
    """Where events go."""

    def check(self, account_id: str, documents: Sequence[bytes]) -> Sequence[Outcome]:
        """What is wrong with events, of which none is sent."""

    async def accept(
        self, account_id: str, documents: Sequence[bytes], *, traceparent: str | None
    ) -> Sequence[Outcome]:
        """Sends what keeps to the contract, as events of an account; in their order for each contact.

        When it returns, the brokers have acknowledged everything that is called accepted. Raises BrokerUnavailable where they
        did not: then some of it may have been sent, and sending all of it again does no harm.
        """


@router.post(
    "/events",
    tags=["events"],
    operation_id="sendEvents",
    summary="Send events",
    status_code=202,
    openapi_extra=body("Events", *CONTENT_TYPES),
    response_model=AcceptedEvents,
    responses={202: headers(REPLAYED), **problems(409, 413, 415, 422)},
)
async def send_events(
    request: Request,
    writer: Writer,
    idempotency_key: IdempotencyKey = None,
    traceparent: Annotated[str | None, Header(description="W3C Trace Context: goes along with the events")] = None,
) -> Response:
    """One event or up to 500, each in its plain envelope or as a CloudEvent; they go to the topics of their types.

    The account is the token's. An event that breaks its contract is refused, the others are accepted; 422 where none is. Accepted
    means that Kafka keeps it. A request that is repeated does no harm: events are known by their ids.
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type not in CONTENT_TYPES:
        raise ApiError(
            415, f"The body must be one of: {', '.join(CONTENT_TYPES)}", headers={"Accept": CONTENT_TYPES[0]}
        )
    content = await read_body(request, request.app.state.settings.max_events_body_bytes)
    intake = require_intake(request)

    async def send(_: Transactions) -> Response:
        documents, is_batch = _documents(content)
        outcomes = await intake.accept(writer.account_id, documents, traceparent=traceparent)
        if all(outcome.problems for outcome in outcomes):
            raise _refused(outcomes, is_batch=is_batch)
        return json_response(accepted_events(outcomes), 202)

    return await answer_once(request, writer, idempotency_key, content, send)


def require_intake(request: Request) -> Intake:
    """Where events go. Raises ApiError: 503 where this process does not know Kafka."""
    found: Intake | None = request.app.state.intake
    if found is None:
        raise ApiError(503, "This API does not know Kafka", headers={"Retry-After": "60"})
    return found


def _documents(content: bytes) -> tuple[list[bytes], bool]:
    """The events of a body as they were sent, and whether they stand in an array. Raises ApiError: 422."""
    if not content.lstrip().startswith(b"["):
        return [content], False
    try:
        found = [bytes(one) for one in _batch.decode(content)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(422, f"The body is not JSON: {error}") from None
    if not 0 < len(found) <= MOST_EVENTS:
        raise ApiError(422, f"A body has 1 to {MOST_EVENTS} events, this one has {len(found)}")
    return found, True


def _refused(outcomes: Sequence[Outcome], *, is_batch: bool) -> ApiError:
    found = [
        Problem(f"/{index}{problem.pointer}" if is_batch else problem.pointer, problem.message)
        for index, outcome in enumerate(outcomes)
        for problem in outcome.problems
    ]
    return ApiError(422, found[0].message, problems=found)


def accepted_events(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What became of events, as JSON shows it."""
    accepted = sum(not outcome.problems for outcome in outcomes)
    shown = [_shown(index, outcome) for index, outcome in enumerate(outcomes)]
    return {"accepted": accepted, "refused": len(outcomes) - accepted, "events": shown}


def _shown(index: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "index": index,
        "event_id": outcome.event_id,
        "topic": outcome.topic,
        "status": "refused" if outcome.problems else "accepted",
        "errors": [{"pointer": problem.pointer, "message": problem.message} for problem in outcome.problems],
    }

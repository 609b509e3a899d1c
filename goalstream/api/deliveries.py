"""Routes of a webhook's delivery log: test, list, show, send again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from goalstream.api.auth import WebhookReader, WebhookWriter
from goalstream.api.contract import headers, problems
from goalstream.api.cursors import Cursor, Limit, cut, decode_cursor, encode_cursor, moment, page, uuid
from goalstream.api.parts import Id, json_response, path_uuid
from goalstream.api.sealing import require_seal
from goalstream.api.tokens import Principal
from goalstream.api.webhook_documents import DeliveryDocument, DeliveryInFull, DeliveryPage, RedrivenDeliveries
from goalstream.storage.delivery_log import DeliveryKey, DeliveryLog, DeliveryState

router = APIRouter(prefix="/api/v1/webhooks/{webhook_id}", tags=["webhooks"])


@router.post(
    "/test",
    status_code=202,
    operation_id="testWebhook",
    summary="Send a test",
    response_model=DeliveryDocument,
    responses=problems(404, 422),
)
async def send_test(webhook_id: Id, request: Request, writer: WebhookWriter) -> Response:
    """A message of type `webhook.test`, as soon as can be; the delivery log tells what comes of it."""
    return json_response(await _log(request, writer, webhook_id).send_test(writer.subject), 202)


@router.get(
    "/deliveries",
    operation_id="listDeliveries",
    summary="List deliveries",
    response_model=DeliveryPage,
    responses={200: headers("Link"), **problems(404, 422)},
)
async def list_deliveries(
    webhook_id: Id,
    request: Request,
    reader: WebhookReader,
    state: Annotated[DeliveryState | None, Query(description="only those of this state")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first, of the last 30 days."""
    log = _log(request, reader, webhook_id)
    after = None if cursor is None else DeliveryKey(*decode_cursor(cursor, "deliveries", moment, uuid))
    found = await log.page(state=state, limit=limit + 1, after=after)
    shown, next_cursor = cut(
        found, limit, lambda last: encode_cursor("deliveries", last["created_at"], last["message_id"])
    )
    return page(request, {"deliveries": shown}, next_cursor, limit=limit)


@router.get(
    "/deliveries/{message_id}",
    operation_id="getDelivery",
    summary="Show a delivery",
    response_model=DeliveryInFull,
    responses=problems(404, 422),
)
async def show_delivery(webhook_id: Id, message_id: Id, request: Request, reader: WebhookReader) -> Response:
    """With what is sent, and what was answered."""
    return json_response(await _log(request, reader, webhook_id).show(path_uuid(message_id)))


@router.post(
    "/deliveries/{message_id}/redrive",
    operation_id="redriveDelivery",
    summary="Send a message again",
    response_model=DeliveryDocument,
    responses=problems(404, 422),
)
async def redrive_delivery(webhook_id: Id, message_id: Id, request: Request, writer: WebhookWriter) -> Response:
    """At once, and for a day if need be, whatever became of it before; with the same `webhook-id`."""
    log = _log(request, writer, webhook_id)
    return json_response(await log.redrive(path_uuid(message_id), actor=writer.subject))


@router.post(
    "/redrive",
    operation_id="redriveDeliveries",
    summary="Send all parked messages again",
    response_model=RedrivenDeliveries,
    responses=problems(404, 422),
)
async def redrive_deliveries(webhook_id: Id, request: Request, writer: WebhookWriter) -> Response:
    """The oldest first, up to 10,000 for one request; `remaining` says how many are left."""
    return json_response(asdict(await _log(request, writer, webhook_id).redrive_parked(actor=writer.subject)))


def _log(request: Request, principal: Principal, webhook_id: str) -> DeliveryLog:
    require_seal(request)
    database = request.app.state.database
    return DeliveryLog(database, account_id=principal.account_id, webhook_id=path_uuid(webhook_id))

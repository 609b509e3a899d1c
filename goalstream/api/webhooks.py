"""Routes of an account's webhooks: create, list, show, change, rotate the secret, delete.

An answer that shows a secret is given once and kept nowhere, so none of them takes an Idempotency-Key.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from goalstream.api.auth import WebhookReader, WebhookWriter
from goalstream.api.bodies import read_object
from goalstream.api.contract import headers, problems
from goalstream.api.etags import IfMatch, IfNoneMatch, etag, expected_version, not_modified, require_if_match
from goalstream.api.parts import Id, json_response, path_uuid
from goalstream.api.problems import ApiError
from goalstream.api.rotation import new_secret
from goalstream.api.schemas import body
from goalstream.api.sealing import RETRY_AFTER_SECONDS, require_seal
from goalstream.api.tokens import Principal
from goalstream.api.webhook_bodies import parse_new_webhook, parse_rotation, parse_webhook_changes
from goalstream.api.webhook_documents import WebhookDocument, WebhookList, WebhookWithSecret
from goalstream.domain.addresses import Network, networks
from goalstream.errors import OperatorError
from goalstream.storage.webhooks import Webhook, WebhookBook

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])


@router.post(
    "",
    status_code=201,
    operation_id="createWebhook",
    summary="Create a webhook",
    openapi_extra=body("NewWebhook"),
    response_model=WebhookWithSecret,
    responses={201: headers("Location", "ETag"), **problems(400, 413, 415, 422)},
)
async def create_webhook(request: Request, writer: WebhookWriter) -> Response:
    """Messages that come about from now on are sent there. The answer shows the secret that signs them, this once."""
    book = _book(request, writer)
    wanted = parse_new_webhook(await read_object(request), _private_networks(request))
    secret = new_secret()
    webhook = await book.create(
        url=wanted.url,
        description=wanted.description,
        topics=wanted.topics,
        secret=secret,
        actor=writer.subject,
    )
    response = _shown(webhook, 201, secret=secret)
    response.headers["Location"] = f"/api/v1/webhooks/{webhook.webhook_id}"
    return response


@router.get(
    "",
    operation_id="listWebhooks",
    summary="List webhooks",
    response_model=WebhookList,
    responses=problems(),
)
async def list_webhooks(request: Request, reader: WebhookReader) -> Response:
    """In the order of creation; an account has 20 at the most."""
    return json_response({"webhooks": [one.document() for one in await _book(request, reader).webhooks()]})


@router.get(
    "/{webhook_id}",
    operation_id="getWebhook",
    summary="Show a webhook",
    response_model=WebhookDocument,
    responses={200: headers("ETag"), 304: {"description": "Not modified", **headers("ETag")}, **problems(404, 422)},
)
async def get_webhook(
    webhook_id: Id, request: Request, reader: WebhookReader, if_none_match: IfNoneMatch = None
) -> Response:
    """How it fares is no part of its version."""
    webhook = await _book(request, reader).get(path_uuid(webhook_id))
    return not_modified(if_none_match, webhook.version) or _shown(webhook, 200)


@router.patch(
    "/{webhook_id}",
    operation_id="changeWebhook",
    summary="Change, pause or resume a webhook",
    openapi_extra=body("WebhookChanges"),
    response_model=WebhookDocument,
    responses={200: headers("ETag"), **problems(404, 412, 413, 415, 422, 428)},
)
async def change_webhook(webhook_id: Id, request: Request, writer: WebhookWriter, if_match: IfMatch = None) -> Response:
    """A new version; the same one when nothing changes.

    Whoever is sending at this moment may go on as it was for as long as a turn and a request take, 35 s.
    """
    book, webhook_id = _book(request, writer), path_uuid(webhook_id)
    if_match = require_if_match(if_match)
    changes = parse_webhook_changes(await read_object(request), _private_networks(request))
    current = await book.get(webhook_id)
    expected = expected_version(if_match, current.version)
    return _shown(await book.change(webhook_id, changes, expected_version=expected, actor=writer.subject), 200)


@router.delete(
    "/{webhook_id}",
    status_code=204,
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    response_class=Response,
    responses=problems(404, 412, 422),
)
async def delete_webhook(webhook_id: Id, request: Request, writer: WebhookWriter, if_match: IfMatch = None) -> Response:
    """Nothing is sent there any more. Its delivery log is shown no longer, and removed when it is 30 days old."""
    book, webhook_id = _book(request, writer), path_uuid(webhook_id)
    expected = expected_version(if_match, (await book.get(webhook_id)).version)
    await book.delete(webhook_id, expected_version=expected, actor=writer.subject)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/secret",
    operation_id="rotateWebhookSecret",
    summary="Rotate a webhook's secret",
    openapi_extra=body("SecretRotation"),
    response_model=WebhookWithSecret,
    responses={200: headers("ETag"), **problems(404, 413, 415, 422)},
)
async def rotate_secret(webhook_id: Id, request: Request, writer: WebhookWriter) -> Response:
    """A new secret, shown this once. Those of before sign beside it for a day, or as long as is asked for: five at the most."""
    book, webhook_id = _book(request, writer), path_uuid(webhook_id)
    overlap = parse_rotation(await read_object(request))
    secret = new_secret()
    try:
        webhook = await book.rotate(webhook_id, secret, overlap=overlap, actor=writer.subject)
    except OperatorError as error:
        message = f"{error}; with overlap_seconds 0 it gets a new secret all the same"
        raise ApiError(503, message, headers={"Retry-After": RETRY_AFTER_SECONDS}) from None
    return _shown(webhook, 200, secret=secret)


def _book(request: Request, principal: Principal) -> WebhookBook:
    seal = require_seal(request)
    return WebhookBook(request.app.state.database, account_id=principal.account_id, seal=seal)


def _private_networks(request: Request) -> tuple[Network, ...]:
    return networks(request.app.state.settings.webhook_private_networks)


def _shown(webhook: Webhook, status: int, **secret: str) -> Response:
    response = json_response(webhook.document() | secret, status)
    response.headers["ETag"] = etag(webhook.version)
    return response

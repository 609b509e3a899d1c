"""Route by which a workflow's goals are checked before it is activated."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from goalstream.api.auth import Reader
from goalstream.api.bodies import read_body
from goalstream.api.contract import headers, problems
from goalstream.api.documents import ActivationDocument
from goalstream.api.idempotency import REPLAYED, IdempotencyKey, answer_once
from goalstream.api.parts import Id, json_response, path_uuid
from goalstream.api.problems import ApiError
from goalstream.storage.activation import check_activation
from goalstream.storage.pool import Transactions

router = APIRouter(prefix="/api/v1/workflows/{workflow_id}", tags=["workflows"])


@router.post(
    "/activation-check",
    operation_id="checkActivation",
    summary="Check a workflow's goals before it is activated",
    response_model=ActivationDocument,
    responses={200: headers(REPLAYED), **problems(400, 404, 409, 413, 422)},
)
async def check_goals(
    workflow_id: Id, request: Request, reader: Reader, idempotency_key: IdempotencyKey = None
) -> Response:
    """Changes nothing. Everything that is wrong is told at once, each with its goal: `/goals/<goal id>/criteria/<key>`."""
    workflow_id = path_uuid(workflow_id)

    async def check(database: Transactions) -> Response:
        found = await check_activation(database, reader.account_id, workflow_id)
        if found.problems:
            raise ApiError(400, found.problems[0].message, problems=found.problems)
        return json_response({"valid": True, "goals": found.goals})

    return await answer_once(request, reader, idempotency_key, await read_body(request), check)

"""Route that tells who asks: what a page needs to know before it offers something."""

from __future__ import annotations

from fastapi import APIRouter, Response

from goalstream.api.auth import Anybody
from goalstream.api.contract import problems
from goalstream.api.documents import PrincipalDocument
from goalstream.api.parts import json_response

router = APIRouter(prefix="/api/v1")


@router.get(
    "/me",
    tags=["access"],
    operation_id="whoAmI",
    summary="Tell who asks",
    response_model=PrincipalDocument,
    responses={status: told for status, told in problems().items() if status != 403},
)
async def who_am_i(principal: Anybody) -> Response:
    """The account, the subject and the scopes of the token or API key; no scope is needed to ask."""
    return json_response(
        {
            "account_id": principal.account_id,
            "subject": principal.subject,
            "scopes": sorted(principal.scopes),
        }
    )

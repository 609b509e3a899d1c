"""Who may do what: the bearer token of a request, and the scope that an operation asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from goalstream.api.problems import ApiError
from goalstream.api.tokens import InvalidToken, Principal, verify_token

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A JWT with account_id, sub, exp and scope")


def _requires(scope: str) -> Callable[..., Awaitable[Principal]]:
    async def principal(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal:
        if credentials is None:
            raise ApiError(401, "A bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
        try:
            found = verify_token(request.app.state.jwt_secret, credentials.credentials)
        except InvalidToken as error:
            challenge = 'Bearer error="invalid_token"'
            raise ApiError(401, f"The token is not valid: {error}", headers={"WWW-Authenticate": challenge}) from None
        if scope not in found.scopes:
            raise ApiError(403, f"The token lacks the scope {scope}")
        return found

    return principal


Reader = Annotated[Principal, Depends(_requires("goals:read"))]
Writer = Annotated[Principal, Depends(_requires("goals:write"))]

"""Who may do what: the bearer token of a request, how often its account asks, and the scope that an operation needs."""

from __future__ import annotations

import math
from typing import Annotated

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from goalstream.api.problems import ApiError
from goalstream.api.tokens import InvalidToken, Principal
from goalstream.domain.access import Scope
from goalstream.observability.metrics import API_REFUSED

_bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT, or an API key",
    description="A JWT with account_id, sub, exp and scope, or an API key (`gs_…`), of the account that it is about. "
    "What stands beside an operation is the scope that it needs.",
)


async def _admitted(
    needed: SecurityScopes,
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Who asks, if they may. Raises ApiError: 401, 429 or 403, in this order."""
    if credentials is None:
        raise _refused(401, "A bearer token is needed", {"WWW-Authenticate": "Bearer"})
    try:
        principal: Principal = await request.app.state.gate.admit(credentials.credentials)
    except InvalidToken as error:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise _refused(401, f"The token is not valid: {error}", challenge) from None
    structlog.contextvars.bind_contextvars(account=principal.account_id)
    if wait := request.app.state.rate_limit.take(principal.account_id):
        raise _refused(429, "The account asks too often", {"Retry-After": str(math.ceil(wait))})
    if missing := [scope for scope in needed.scopes if scope not in principal.scopes]:
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed.scope_str}"'}
        raise _refused(403, f"The token lacks the scope {' '.join(missing)}", challenge)
    return principal


Anybody = Annotated[Principal, Security(_admitted)]
"""Whoever proves who they are, whatever they may do."""

Reader = Annotated[Principal, Security(_admitted, scopes=[Scope.GOALS_READ.value])]
Writer = Annotated[Principal, Security(_admitted, scopes=[Scope.GOALS_WRITE.value])]
WebhookReader = Annotated[Principal, Security(_admitted, scopes=[Scope.WEBHOOKS_READ.value])]
WebhookWriter = Annotated[Principal, Security(_admitted, scopes=[Scope.WEBHOOKS_WRITE.value])]
Operator = Annotated[Principal, Security(_admitted, scopes=[Scope.OPERATOR.value])]
"""Whoever may see what is of all accounts."""


def _refused(status: int, message: str, headers: dict[str, str]) -> ApiError:
    refusal = ApiError(status, message, headers=headers)
    API_REFUSED.labels(refusal.error).inc()
    return refusal

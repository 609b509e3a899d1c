"""`Idempotency-Key`: a request that is repeated is answered as the first time, and does nothing again.

What a request does and the answer to it are committed together: after a crash either both are there, or neither.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated

from fastapi import Header, Request, Response

from goalstream.api.problems import ApiError, problem_response, translate
from goalstream.api.tokens import Principal
from goalstream.errors import Problem, Unavailable
from goalstream.storage.idempotency import KeptAnswer, claim, find_answer, keep_answer
from goalstream.storage.pool import Joined, Transactions

MAX_LENGTH = 255

REPLAYED = "Idempotency-Replayed"
"""A header of answers that were given before."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of the client's, the same when it repeats a request: within 24 hours that gets the first answer",
        max_length=MAX_LENGTH,
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]

_is_key = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?").fullmatch
"""Printable ASCII."""

_POINTER = "/header/Idempotency-Key"


async def answer_once(
    request: Request,
    principal: Principal,
    key: str | None,
    body: bytes,
    answer: Callable[[Transactions], Awaitable[Response]],
) -> Response:
    """The answer to a request: the first one, where its account has sent the same with this key within a day.

    Raises what `answer` raises where nothing is kept; ApiError: 409 while the first request runs, and 422 where another
    one had the key.
    """
    database: Transactions = request.app.state.database
    if key is None:
        return await answer(database)
    if not _is_key(key):
        message = "Idempotency-Key must be printable ASCII"
        raise ApiError(422, message, problems=[Problem(_POINTER, message)])
    fingerprint = sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()
    async with database.transaction(principal.account_id) as connection:
        if not await claim(connection, principal.account_id, key):
            raise _conflict(409, "A request with this Idempotency-Key is still running", {"Retry-After": "1"})
        known = await find_answer(connection, principal.account_id, key)
        if known is None:
            response = await _answer(answer, Joined(connection))
            kept = KeptAnswer(
                fingerprint=fingerprint,
                status=response.status_code,
                headers={name: value for name, value in response.headers.items() if name != "content-length"},
                body=bytes(response.body),
            )
            await keep_answer(connection, principal.account_id, key, kept)
            return response
    if known.fingerprint != fingerprint:
        raise _conflict(422, "This Idempotency-Key came with another request before", {})
    return Response(known.body, known.status, {**known.headers, REPLAYED: "true"})


async def _answer(answer: Callable[[Transactions], Awaitable[Response]], database: Transactions) -> Response:
    """A refusal is an answer as well, unless it says that nothing could be decided."""
    try:
        return await answer(database)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - what is no refusal is raised again
        return problem_response(translate(error))


def _conflict(status: int, message: str, headers: dict[str, str]) -> ApiError:
    problems = [Problem(_POINTER, message)]
    return ApiError(status, message, error="idempotency_conflict", problems=problems, headers=headers)

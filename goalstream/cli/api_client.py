"""The API as commands ask it, and its refusals as one line that says what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx

from goalstream.cli.terminal import printable, settings_in_force, within_deadline
from goalstream.errors import ApiUnavailable, OperatorError, SettingsError

ANSWER_SECONDS = 30
PAGE = 200
"""The most entries that the API gives at once."""

_HINTS = {
    401: "GOALSTREAM_API_TOKEN must hold an API key (`goalstream api-keys create`) or a bearer token that is still good",
    403: "GOALSTREAM_API_TOKEN belongs to somebody who may not do this",
    412: "somebody changed it meanwhile: look at it, and say it again",
}

_Result = TypeVar("_Result")


class Api:
    """The API of one account."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to a request below /api/v1.

        Raises ApiUnavailable where it may be asked again: nothing has happened, or hardly ever something that PostgreSQL took
        while it went away. OperatorError for everything else.
        """
        try:
            answer = await self._client.request(method, path, json=body, params=query, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ApiUnavailable(f"the API at {self._client.base_url.host} is not reached: {error}") from None
        except httpx.HTTPError as error:
            raise OperatorError(f"the API gave no answer ({type(error).__name__}): look whether it was done") from None
        if answer.is_success:
            return answer
        message = _problem(answer)
        if answer.status_code in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS):
            raise ApiUnavailable(message)
        raise OperatorError(message)


async def pages(
    api: Api, path: str, *, wanted: int | None = None, filters: Mapping[str, str] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """A listing page after page, none larger than the `wanted` entries, each with its `next_cursor`. Raises as `ask` does."""
    query: dict[str, str | int] = {**(filters or {}), "limit": PAGE if wanted is None else min(wanted, PAGE)}
    while True:
        page: dict[str, Any] = (await api.ask("GET", path, query=query)).json()
        yield page
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def with_api(action: Callable[[Api], Awaitable[_Result]]) -> _Result:
    """Does something with the API of the settings. Raises SettingsError without a token; ApiUnavailable after 30 s."""
    settings = settings_in_force()
    if settings.api_token is None:
        raise SettingsError(
            "GOALSTREAM_API_TOKEN: is not set; it must hold an API key (`goalstream api-keys create`) or a bearer token"
        )
    headers = {"authorization": f"Bearer {settings.api_token.get_secret_value()}"}
    url = f"{settings.api_url.rstrip('/')}/api/v1"

    async def run() -> _Result:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_SECONDS) as client:
            return await action(Api(client))

    return within_deadline(run)


def _problem(answer: httpx.Response) -> str:
    """What an answer says is wrong, each with its place, and what to do where that is known."""
    try:
        document = answer.json()
        told = [f"{one['message']}{_place(one['pointer'])}" for one in document["errors"]]
    except (ValueError, TypeError, KeyError):
        told = [f"the API at {answer.url.host} answers {answer.status_code}, and not as goalstream does"]
    hint = _HINTS.get(answer.status_code)
    return printable("; ".join(dict.fromkeys(told)) + (f" ({hint})" if hint else ""))


def _place(pointer: str) -> str:
    return f" at {pointer}" if pointer else ""

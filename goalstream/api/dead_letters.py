"""Routes for operators: records that could not be processed, of all accounts, looked at, sent again, or marked as done with.

Nothing of it needs PostgreSQL but API keys, and what was redriven or dropped is marked: a request that is repeated does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from goalstream.api.auth import Operator
from goalstream.api.bodies import read_object, refuse, unknown_fields
from goalstream.api.contract import headers, problems
from goalstream.api.cursors import Cursor, Limit, decode_cursor, encode_cursor, number, page
from goalstream.api.letter_documents import DeadLetterInFull, DeadLetterPage, DroppedLetters, RedrivenLetters
from goalstream.api.parts import json_response, query_moment
from goalstream.api.problems import ApiError
from goalstream.api.schemas import LETTER_ID, MOST_LETTERS, body
from goalstream.domain.letters import LetterChoice, LetterKey, LetterPage, LettersDone
from goalstream.domain.texts import MAX_TEXT_LENGTH
from goalstream.domain.times import parse_time
from goalstream.errors import LetterNotFound, Problem

log = structlog.get_logger()

router = APIRouter(prefix="/api/v1/operator/dead-letters", tags=["operators"])

_is_letter_id = re.compile(LETTER_ID).fullmatch

LetterId = Annotated[str, Path(json_schema_extra={"pattern": LETTER_ID})]

_FIELDS = ("ids", "reason", "topic", "since", "until", "dry_run")


class DeadLetters(Protocol):
    """The dead letters, wherever they are. Everything raises BrokerUnavailable where they cannot be reached."""

    async def page(
        self, choice: LetterChoice, *, include_done: bool, limit: int, before: LetterKey | None
    ) -> LetterPage: ...

    async def show(self, letter_id: str) -> Mapping[str, Any]:
        """Raises LetterNotFound."""

    async def redrive(self, choice: LetterChoice, *, dry_run: bool) -> LettersDone:
        """Raises LetterNotFound."""

    async def drop(self, choice: LetterChoice, *, dry_run: bool) -> LettersDone:
        """Raises LetterNotFound."""


def _wanted(
    reason: Annotated[str | None, Query(max_length=MAX_TEXT_LENGTH)] = None,
    topic: Annotated[
        str | None,
        Query(max_length=MAX_TEXT_LENGTH, description="that the records came from, with its prefix or without"),
    ] = None,
    since: Annotated[str | None, Query(max_length=64, description="set aside at or after this time (RFC 3339)")] = None,
    until: Annotated[str | None, Query(max_length=64, description="set aside before this time (RFC 3339)")] = None,
) -> LetterChoice:
    """The filters of a query. Raises ApiError: 422."""
    return LetterChoice(
        reason=reason or None,
        topic=topic or None,
        since=None if since is None else query_moment("since", since),
        until=None if until is None else query_moment("until", until),
    )


@router.get(
    "",
    operation_id="listDeadLetters",
    summary="List dead letters",
    response_model=DeadLetterPage,
    responses={200: headers("Link"), **problems(422)},
)
async def list_letters(
    request: Request,
    operator: Operator,
    wanted: Annotated[LetterChoice, Depends(_wanted)],
    include_done: Annotated[bool, Query(description="also what was redriven or dropped")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first, of all accounts, among the newest 10,000 records of the dead-letter topic. What the records hold is shown for
    one alone.
    """
    before = None if cursor is None else LetterKey(*decode_cursor(cursor, "dead-letters", number, number, number))
    found = await _letters(request).page(wanted, include_done=include_done, limit=limit, before=before)
    document = {"dead_letters": found.letters, "by_reason": found.by_reason, "unread": found.unread}
    next_cursor = None if found.last is None else encode_cursor("dead-letters", *found.last)
    return page(request, document, next_cursor, limit=limit)


@router.get(
    "/{letter_id}",
    operation_id="getDeadLetter",
    summary="Show a dead letter",
    response_model=DeadLetterInFull,
    responses=problems(404, 422),
)
async def show_letter(letter_id: LetterId, request: Request, operator: Operator) -> Response:
    """With key, value and headers, which may hold personal data."""
    if not _is_letter_id(letter_id):
        raise LetterNotFound([letter_id])
    found = await _letters(request).show(letter_id)
    log.info("dead_letter_shown", actor=operator.subject, letter_id=letter_id)
    return json_response(found)


@router.post(
    "/redrive",
    operation_id="redriveDeadLetters",
    summary="Send records again",
    response_model=RedrivenLetters,
    responses=problems(404, 413, 415, 422),
    openapi_extra=body("LetterChoice"),
)
async def redrive(request: Request, operator: Operator) -> Response:
    """To the topics that they came from, with their original timestamps, each once: up to 1,000 of those that are open, the oldest
    first.
    """
    choice, dry_run = _choice(await read_object(request))
    done = await _letters(request).redrive(choice, dry_run=dry_run)
    _log("dead_letters_redriven", operator.subject, done, dry_run)
    refused = [{"id": letter_id, "message": why} for letter_id, why in done.refused.items()]
    return json_response(
        {
            "redriven": len(done.ids),
            "ids": done.ids,
            "refused": refused,
            "remaining": done.remaining,
            "dry_run": dry_run,
        }
    )


@router.post(
    "/drop",
    operation_id="dropDeadLetters",
    summary="Mark dead letters as done with",
    response_model=DroppedLetters,
    responses=problems(404, 413, 415, 422),
    openapi_extra=body("LetterChoice"),
)
async def drop(request: Request, operator: Operator) -> Response:
    """Up to 1,000 of those that are open, the oldest first. Nothing is deleted."""
    choice, dry_run = _choice(await read_object(request))
    done = await _letters(request).drop(choice, dry_run=dry_run)
    _log("dead_letters_dropped", operator.subject, done, dry_run)
    return json_response({"dropped": len(done.ids), "ids": done.ids, "remaining": done.remaining, "dry_run": dry_run})


def _letters(request: Request) -> DeadLetters:
    found: DeadLetters | None = request.app.state.dead_letters
    if found is None:
        raise ApiError(503, "This API does not know Kafka", headers={"Retry-After": "60"})
    return found


def _log(event: str, actor: str, done: LettersDone, dry_run: bool) -> None:
    if not dry_run:
        log.info(event, actor=actor, letters=len(done.ids), refused=len(done.refused))


def _choice(document: Mapping[str, Any]) -> tuple[LetterChoice, bool]:
    """The letters that a body means, and whether it is a dry run. Raises ApiError with everything that is wrong."""
    found = unknown_fields(document, _FIELDS)
    ids = _ids(document, found)
    reason, topic = _text(document, "reason", found), _text(document, "topic", found)
    since, until = _moment(document, "since", found), _moment(document, "until", found)
    dry_run = document.get("dry_run", False)
    if not isinstance(dry_run, bool):
        found.append(Problem("/dry_run", "must be true or false"))
    told = [name for name in _FIELDS[:-1] if name in document]
    if not told:
        found.append(Problem("", "Say which dead letters: ids, or reason, topic, since, until"))
    elif "ids" in told and len(told) > 1:
        found.append(Problem("/ids", "ids stand for themselves: without reason, topic, since and until"))
    refuse(found)
    return LetterChoice(ids=ids, reason=reason, topic=topic, since=since, until=until), dry_run


def _ids(document: Mapping[str, Any], found: list[Problem]) -> Sequence[str]:
    if "ids" not in document:
        return ()
    ids: Any = document["ids"]
    if not (isinstance(ids, list) and 0 < len(ids) <= MOST_LETTERS):
        found.append(Problem("/ids", f"must be a list of 1 to {MOST_LETTERS} ids"))
        return ()
    found += [
        Problem(f"/ids/{position}", "must be an id as the list shows it: partition:offset")
        for position, one in enumerate(ids)
        if not (isinstance(one, str) and _is_letter_id(one))
    ]
    return tuple(ids)


def _text(document: Mapping[str, Any], name: str, found: list[Problem]) -> str | None:
    if name not in document:
        return None
    text = document[name]
    if not (isinstance(text, str) and 0 < len(text) <= MAX_TEXT_LENGTH):
        found.append(Problem(f"/{name}", f"must be a text of 1 to {MAX_TEXT_LENGTH} characters"))
        return None
    return text


def _moment(document: Mapping[str, Any], name: str, found: list[Problem]) -> datetime | None:
    if name not in document:
        return None
    text = document[name]
    moment = parse_time(text) if isinstance(text, str) else None
    if moment is None:
        found.append(Problem(f"/{name}", "must be RFC 3339, such as 2026-03-01T00:00:00Z"))
    return moment

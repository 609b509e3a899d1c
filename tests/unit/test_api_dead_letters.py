"""What operators ask about dead letters over HTTP: who may, what is understood, and how it is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from goalstream.api.app import create_app
from goalstream.domain.letters import LetterChoice
from tests.unit.fake_letters import IN_FULL, LAST, LETTER, FakeLetters
from tests.unit.test_api_requests import AwayDatabase, bearer, pointers, problem, settings_of

LETTERS = "/api/v1/operator/dead-letters"
MOMENT = datetime(2026, 3, 10, 12, tzinfo=UTC)
OPERATIONS = (
    ("GET", LETTERS),
    ("GET", f"{LETTERS}/2:17"),
    ("POST", f"{LETTERS}/redrive"),
    ("POST", f"{LETTERS}/drop"),
)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """PostgreSQL is away: nothing here needs it."""
    return create_app(settings_of(max_body_bytes=65_536), AwayDatabase())


@pytest.fixture
def letters(app: FastAPI) -> FakeLetters:
    found = FakeLetters()
    app.state.dead_letters = found
    return found


@pytest.fixture
async def client(app: FastAPI, letters: FakeLetters) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=bearer("operator")) as found:
        yield found


def written(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "at": "2026-03-10T12:00:00Z"}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_without_the_scope_operator_nothing_is_asked(
    client: httpx.AsyncClient, letters: FakeLetters, method: str, path: str
) -> None:
    answer = await client.request(method, path, json={"ids": ["2:17"]}, headers=bearer("goals:read goals:write"))
    assert "operator" in problem(answer, 403, "forbidden")["message"]
    assert letters.asked == []


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_kafka_being_away_is_told_without_its_address(
    client: httpx.AsyncClient, letters: FakeLetters, method: str, path: str
) -> None:
    letters.is_away = True
    answer = await client.request(method, path, json={"ids": ["2:17"]})
    assert problem(answer, 503, "unavailable")["message"] == "Kafka is away; try again in a moment"
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_an_api_that_was_given_no_dead_letters_says_so(
    app: FastAPI, client: httpx.AsyncClient, method: str, path: str
) -> None:
    app.state.dead_letters = None
    answer = await client.request(method, path, json={"ids": ["2:17"]})
    assert "Kafka" in problem(answer, 503, "unavailable")["message"]


async def test_a_list_is_a_page_and_its_cursor_goes_on(client: httpx.AsyncClient, letters: FakeLetters) -> None:
    answer = await client.get(LETTERS, params={"limit": 1, "reason": "bad_time", "topic": ""})
    document = answer.json()
    cursor = document.pop("next_cursor")
    assert document == {"dead_letters": [written(LETTER)], "by_reason": {"bad_time": 7}, "unread": 3}
    assert answer.headers["link"].endswith('rel="next"')
    query = {"cursor": cursor, "since": "2026-03-10T12:00:00Z", "until": "2026-03-10T12:00:00Z", "include_done": "true"}
    await client.get(LETTERS, params=query)
    assert letters.asked == [
        ("page", LetterChoice(reason="bad_time"), False, 1, None),
        ("page", LetterChoice(since=MOMENT, until=MOMENT), True, 50, LAST),
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("since", "noon"), ("until", "2h"), ("cursor", "x"), ("limit", "201"), ("reason", "x" * 256)]
)
async def test_a_query_that_is_wrong_is_refused(client: httpx.AsyncClient, name: str, value: str) -> None:
    document = problem(await client.get(LETTERS, params={name: value}), 422, "validation_error")
    assert pointers(document) == [f"/query/{name}"]


async def test_one_letter_is_shown_in_full_and_the_log_says_who_saw_it(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        answer = await client.get(f"{LETTERS}/2%3A17")
    assert answer.json() == written(IN_FULL)
    (line,) = [line for line in logs if line["event"] == "dead_letter_shown"]
    assert (line["actor"], line["letter_id"]) == ("ada", "2:17")


@pytest.mark.parametrize("letter_id", ["2:18", "17", "redrive", "2:17:1", "2:17%0A", "²:1", "0:" + "9" * 19])
async def test_what_is_no_id_of_a_letter_names_nothing(client: httpx.AsyncClient, letter_id: str) -> None:
    problem(await client.get(f"{LETTERS}/{letter_id}"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "choice", "dry_run"),
    [
        ({"ids": ["2:17", "0:4"]}, LetterChoice(ids=("2:17", "0:4")), False),
        ({"reason": "bad_time", "dry_run": True}, LetterChoice(reason="bad_time"), True),
        (
            {"topic": "form.submitted", "since": "2026-03-10T12:00:00Z", "until": "2026-03-10T13:00:00+01:00"},
            LetterChoice(topic="form.submitted", since=MOMENT, until=MOMENT),
            False,
        ),
    ],
)
async def test_letters_are_redriven_and_dropped_by_ids_or_by_what_they_are(
    client: httpx.AsyncClient, letters: FakeLetters, body: dict[str, Any], choice: LetterChoice, dry_run: bool
) -> None:
    redriven = await client.post(f"{LETTERS}/redrive", json=body)
    assert redriven.json() == {
        "redriven": 1,
        "ids": ["2:17"],
        "refused": [{"id": "0:4", "message": "Kafka has deleted it meanwhile"}],
        "remaining": 5,
        "dry_run": dry_run,
    }
    dropped = await client.post(f"{LETTERS}/drop", json=body)
    assert dropped.json() == {"dropped": 1, "ids": ["2:17"], "remaining": 0, "dry_run": dry_run}
    assert letters.asked == [("redrive", choice, dry_run), ("drop", choice, dry_run)]


@pytest.mark.parametrize("verb", ["redrive", "drop"])
async def test_the_log_says_who_did_what_with_how_many_unless_nothing_was_done(
    client: httpx.AsyncClient, verb: str
) -> None:
    event = {"redrive": "dead_letters_redriven", "drop": "dead_letters_dropped"}[verb]
    with capture_logs() as logs:
        await client.post(f"{LETTERS}/{verb}", json={"reason": "bad_time", "dry_run": True})
        await client.post(f"{LETTERS}/{verb}", json={"reason": "bad_time"})
    (line,) = [line for line in logs if line["event"] == event]
    assert (line["actor"], line["letters"]) == ("ada", 1)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, [""]),
        ({"dry_run": True}, [""]),
        ({"ids": []}, ["/ids"]),
        ({"ids": "2:17"}, ["/ids"]),
        ({"ids": None}, ["/ids"]),
        ({"ids": ["0:1"] * 1_001}, ["/ids"]),
        ({"ids": ["2:17", 2, "2-17", "2:17\n"]}, ["/ids/1", "/ids/2", "/ids/3"]),
        ({"ids": ["2:17"], "reason": "bad_time"}, ["/ids"]),
        ({"reason": "", "topic": 1, "since": "noon", "until": 0}, ["/reason", "/topic", "/since", "/until"]),
        ({"reason": None}, ["/reason"]),
        ({"reason": "bad_time", "dry_run": 1}, ["/dry_run"]),
        ({"reason": "bad_time", "all/of": True}, ["/all~1of"]),
    ],
)
@pytest.mark.parametrize("verb", ["redrive", "drop"])
async def test_a_body_that_is_wrong_is_refused_with_all_that_is_wrong(
    client: httpx.AsyncClient, letters: FakeLetters, verb: str, body: dict[str, Any], where: list[str]
) -> None:
    document = problem(await client.post(f"{LETTERS}/{verb}", json=body), 422, "validation_error")
    assert pointers(document) == where
    assert letters.asked == []

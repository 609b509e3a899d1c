"""Two accounts that share all their ids, over every endpoint: each sees and changes its own, and learns nothing of the other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import product
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.domain.hooks import hook_source
from goalstream.intake import Intake
from goalstream.storage.pool import Database
from tests.conftest import ENCRYPTION_KEYS, JWT_SECRET
from tests.faults.forged_tokens import claims_of, signed
from tests.faults.twin_accounts import Twin, everything, hook_secret, twins
from tests.integration.builders import new_id
from tests.senders import now, sign_stripe
from tests.unit.fake_letters import LETTER, FakeLetters
from tests.unit.streams.fakes import FakeProducer

Request = tuple[str, str, dict[str, Any]]
Asks = Callable[[Twin, str, str], Request]
"""A twin, and the workflow and goal that are asked about."""

WEBHOOKS = "/api/v1/webhooks"
NEW = {"goal_type": "form_submitted", "criteria": {"form_id": "form-9"}}


def goals_of(workflow: str) -> str:
    return f"/api/v1/workflows/{workflow}/goals"


HOOKS = "/api/v1/hooks"

READS: Mapping[str, Asks] = {
    "whoAmI": lambda *_: ("GET", "/api/v1/me", {}),
    "listGoals": lambda _, workflow, __: ("GET", goals_of(workflow), {}),
    "getGoal": lambda _, workflow, goal: ("GET", f"{goals_of(workflow)}/{goal}", {}),
    "listGoalVersions": lambda _, workflow, goal: ("GET", f"{goals_of(workflow)}/{goal}/versions", {}),
    "listAudit": lambda _, workflow, __: ("GET", f"{goals_of(workflow)}/audit", {}),
    "listWorkflows": lambda _, __, ___: ("GET", "/api/v1/workflows", {}),
    "listAchievements": lambda _, workflow, __: ("GET", f"/api/v1/workflows/{workflow}/achievements", {}),
    "listContactAchievements": lambda mine, workflow, __: (
        "GET",
        f"/api/v1/contacts/{mine.contact_id if workflow == mine.shared_workflow else workflow}/achievements",
        {},
    ),
    "explainGoal": lambda mine, _, goal: ("GET", f"/api/v1/contacts/{mine.contact_id}/goals/{goal}/explanation", {}),
    "showTimeline": lambda mine, workflow, __: (
        "GET",
        f"/api/v1/contacts/{mine.contact_id if workflow == mine.shared_workflow else workflow}/timeline",
        {"params": {"workflow_id": workflow}},
    ),
    "readFeed": lambda _, workflow, __: ("GET", f"/api/v1/feed?workflow_id={workflow}", {}),
    "getStatistics": lambda _, workflow, __: ("GET", f"{goals_of(workflow)}/stats", {}),
    "listHooks": lambda *_: ("GET", HOOKS, {}),
    "getHook": lambda _, workflow, __: ("GET", f"{HOOKS}/{workflow}", {}),
    "listHookCalls": lambda _, workflow, __: ("GET", f"{HOOKS}/{workflow}/calls", {}),
    "tryHook": lambda _, workflow, __: ("POST", f"{HOOKS}/{workflow}/dry-run", {"json": {"body": {}}}),
    "tryMapping": lambda mine, _, __: (
        "POST",
        f"{HOOKS}/dry-run",
        {
            "json": {
                "mapping": {"events": [{"event_type": "form.submitted", "data": {"form_id": "@"}}]},
                "body": mine.mark,
            }
        },
    ),
    "listHookPresets": lambda *_: ("GET", "/api/v1/hook-presets", {}),
    "checkActivation": lambda _, workflow, __: ("POST", f"/api/v1/workflows/{workflow}/activation-check", {}),
    "listWebhooks": lambda _, __, ___: ("GET", WEBHOOKS, {}),
    "getWebhook": lambda _, workflow, __: ("GET", f"{WEBHOOKS}/{workflow}", {}),
    "listDeliveries": lambda _, workflow, __: ("GET", f"{WEBHOOKS}/{workflow}/deliveries", {}),
    "getDelivery": lambda _, workflow, goal: ("GET", f"{WEBHOOKS}/{workflow}/deliveries/{goal}", {}),
}
WRITES: Mapping[str, Asks] = {
    "createGoal": lambda mine, workflow, _: (
        "POST",
        goals_of(workflow),
        {"json": NEW | {"criteria": {"form_id": mine.mark}}},
    ),
    "changeGoal": lambda mine, workflow, goal: (
        "PATCH",
        f"{goals_of(workflow)}/{goal}",
        {"json": {"criteria": {"tag_name": f"{mine.mark} changed"}}, "headers": {"if-match": "*"}},
    ),
    "sendEvents": lambda mine, workflow, _: (
        "POST",
        "/api/v1/events",
        {
            "json": {
                "event_type": "workflow.status.changed",
                "event_id": mine.mark,
                "data": {"workflow_id": workflow, "status": "active"},
            }
        },
    ),
    "createHook": lambda mine, _, __: (
        "POST",
        HOOKS,
        {"json": {"name": mine.mark, "preset": "stripe", "secret": "of stripe"}},
    ),
    "changeHook": lambda mine, workflow, _: (
        "PATCH",
        f"{HOOKS}/{workflow}",
        {"json": {"name": f"{mine.mark} changed"}, "headers": {"if-match": "*"}},
    ),
    "rotateHookSecret": lambda _, workflow, __: (
        "POST",
        f"{HOOKS}/{workflow}/secret",
        {"json": {"secret": "of stripe"}},
    ),
    "deleteHook": lambda _, workflow, __: ("DELETE", f"{HOOKS}/{workflow}", {}),
    "deleteGoal": lambda _, workflow, goal: ("DELETE", f"{goals_of(workflow)}/{goal}", {}),
    "createWebhook": lambda mine, _, __: (
        "POST",
        WEBHOOKS,
        {"json": {"url": "https://hooks.example.com/", "description": mine.mark}},
    ),
    "changeWebhook": lambda _, workflow, __: (
        "PATCH",
        f"{WEBHOOKS}/{workflow}",
        {"json": {"paused": True}, "headers": {"if-match": "*"}},
    ),
    "rotateWebhookSecret": lambda _, workflow, __: ("POST", f"{WEBHOOKS}/{workflow}/secret", {"json": {}}),
    "testWebhook": lambda _, workflow, __: ("POST", f"{WEBHOOKS}/{workflow}/test", {}),
    "redriveDelivery": lambda _, workflow, goal: ("POST", f"{WEBHOOKS}/{workflow}/deliveries/{goal}/redrive", {}),
    "redriveDeliveries": lambda _, workflow, __: ("POST", f"{WEBHOOKS}/{workflow}/redrive", {}),
    "deleteWebhook": lambda _, workflow, __: ("DELETE", f"{WEBHOOKS}/{workflow}", {}),
}
ALL = {**READS, **WRITES}

LETTERS = "/api/v1/operator/dead-letters"
OF_OPERATORS: Mapping[str, Asks] = {
    "listDeadLetters": lambda _, __, ___: ("GET", LETTERS, {}),
    "getDeadLetter": lambda _, __, ___: ("GET", f"{LETTERS}/2:17", {}),
    "redriveDeadLetters": lambda _, __, ___: ("POST", f"{LETTERS}/redrive", {"json": {"reason": "bad_time"}}),
    "dropDeadLetters": lambda _, __, ___: ("POST", f"{LETTERS}/drop", {"json": {"reason": "bad_time"}}),
}
"""What is of all accounts."""

SIGNED = {"callHook"}
"""What no token opens."""

NAMES_NOTHING = {"createGoal", "createHook", "createWebhook"}
"""What is done whatever else there is."""

SHOWS_NOTHING = {
    "deleteGoal",
    "checkActivation",
    "deleteHook",
    "listHookPresets",
    "testWebhook",
    "redriveDeliveries",
    "deleteWebhook",
}
"""Whose answers have room for nothing that is an account's own."""


@pytest.fixture
def app(api_database: Database) -> FastAPI:
    settings, intake = (
        Settings.model_validate({"jwt_secret": JWT_SECRET, "encryption_keys": ENCRYPTION_KEYS}),
        Intake(FakeProducer(), topic_prefix=""),
    )
    found = create_app(settings, api_database, intake=intake, letters=FakeLetters())
    found.state.feeds.close()  # each ends after its first look
    return found


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as found:
        yield found
    await app.state.gate.close()


@pytest.fixture(params=["token", "API key"])
def credentials(request: pytest.FixtureRequest) -> Callable[[Twin], str]:
    """What a twin shows for itself."""

    def of(twin: Twin) -> str:
        if request.param == "API key":
            return f"Bearer {twin.key.text}"
        return signed(claims_of(twin.account_id, int(time.time())), JWT_SECRET)

    return of


async def ask(
    client: httpx.AsyncClient, authorization: str, request: Request, **headers: str
) -> tuple[int, str, httpx.Response]:
    """Status and whole answer, headers included."""
    method, path, options = request
    headers = {"authorization": authorization} | options.get("headers", {}) | headers
    answer = await client.request(method, path, **(options | {"headers": headers}))
    return answer.status_code, f"{answer.headers} {answer.text}", answer


def shows(text: str, *twins: Twin) -> bool:
    return any(
        word in text for twin in twins for word in (twin.mark, twin.account_id, twin.own_workflow, twin.own_goal)
    )


def named(operations: Sequence[str]) -> str:
    """What only reads shares a database; whatever changes something has one of its own."""
    return operations[0] if len(operations) == 1 else "reads"


def test_no_endpoint_is_left_out(app: FastAPI) -> None:
    operations = {one["operationId"] for methods in app.openapi()["paths"].values() for one in methods.values()}
    assert operations == {*ALL, *OF_OPERATORS, *SIGNED}


@pytest.mark.parametrize("operations", [tuple(READS), *((name,) for name in WRITES)], ids=named)
async def test_of_ids_that_both_have_each_sees_and_changes_its_own(
    client: httpx.AsyncClient, database: Database, credentials: Callable[[Twin], str], operations: Sequence[str]
) -> None:
    pair = await twins(database)
    for operation, (mine, other) in product(operations, (pair, pair[::-1])):
        before = others_rows(await everything(database), other)
        request = ALL[operation](mine, mine.shared_workflow, mine.shared_goal)
        status, text, answer = await ask(client, credentials(mine), request, **{"x-account-id": other.account_id})
        assert status in (200, 201, 202, 204), f"{operation}: {text}"
        assert not shows(text, other), operation
        if operation == "getStatistics":
            assert answer.json()["total_enrolled"] == mine.enrolled
        elif operation == "whoAmI":
            assert answer.json()["account_id"] == mine.account_id
        elif operation not in SHOWS_NOTHING:
            assert mine.mark in text, operation
        assert others_rows(await everything(database), other) == before, operation


@pytest.mark.parametrize(
    "operations", [tuple(READS), *((name,) for name in WRITES if name not in NAMES_NOTHING)], ids=named
)
async def test_ids_that_only_the_other_has_are_like_ids_that_nobody_has(
    client: httpx.AsyncClient, database: Database, credentials: Callable[[Twin], str], operations: Sequence[str]
) -> None:
    pair = await twins(database)
    for operation, (mine, other) in product(operations, (pair, pair[::-1])):
        before = await everything(database)
        nobodys = ALL[operation](mine, new_id(), new_id())
        others = ALL[operation](mine, other.own_workflow, other.own_goal)
        wanted, unknown, _ = await ask(client, credentials(mine), nobodys)
        status, text, _ = await ask(client, credentials(mine), others)
        assert status == wanted, operation
        assert not shows(text.replace(other.own_workflow, "").replace(other.own_goal, ""), other), operation
        assert len(text) == len(unknown), operation
        assert await everything(database) == before, operation


async def test_a_goal_in_the_others_workflow_is_ones_own(
    client: httpx.AsyncClient, database: Database, credentials: Callable[[Twin], str]
) -> None:
    mine, other = await twins(database)
    created, _, _ = await ask(client, credentials(mine), WRITES["createGoal"](mine, other.own_workflow, ""))
    assert created == 201
    _, text, listed = await ask(client, credentials(other), READS["listGoals"](other, other.own_workflow, ""))
    assert listed.json()["total"] == 1
    assert not shows(text, mine)


async def test_a_secret_of_one_is_none_of_the_others(client: httpx.AsyncClient, database: Database) -> None:
    pair = await twins(database)
    for mine, other in (pair, pair[::-1]):
        before = await everything(database)
        for account, hook in (
            (other.account_id, other.shared_workflow),
            (other.account_id, other.own_workflow),
            (mine.account_id, other.own_workflow),
            (other.account_id, mine.own_workflow),
        ):
            headers = sign_stripe(b"{}", secret=hook_secret(mine.mark), at=now())
            answer = await client.post(f"/hooks/{hook_source(account, hook)}", content=b"{}", headers=headers)
            assert answer.status_code == 401
            assert not shows(answer.text, mine, other)
        assert await everything(database) == before
        answer = await client.post(
            f"/hooks/{hook_source(mine.account_id, mine.shared_workflow)}",
            content=b'{"contact_id": "7"}',
            headers=sign_stripe(b'{"contact_id": "7"}', secret=hook_secret(mine.mark), at=now()),
        )
        assert answer.status_code == 422
        assert others_rows(await everything(database), other) == others_rows(before, other)


@pytest.mark.parametrize("operation", OF_OPERATORS)
async def test_what_is_of_all_accounts_is_for_operators_alone(
    app: FastAPI, client: httpx.AsyncClient, database: Database, credentials: Callable[[Twin], str], operation: str
) -> None:
    mine, _ = await twins(database)
    request = OF_OPERATORS[operation](mine, "", "")
    status, text, _ = await ask(client, credentials(mine), request)
    assert (status, LETTER["topic"] in text, app.state.dead_letters.asked) == (403, False, [])
    token = signed(claims_of(mine.account_id, int(time.time())) | {"scope": "operator"}, JWT_SECRET)
    status, _, _ = await ask(client, token, request)
    assert (status, len(app.state.dead_letters.asked)) == (200, 1)


async def test_a_key_that_is_revoked_or_expired_opens_nothing(client: httpx.AsyncClient, database: Database) -> None:
    mine, other = await twins(database)
    before = await everything(database)
    keys = (mine.revoked_key, mine.expired_key, other.revoked_key, other.expired_key)
    for (operation, asks), key in product({**ALL, **OF_OPERATORS}.items(), keys):
        request = asks(mine, mine.shared_workflow, mine.shared_goal)
        status, text, _ = await ask(client, f"Bearer {key.text}", request)
        assert status == 401, operation
        assert not shows(text, mine, other), operation
    assert await everything(database) == before


def others_rows(rows: Mapping[str, list[Mapping[str, Any]]], twin: Twin) -> dict[str, list[Mapping[str, Any]]]:
    """What of these rows is one account's."""
    return {name: [row for row in found if str(row["account_id"]) == twin.account_id] for name, found in rows.items()}

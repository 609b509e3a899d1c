"""The API against its own OpenAPI document: generated requests never fail, and answers are what is documented."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import timedelta
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from goalstream.api.app import create_app
from goalstream.api.tokens import issue_token
from goalstream.config import Settings
from goalstream.domain.goals import CRITERIA_OF, GoalType, TagCriteria
from goalstream.domain.hooks import hook_source
from goalstream.domain.signing import Scheme, make_secret
from goalstream.domain.webhooks import WEBHOOK_TOPICS
from goalstream.intake import Intake
from goalstream.storage.delivery_log import DeliveryLog
from goalstream.storage.goals import GoalBook
from goalstream.storage.hooks import Hook, HookBook
from goalstream.storage.pool import Connection, Database
from goalstream.storage.sealing import Seal
from goalstream.storage.webhooks import WebhookBook
from tests.conftest import ENCRYPTION_KEYS, JWT_SECRET
from tests.senders import SECRETS, sign_typeform, written
from tests.unit.fake_letters import LETTER, FakeLetters
from tests.unit.streams.fakes import FakeProducer

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
OPERATIONS = (
    "createGoal", "listGoals", "getGoal", "changeGoal", "deleteGoal", "listGoalVersions", "listAudit", "listWorkflows",
    "listAchievements", "listContactAchievements", "explainGoal", "showTimeline", "getStatistics", "checkActivation",
    "readFeed", "sendEvents", "listDeadLetters", "getDeadLetter", "redriveDeadLetters", "dropDeadLetters", "whoAmI",
    "createWebhook", "listWebhooks", "getWebhook", "changeWebhook", "deleteWebhook", "rotateWebhookSecret", "testWebhook",
    "listDeliveries", "getDelivery", "redriveDelivery", "redriveDeliveries",
    "createHook", "listHooks", "getHook", "changeHook", "deleteHook", "rotateHookSecret", "listHookCalls", "tryMapping", "tryHook",
    "listHookPresets", "callHook",
)  # fmt: skip
ONLY_A_TOKEN = {"whoAmI", "listWebhooks", "listHooks", "listHookPresets"}
"""They take nothing else that could be wrong."""

WORKFLOW = "bbbbbbbb-0000-4000-8000-000000000001"
URL = "https://hooks.example.com/goalstream"
EXAMPLES = 15
"""For each operation; enough to have found what is listed in the tests beside this file."""

BREAKING_EXAMPLES = 50
NOT_ONLY_THE_TOKEN = set(range(200, 600)) - {401}
"""What is answered where more than the token is judged: two thirds of what is broken is no more than that."""

ROUNDS = 10
"""What keeps to the document may contradict itself or what is stored: now and then all of a round does."""

CHECKS: dict[str, dict[str, list[int | str]]] = {
    # Some of what is accepted by the schema contradicts itself or what is stored: 4xx, with a problem that says so.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", 400, 404, 409, 412, 422, 428]},
    "missing_required_header": {"expected-statuses": [401, 428]},
}


def a_token() -> str:
    return issue_token(
        JWT_SECRET,
        account_id=ACCOUNT,
        subject="ada",
        scope="goals:read goals:write webhooks:read webhooks:write operator",
        expires_in_seconds=600,
        now=int(time.time()),
    )


class BriefDatabase(Database):
    """A connection for each transaction: the generated requests come from an event loop of their own."""

    def __init__(self, url: str) -> None:
        super().__init__(url, size=1)
        self._address = url

    @asynccontextmanager
    async def transaction(self, account_id: str | None = None) -> AsyncIterator[Connection]:
        database = Database(self._address, size=1)
        try:
            async with database.transaction(account_id) as connection:
                yield connection
        finally:
            await database.close()

    @asynccontextmanager
    async def snapshot(self, account_id: str) -> AsyncIterator[Connection]:
        database = Database(self._address, size=1)
        try:
            async with database.snapshot(account_id) as connection:
                yield connection
        finally:
            await database.close()


@pytest.fixture
def app(database_url: str) -> FastAPI:
    found = create_app(
        Settings.model_validate(
            {"jwt_secret": JWT_SECRET, "encryption_keys": ENCRYPTION_KEYS, "max_goals_per_workflow": 1_000}
        ),
        BriefDatabase(database_url),
        intake=Intake(FakeProducer(), topic_prefix=""),
        letters=FakeLetters(),
    )
    found.state.feeds.close()  # each ends after its first look
    return found


@pytest.fixture
def api_schema(app: FastAPI) -> Any:
    auth = {"openapi": {"HTTPBearer": {"bearer": a_token()}}}
    config = schemathesis.config.SchemathesisConfig.from_dict({"checks": CHECKS, "auth": auth})
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


@pytest.fixture
async def goal_id(api_database: Database) -> str:
    """A goal that is there, of the workflow below."""
    book = GoalBook(api_database, account_id=ACCOUNT, activation_delay=timedelta(), max_goals_per_workflow=1)
    goal = await book.create(
        WORKFLOW,
        goal_type=GoalType.TAG_ADDED,
        criteria=TagCriteria(tag_name="Purchased"),
        window=None,
        measure_after_exit=timedelta(),
        actor="ada",
    )
    return goal.version.goal_id


def run(
    operation: Any,
    mode: GenerationMode,
    wanted: Container[int],
    prepare: Callable[[Any], None] = lambda case: None,
    *,
    unchecked: Sequence[str] = (),
) -> None:
    """Sends generated requests, and checks the answers by all checks but a few; goes on until one has a status that is wanted."""
    excluded = schemathesis.checks.CHECKS.get_by_names(unchecked)
    statuses = set()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES if mode is GenerationMode.POSITIVE else BREAKING_EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def keeps_its_contract(case: Any) -> None:
        prepare(case)
        statuses.add(case.call_and_validate(excluded_checks=excluded).status_code)

    for _ in range(ROUNDS):
        keeps_its_contract()
        if any(status in wanted for status in statuses):
            return
    pytest.fail(f"nothing but {statuses} was answered")


@pytest.mark.parametrize("operation_id", [one for one in OPERATIONS if one not in ONLY_A_TOKEN])
def test_whatever_breaks_the_document_is_refused_as_the_document_says(api_schema: Any, operation_id: str) -> None:
    run(api_schema.find_operation_by_id(operation_id), GenerationMode.NEGATIVE, NOT_ONLY_THE_TOKEN)


@pytest.mark.parametrize(
    ("operation_id", "success"),
    [
        ("createGoal", 201),
        ("listGoals", 200),
        ("listAudit", 200),
        ("listWorkflows", 200),
        ("listAchievements", 200),
        ("listContactAchievements", 200),
        ("showTimeline", 200),
        ("getStatistics", 200),
        ("readFeed", 200),
        ("whoAmI", 200),
        ("listWebhooks", 200),
        ("createHook", 201),
        ("listHooks", 200),
        ("listHookPresets", 200),
        ("tryMapping", 200),
        ("checkActivation", 200),
        ("listDeadLetters", 200),
        ("redriveDeadLetters", 200),
        ("dropDeadLetters", 200),
        ("getDeadLetter", 404),
        ("getGoal", 404),
        ("listGoalVersions", 404),
        ("explainGoal", 404),
    ],
)
def test_whatever_keeps_to_the_document_is_answered_as_the_document_says(
    api_schema: Any, operation_id: str, success: int
) -> None:
    run(api_schema.find_operation_by_id(operation_id), GenerationMode.POSITIVE, {success})


@pytest.mark.parametrize(
    ("operation_id", "success"),
    [("getGoal", 200), ("listGoalVersions", 200), ("explainGoal", 200), ("changeGoal", 200), ("deleteGoal", 204)],
)
def test_a_goal_that_is_there_is_answered_as_the_document_says(
    api_schema: Any, goal_id: str, operation_id: str, success: int
) -> None:
    def aim(case: Any) -> None:
        case.path_parameters["goal_id"] = goal_id
        if "workflow_id" in case.path_parameters:
            case.path_parameters["workflow_id"] = WORKFLOW
        if operation_id in ("changeGoal", "deleteGoal"):
            case.headers["If-Match"] = "*"

    run(api_schema.find_operation_by_id(operation_id), GenerationMode.POSITIVE, {success}, aim)


@pytest.fixture
async def delivery(api_database: Database) -> dict[str, str]:
    """A delivery that is there, of a webhook that is there: what the paths call them."""
    book = WebhookBook(api_database, account_id=ACCOUNT, seal=Seal(ENCRYPTION_KEYS))
    secret = make_secret(bytes(32))
    webhook = await book.create(url=URL, description="", topics=WEBHOOK_TOPICS, secret=secret, actor="ada")
    log = DeliveryLog(api_database, account_id=ACCOUNT, webhook_id=webhook.webhook_id)
    sent = await log.send_test("ada")
    return {"webhook_id": webhook.webhook_id, "message_id": sent["message_id"]}


@pytest.mark.parametrize(
    ("operation_id", "success"),
    [
        ("createWebhook", 201),
        ("getWebhook", 200),
        ("changeWebhook", 200),
        ("rotateWebhookSecret", 200),
        ("testWebhook", 202),
        ("listDeliveries", 200),
        ("getDelivery", 200),
        ("redriveDelivery", 200),
        ("redriveDeliveries", 200),
        ("deleteWebhook", 204),
    ],
)
def test_a_webhook_that_is_there_is_answered_as_the_document_says(
    api_schema: Any, delivery: dict[str, str], operation_id: str, success: int
) -> None:
    def aim(case: Any) -> None:
        case.path_parameters.update({name: delivery[name] for name in case.path_parameters or ()})
        if operation_id in ("changeWebhook", "deleteWebhook"):
            case.headers["If-Match"] = "*"
        if isinstance(case.body, dict) and "url" in case.body:
            case.body["url"] = URL

    run(api_schema.find_operation_by_id(operation_id), GenerationMode.POSITIVE, {success}, aim)


def test_an_event_that_keeps_to_its_contract_is_answered_as_the_document_says(api_schema: Any) -> None:
    def aim(case: Any) -> None:
        data = {"contact_id": "cccccccc-0000-4000-8000-000000000001", "tag_id": "t"}
        case.body = [
            {"event_type": "contact.tag.added", "data": data},
            {"event_type": "payment.completed", "data": data | {"amount": "x"}},
        ]

    run(api_schema.find_operation_by_id("sendEvents"), GenerationMode.POSITIVE, {202}, aim)


@pytest.fixture
async def hook(api_database: Database) -> Hook:
    """A hook that is there, with a mapping that takes everything."""
    book = HookBook(api_database, account_id=ACCOUNT, seal=Seal(ENCRYPTION_KEYS))
    mapping = (
        '{"events": [{"event_type": "form.submitted", "data": {"form_id": "to_string(@)", "contact_id": "contact"}}]}'
    )
    return await book.create(
        WORKFLOW, name="Shop", scheme=Scheme.TYPEFORM, mapping=mapping, secret=SECRETS["typeform"], actor="ada"
    )


@pytest.mark.parametrize(
    ("operation_id", "success"),
    [
        ("getHook", 200),
        ("listHookCalls", 200),
        ("tryHook", 200),
        ("changeHook", 200),
        ("rotateHookSecret", 200),
        ("deleteHook", 204),
    ],
)
def test_a_hook_that_is_there_is_answered_as_the_document_says(
    api_schema: Any, hook: Hook, operation_id: str, success: int
) -> None:
    def aim(case: Any) -> None:
        case.path_parameters["hook_id"] = hook.hook_id
        if operation_id in ("changeHook", "deleteHook"):
            case.headers["If-Match"] = "*"

    run(api_schema.find_operation_by_id(operation_id), GenerationMode.POSITIVE, {success}, aim)


def test_a_call_that_is_signed_is_answered_as_the_document_says(api_schema: Any, hook: Hook) -> None:
    def aim(case: Any) -> None:
        case.path_parameters["source"] = hook_source(ACCOUNT, hook.hook_id)
        case.body = written({"contact": ACCOUNT, "sent": str(case.body)[:50]})
        case.headers.update(sign_typeform(case.body))

    # The bytes that are signed are no value that its schema is held against.
    operation, unchecked = api_schema.find_operation_by_id("callHook"), ["negative_data_rejection"]
    run(operation, GenerationMode.POSITIVE, {202}, aim, unchecked=unchecked)


def test_a_dead_letter_that_is_there_is_answered_as_the_document_says(api_schema: Any) -> None:
    def aim(case: Any) -> None:
        case.path_parameters.update(letter_id=LETTER["id"])

    run(api_schema.find_operation_by_id("getDeadLetter"), GenerationMode.POSITIVE, {200}, aim)


KEYS = sorted({field.name for kind in CRITERIA_OF.values() for field in fields(kind)})
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["150.00", "eur", "\0", "\ud800", "a" * 256, " ", "İ", "ß"]
)
NUMBERS = st.integers() | st.floats() | st.decimals(allow_nan=False).map(float)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(TEXTS, SCALARS, max_size=2)
CRITERIA = st.dictionaries(st.sampled_from(KEYS) | TEXTS, VALUES, max_size=4) | VALUES


def test_no_criteria_whatsoever_are_a_failure(app: FastAPI) -> None:
    @given(goal_type=st.sampled_from(GoalType), criteria=CRITERIA)
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    def is_answered(goal_type: GoalType, criteria: object) -> None:
        content = json.dumps({"goal_type": goal_type, "criteria": criteria}).encode()
        asyncio.run(answered(app, content))

    is_answered()


async def answered(app: FastAPI, content: bytes) -> None:
    headers = {"authorization": f"Bearer {a_token()}", "content-type": "application/json"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        response = await client.post(f"/api/v1/workflows/{WORKFLOW}/goals", content=content)
        document = response.json()
        if response.status_code == 201:
            assert (await client.get(response.headers["location"])).json() == document
        else:
            assert (response.status_code, document["error"]) in REFUSALS


REFUSALS = {(400, "criteria_empty"), (409, "duplicate_goal"), (422, "validation_error")}


def test_no_operation_is_left_out(app: FastAPI) -> None:
    operations = {
        operation["operationId"] for methods in app.openapi()["paths"].values() for operation in methods.values()
    }
    assert operations == set(OPERATIONS)

"""The OpenAPI document: complete, valid, and true to what the API reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema_rs
import pytest

from goalstream.api import webhook_bodies
from goalstream.api.app import create_app
from goalstream.api.bodies import CREATE_FIELDS, PATCH_FIELDS, parse_changes, parse_new_goal
from goalstream.api.hook_bodies import (
    CHANGE_FIELDS,
    NEW_FIELDS,
    ROTATION_FIELDS,
    parse_hook_changes,
    parse_new_hook,
    parse_rotation,
)
from goalstream.api.schemas import SCHEMAS
from goalstream.config import Settings
from goalstream.domain.durations import parse_duration
from goalstream.domain.goals import GoalType
from goalstream.domain.signing import Scheme
from goalstream.storage.pool import Database
from tests.unit.domain.test_webhooks import GOOD

EVERY = {"401", "403", "404", "422", "429", "503"}
STATUSES = {
    "whoAmI": {"200", "401", "429", "503"},
    "createGoal": EVERY | {"201", "400", "408", "409", "413", "415"},
    "listGoals": EVERY | {"200"},
    "getGoal": EVERY | {"200", "304"},
    "changeGoal": EVERY | {"200", "400", "408", "409", "412", "413", "415", "428"},
    "deleteGoal": EVERY | {"204", "412"},
    "listGoalVersions": EVERY | {"200"},
    "listAudit": EVERY | {"200"},
    "listWorkflows": EVERY - {"404"} | {"200"},
    "listAchievements": EVERY | {"200"},
    "listContactAchievements": EVERY | {"200"},
    "sendEvents": EVERY - {"404"} | {"202", "408", "409", "413", "415"},
    "explainGoal": EVERY | {"200"},
    "showTimeline": EVERY | {"200"},
    "readFeed": EVERY - {"404"} | {"200"},
    "listDeadLetters": EVERY - {"404"} | {"200"},
    "getDeadLetter": EVERY | {"200"},
    "redriveDeadLetters": EVERY | {"200", "408", "413", "415"},
    "dropDeadLetters": EVERY | {"200", "408", "413", "415"},
    "getStatistics": EVERY | {"200"},
    "createHook": EVERY - {"404"} | {"201", "400", "408", "413", "415"},
    "listHooks": EVERY - {"404", "422"} | {"200"},
    "listHookPresets": EVERY - {"404", "422"} | {"200"},
    "getHook": EVERY | {"200", "304"},
    "changeHook": EVERY | {"200", "408", "412", "413", "415", "428"},
    "deleteHook": EVERY | {"204", "412"},
    "rotateHookSecret": EVERY | {"200", "408", "413", "415"},
    "listHookCalls": EVERY | {"200"},
    "tryMapping": EVERY - {"404"} | {"200", "408", "413", "415"},
    "tryHook": EVERY | {"200", "408", "413", "415"},
    "callHook": {"202", "400", "401", "408", "409", "413", "422", "429", "503"},
    "checkActivation": EVERY | {"200", "400", "408", "409", "413"},
    "createWebhook": EVERY - {"404"} | {"201", "400", "408", "413", "415"},
    "listWebhooks": EVERY - {"404", "422"} | {"200"},
    "getWebhook": EVERY | {"200", "304"},
    "changeWebhook": EVERY | {"200", "408", "412", "413", "415", "428"},
    "deleteWebhook": EVERY | {"204", "412"},
    "rotateWebhookSecret": EVERY | {"200", "408", "413", "415"},
    "testWebhook": EVERY | {"202"},
    "listDeliveries": EVERY | {"200"},
    "getDelivery": EVERY | {"200"},
    "redriveDelivery": EVERY | {"200"},
    "redriveDeliveries": EVERY | {"200"},
}
READ_WEBHOOKS = ("listWebhooks", "getWebhook", "listDeliveries", "getDelivery")
WRITE_WEBHOOKS = (
    "createWebhook", "changeWebhook", "deleteWebhook", "rotateWebhookSecret", "testWebhook", "redriveDelivery",
    "redriveDeliveries",
)  # fmt: skip
OF_OPERATORS = {"listDeadLetters", "getDeadLetter", "redriveDeadLetters", "dropDeadLetters"}
SIGNED = {"callHook"}
"""What a signature opens, and no token."""

ERRORS = {
    "criteria_empty", "reference_not_found", "goal_limit_exceeded", "invalid_configuration", "duplicate_goal", "not_found",
    "method_not_allowed", "precondition_failed", "precondition_required", "unauthorized", "forbidden", "too_large",
    "unsupported_media_type", "validation_error", "rate_limited", "idempotency_conflict", "unavailable",
    "webhook_limit_exceeded",
}  # fmt: skip
HEADERS = {
    ("createGoal", "201"): {"Location", "ETag", "Effective-From", "Idempotency-Replayed"},
    ("createGoal", "409"): {"Retry-After"},
    ("checkActivation", "200"): {"Idempotency-Replayed"},
    ("listGoals", "200"): {"Link", "X-Request-ID"},
    ("listAchievements", "200"): {"Link"},
    ("explainGoal", "200"): {"Link"},
    ("showTimeline", "200"): {"Link"},
    ("listDeadLetters", "200"): {"Link"},
    ("getGoal", "200"): {"ETag"},
    ("changeGoal", "200"): {"ETag", "Effective-From"},
    ("changeGoal", "412"): {"ETag"},
    ("deleteGoal", "204"): {"Effective-From"},
    ("createWebhook", "201"): {"Location", "ETag"},
    ("getWebhook", "200"): {"ETag"},
    ("changeWebhook", "200"): {"ETag"},
    ("changeWebhook", "412"): {"ETag"},
    ("rotateWebhookSecret", "200"): {"ETag"},
    ("listDeliveries", "200"): {"Link"},
    ("createHook", "201"): {"Location", "ETag"},
    ("getHook", "200"): {"ETag"},
    ("changeHook", "200"): {"ETag"},
    ("changeHook", "412"): {"ETag"},
    ("listHookCalls", "200"): {"Link"},
    ("callHook", "401"): {"WWW-Authenticate"},
    ("callHook", "409"): {"Retry-After"},
    ("callHook", "429"): {"Retry-After"},
    ("callHook", "503"): {"Retry-After"},
    ("getStatistics", "401"): {"WWW-Authenticate"},
    ("getStatistics", "403"): {"WWW-Authenticate"},
    ("getStatistics", "429"): {"Retry-After"},
    ("getStatistics", "503"): {"Retry-After"},
}


@pytest.fixture
def document() -> dict[str, Any]:
    settings = Settings.model_validate({"jwt_secret": "a secret of at least thirty-two bytes"})
    return create_app(settings, Database("postgresql://nowhere/none", size=1)).openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation for methods in document["paths"].values() for operation in methods.values()
    }


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_operation_names_every_status_that_it_answers_with(document: dict[str, Any]) -> None:
    found = {name: set(operation["responses"]) for name, operation in operations(document).items()}
    assert found == STATUSES


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    for operation in operations(document).values():
        for status, response in operation["responses"].items():
            if status >= "400":
                (content,) = response["content"].values()
                assert list(response["content"]) == ["application/problem+json"]
                assert content["schema"] == schema
                assert content["example"]["status"] == int(status)
                assert content["example"]["error"] in ERRORS
                assert is_valid(document, schema, content["example"])


def test_every_answer_has_an_example_that_keeps_to_its_schema(document: dict[str, Any]) -> None:
    answers = 0
    for operation in operations(document).values():
        for status, response in operation["responses"].items():
            if status < "300" and "text/event-stream" in response.get("content", {}):
                assert "event: decision" in response["content"]["text/event-stream"]["example"]
            elif status < "300" and "content" in response:
                schema = response["content"]["application/json"]["schema"]
                name = schema["$ref"].rpartition("/")[2]
                examples = document["components"]["schemas"][name]["examples"]
                assert examples, name
                assert all(is_valid(document, schema, example) for example in examples), name
                answers += 1
    assert answers == len(STATUSES) - 4  # deletions have no body, and a feed no end
    assert not is_valid(document, {"$ref": "#/components/schemas/GoalDocument"}, {"id": 1})


def is_valid(document: dict[str, Any], schema: dict[str, Any], example: object) -> bool:
    whole = schema | {"components": document["components"]}
    return bool(jsonschema_rs.validator_for(whole, offline=True).is_valid(example))


@pytest.mark.parametrize(("operation", "status"), HEADERS)
def test_headers_that_clients_need_are_documented(document: dict[str, Any], operation: str, status: str) -> None:
    assert HEADERS[operation, status] <= set(operations(document)[operation]["responses"][status]["headers"])


def test_every_operation_needs_a_token_and_names_its_scope(document: dict[str, Any]) -> None:
    ((name, scheme),) = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    described = operations(document)
    assert not any("security" in described.pop(one) for one in SIGNED)
    needed = {operation_id: operation["security"] for operation_id, operation in described.items()}
    assert needed.pop("whoAmI") == [{name: []}]
    scopes = dict.fromkeys(STATUSES, "goals:read")
    scopes |= dict.fromkeys(("createGoal", "changeGoal", "deleteGoal", "sendEvents"), "goals:write")
    scopes |= dict.fromkeys(OF_OPERATORS, "operator")
    scopes |= dict.fromkeys(READ_WEBHOOKS, "webhooks:read") | dict.fromkeys(WRITE_WEBHOOKS, "webhooks:write")
    scopes |= dict.fromkeys(("listHooks", "listHookPresets", "getHook", "listHookCalls"), "webhooks:read")
    scopes |= dict.fromkeys(("tryMapping", "tryHook"), "webhooks:read")
    scopes |= dict.fromkeys(("createHook", "changeHook", "deleteHook", "rotateHookSecret"), "webhooks:write")
    assert needed == {one: [{name: [scopes[one]]}] for one in needed}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_bodies_are_documented_with_exactly_the_fields_that_are_read(document: dict[str, Any]) -> None:
    for name, schema in (
        ("createGoal", "NewGoal"),
        ("changeGoal", "GoalChanges"),
        ("redriveDeadLetters", "LetterChoice"),
        ("dropDeadLetters", "LetterChoice"),
        ("createWebhook", "NewWebhook"),
        ("changeWebhook", "WebhookChanges"),
        ("rotateWebhookSecret", "SecretRotation"),
        ("createHook", "NewHook"),
        ("changeHook", "HookChanges"),
        ("rotateHookSecret", "HookSecret"),
        ("tryMapping", "MappingTrial"),
        ("tryHook", "HookTrial"),
        ("callHook", "HookBody"),
    ):
        content = operations(document)[name]["requestBody"]["content"]
        assert content == {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    schemas = document["components"]["schemas"]
    variants = schemas["NewGoal"]["oneOf"]
    assert [variant["properties"]["goal_type"]["const"] for variant in variants] == list(GoalType)
    assert {tuple(variant["properties"]) for variant in variants} == {CREATE_FIELDS}
    assert tuple(schemas["GoalChanges"]["properties"]) == PATCH_FIELDS
    assert tuple(schemas["NewWebhook"]["properties"]) == webhook_bodies.CREATE_FIELDS
    assert tuple(schemas["WebhookChanges"]["properties"]) == webhook_bodies.PATCH_FIELDS
    assert tuple(schemas["SecretRotation"]["properties"]) == webhook_bodies.ROTATE_FIELDS
    assert tuple(schemas["NewHook"]["properties"]) == NEW_FIELDS
    assert tuple(schemas["HookChanges"]["properties"]) == CHANGE_FIELDS
    assert tuple(schemas["HookSecret"]["properties"]) == ROTATION_FIELDS


def test_the_documents_examples_are_accepted(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for example in schemas["NewGoal"]["examples"]:
        assert parse_new_goal(example).goal_type == example["goal_type"]
    for example in schemas["GoalChanges"]["examples"]:
        assert set(parse_changes(example, GoalType.TAG_ADDED)) == set(example)
    for example in schemas["NewWebhook"]["examples"]:
        assert webhook_bodies.parse_new_webhook(example, ()).url == example["url"]
    for example in schemas["WebhookChanges"]["examples"]:
        assert webhook_bodies.parse_webhook_changes(example, ()) == {"is_paused": True}
    for example in schemas["SecretRotation"]["examples"]:
        assert webhook_bodies.parse_rotation(example) == timedelta(days=1)
    for example in schemas["NewHook"]["examples"]:
        assert parse_new_hook(example).name == example["name"]
    for example in schemas["HookChanges"]["examples"]:
        assert parse_hook_changes(example)
    for example in schemas["HookSecret"]["examples"]:
        assert parse_rotation(example, Scheme.STANDARD).overlap.total_seconds() == example["overlap_seconds"]


@pytest.mark.parametrize("url", GOOD)
def test_the_documented_form_of_a_webhooks_url_is_not_narrower_than_what_is_read(url: str) -> None:
    assert re.search(webhook_bodies.WEBHOOK_SCHEMAS["NewWebhook"]["properties"]["url"]["pattern"], url)


@pytest.mark.parametrize(
    "text",
    ["P7D", "PT36H", "P2W", "P1DT12H", "PT1H30M", "PT5S", "P", "PT", "P1DT", "P1Y", "P1M", "7D", "P1W2D", "PT1D", ""],
)
def test_the_documented_form_of_a_duration_is_the_one_that_is_read(text: str) -> None:
    pattern = SCHEMAS["GoalChanges"]["properties"]["window"]["pattern"]
    assert bool(re.search(pattern, text)) == (parse_duration(text) is not None)

"""What comes out of the API about webhooks, as the OpenAPI document describes it, with an example of each."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class SecretTimes(BaseModel):
    """Since when a secret signs messages, and until when."""

    added_at: datetime
    expires_at: datetime | None = Field(description="null until it is rotated")


class WebhookDocument(BaseModel):
    """Where an account has messages sent."""

    model_config = ConfigDict(title="Webhook")

    id: UUID
    account_id: UUID
    url: str
    description: str
    topics: list[str]
    state: Literal["active", "paused", "failing"] = Field(
        description="failing: several attempts in a row have failed, and it is left alone until circuit_open_until"
    )
    problem: str | None = Field(description="why nothing can be sent, whatever the state")
    failures_in_a_row: int = Field(ge=0)
    circuit_open_until: datetime | None
    secrets: list[SecretTimes] = Field(description="that sign each message, the newest first")
    version: int = Field(ge=1)
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class WebhookWithSecret(WebhookDocument):
    """A webhook with its new secret, which is shown this once."""

    model_config = ConfigDict(title="WebhookWithSecret")

    secret: str


class WebhookList(BaseModel):
    """An account's webhooks, in the order of creation."""

    webhooks: list[WebhookDocument]


class DeliveryDocument(BaseModel):
    """A message to a webhook, and what became of it."""

    model_config = ConfigDict(title="Delivery")

    message_id: UUID = Field(description="the header webhook-id, the same in every attempt")
    topic: str = Field(examples=["workflow.goal.achieved", "webhook.test"])
    state: Literal["pending", "delivered", "parked"] = Field(description="parked: it was tried for a day, in vain")
    attempt_count: int = Field(ge=0, description="since it came about, or was redriven last")
    occurred_at: datetime = Field(description="when it happened what the message tells")
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="null unless it is pending")
    give_up_at: datetime | None = Field(description="when it is parked at the latest; null before the first attempt")
    ended_at: datetime | None = Field(description="when it was delivered or parked")


class DeliveryPage(BaseModel):
    """A page of the delivery log, newest first."""

    deliveries: list[DeliveryDocument]
    next_cursor: str | None


class AttemptDocument(BaseModel):
    """An attempt to deliver a message."""

    at: datetime
    url: str
    headers: dict[str, str]
    duration_seconds: float = Field(ge=0)
    status: int | None = Field(description="of the answer; null where there was none")
    error: str | None = Field(description="why it does not count as delivered; null where it does")
    answer: str | None = Field(description="the beginning of the answer's body")


class DeliveryInFull(DeliveryDocument):
    """A delivery with what is sent, and the newest 100 attempts, the newest first."""

    model_config = ConfigDict(title="DeliveryInFull")

    body: str = Field(description="as it is signed; without personal data once a contact was deleted")
    attempts: list[AttemptDocument]


class RedrivenDeliveries(BaseModel):
    """What is sent again."""

    redriven: int = Field(ge=0)
    remaining: int = Field(ge=0, description="that are parked still, and were too many at once: ask again")


_WEBHOOK: dict[str, Any] = {
    "id": "77777777-0000-4000-8000-000000000001",
    "account_id": "aaaaaaaa-0000-4000-8000-000000000001",
    "url": "https://hooks.example.com/goalstream",
    "description": "our shop",
    "topics": ["workflow.goal.achieved", "workflow.exit.goal"],
    "state": "active",
    "problem": None,
    "failures_in_a_row": 0,
    "circuit_open_until": None,
    "secrets": [{"added_at": "2026-03-10T12:00:00Z", "expires_at": None}],
    "version": 1,
    "created_at": "2026-03-10T12:00:00Z",
    "created_by": "ada",
    "updated_at": "2026-03-10T12:00:00Z",
    "updated_by": "ada",
}
_DELIVERY: dict[str, Any] = {
    "message_id": "99999999-0000-5000-8000-000000000002",
    "topic": "workflow.exit.goal",
    "state": "pending",
    "attempt_count": 1,
    "occurred_at": "2026-03-12T09:30:00Z",
    "created_at": "2026-03-12T09:30:00.080Z",
    "next_attempt_at": "2026-03-12T09:30:05.480Z",
    "give_up_at": "2026-03-13T09:30:00.300Z",
    "ended_at": None,
}
_ATTEMPT: dict[str, Any] = {
    "at": "2026-03-12T09:30:00.100Z",
    "url": "https://hooks.example.com/goalstream",
    "headers": {
        "content-type": "application/json",
        "webhook-id": "99999999-0000-5000-8000-000000000002",
        "webhook-timestamp": "1773307800",
        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    },
    "duration_seconds": 0.2,
    "status": 502,
    "error": "answers 502",
    "answer": "Bad Gateway",
}

WEBHOOK_EXAMPLES: dict[str, dict[str, Any]] = {
    "WebhookDocument": _WEBHOOK,
    "WebhookWithSecret": _WEBHOOK | {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"},
    "WebhookList": {"webhooks": [_WEBHOOK]},
    "DeliveryDocument": _DELIVERY,
    "DeliveryPage": {"deliveries": [_DELIVERY], "next_cursor": None},
    "DeliveryInFull": {
        **_DELIVERY,
        "body": '{"type":"workflow.exit.goal","timestamp":"2026-03-12T09:30:00Z","data":{"exit_reason":"goal_achieved"}}',
        "attempts": [_ATTEMPT],
    },
    "RedrivenDeliveries": {"redriven": 3, "remaining": 0},
}
"""Answers by the names of their schemas."""

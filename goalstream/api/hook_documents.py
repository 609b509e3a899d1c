"""What comes out of the API about hooks, and an example of each."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from goalstream.api.documents import AcceptedEvents, ProblemItem
from goalstream.domain.presets import PRESETS, PresetName
from goalstream.domain.signing import Scheme


class SecretTimes(BaseModel):
    """How long a secret has been there, and until when it holds; null: until it is rotated."""

    added_at: datetime
    expires_at: datetime | None


class HookRule(BaseModel):
    """What makes one event of a body, where `when` finds something; every leaf is JMESPath."""

    when: str | None = None
    event_type: str = Field(examples=["payment.completed"])
    event_id: str | None = Field(
        default=None, description="the same whenever a call is repeated; without it one is made"
    )
    timestamp: str | None = Field(default=None, description="when it happened, RFC 3339; without it now")
    data: dict[str, str | None]


class HookMapping(BaseModel):
    """What makes the events of a body; `call_id` finds the sender's own id of what it tells."""

    call_id: str | None = None
    events: list[HookRule]


class HookDocument(BaseModel):
    """A hook."""

    model_config = ConfigDict(title="Hook")

    id: UUID
    name: str
    url: str = Field(description="where to send to, on the server of this API")
    scheme: Scheme
    mapping: HookMapping
    paused: bool
    problem: str | None = Field(description="why its secrets cannot be read, and nothing is taken")
    secrets: list[SecretTimes] = Field(description="the newest first")
    version: int = Field(ge=1)
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class HookWithSecret(HookDocument):
    """A hook, and its new secret, where that was made here: it is told this once."""

    model_config = ConfigDict(title="HookWithSecret")

    secret: str | None = Field(default=None, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class HookList(BaseModel):
    """The hooks of an account."""

    hooks: list[HookDocument]


class PresetDocument(BaseModel):
    """A system whose signature and mapping are known."""

    model_config = ConfigDict(title="HookPreset")

    name: PresetName
    title: str
    scheme: Scheme
    contact_id: str = Field(description="where the system carries the id of a contact")
    mapping: HookMapping


class PresetList(BaseModel):
    """All presets."""

    presets: list[PresetDocument]


class TriedEvent(BaseModel):
    """An event as it would be sent, and what is wrong with it."""

    event: dict[str, Any]
    errors: list[ProblemItem] = Field(description="pointers into the event")


class DryRun(BaseModel):
    """What a body becomes."""

    call_id: str | None = Field(description="the sender's own id of it, as the mapping finds it")
    events: list[TriedEvent] = Field(description="an id that is made here is not that of a real call")
    errors: list[ProblemItem] = Field(description="what could not be worked out; pointers into the mapping")


class HookAnswer(AcceptedEvents):
    """What became of the events of a call; there are none where nobody wants it."""

    refused: Literal[0]


class HookCall(BaseModel):
    """A call that was signed as it should be, and its last answer: what became of its events, or a problem."""

    call_id: str
    received_at: datetime
    status: int = Field(examples=[202, 422])
    answer: dict[str, Any]


class HookCallPage(BaseModel):
    """A page of a hook's calls, newest first."""

    calls: list[HookCall]
    next_cursor: str | None


_MAPPING: dict[str, Any] = {
    "call_id": "order.id",
    "events": [
        {
            "when": "type == 'order.paid'",
            "event_type": "payment.completed",
            "event_id": "order.id",
            "timestamp": "order.paid_at",
            "data": {"contact_id": "order.customer.crm_id", "amount": "order.total", "currency": "order.currency"},
        }
    ],
}
_HOOK: dict[str, Any] = {
    "id": "99999999-0000-4000-8000-000000000003",
    "name": "Shop",
    "url": "/hooks/qqqqqgAAQACAAAAAAAAAAZmZmZkAAEAAgAAAAAAAAAM",
    "scheme": "standard",
    "mapping": _MAPPING,
    "paused": False,
    "problem": None,
    "secrets": [{"added_at": "2026-03-10T12:00:00Z", "expires_at": None}],
    "version": 1,
    "created_at": "2026-03-10T12:00:00Z",
    "created_by": "ada",
    "updated_at": "2026-03-10T12:00:00Z",
    "updated_by": "ada",
}
_ANSWER: dict[str, Any] = {
    "accepted": 1,
    "refused": 0,
    "events": [{"index": 0, "event_id": "order-17", "topic": "payment.completed", "status": "accepted", "errors": []}],
}
_EVENT: dict[str, Any] = {
    "event_type": "payment.completed",
    "event_id": "order-17",
    "timestamp": "2026-03-10T12:00:00Z",
    "data": {"contact_id": "7", "amount": "49.00", "currency": "EUR"},
}
_STRIPE = PRESETS[PresetName.STRIPE]

HOOK_EXAMPLES: dict[str, dict[str, Any]] = {
    "HookDocument": _HOOK,
    "HookWithSecret": _HOOK | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    "HookList": {"hooks": [_HOOK]},
    "PresetList": {
        "presets": [
            {
                "name": "stripe",
                "title": _STRIPE.title,
                "scheme": "stripe",
                "contact_id": _STRIPE.contact_id,
                "mapping": _STRIPE.mapping,
            }
        ]
    },
    "DryRun": {
        "call_id": "order-17",
        "events": [{"event": _EVENT, "errors": [{"pointer": "/data/contact_id", "message": '"7" is not a UUID'}]}],
        "errors": [],
    },
    "HookAnswer": _ANSWER,
    "HookCallPage": {
        "calls": [{"call_id": "order-17", "received_at": "2026-03-10T12:00:00Z", "status": 202, "answer": _ANSWER}],
        "next_cursor": None,
    },
}
"""Answers by the names of their schemas."""

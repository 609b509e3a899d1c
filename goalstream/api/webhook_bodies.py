"""What requests about webhooks hold: as the OpenAPI document describes it, and as it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from goalstream.api.bodies import refuse, unknown_fields
from goalstream.api.rotation import MOST_OVERLAP_SECONDS, USUAL_OVERLAP_SECONDS, overlap_of
from goalstream.api.schemas import Schema
from goalstream.domain.addresses import Network
from goalstream.domain.texts import MAX_TEXT_LENGTH, has_forbidden_character
from goalstream.domain.webhooks import MAX_URL_LENGTH, WEBHOOK_TOPICS, url_problem
from goalstream.errors import Problem

CREATE_FIELDS = ("url", "topics", "description")
PATCH_FIELDS = ("url", "topics", "description", "paused")
ROTATE_FIELDS = ("overlap_seconds",)

_URL: Schema = {
    "type": "string",
    "maxLength": MAX_URL_LENGTH,
    "pattern": r"^https?://[^/?#@\s]+([/?][!-~]*)?$",
    "description": "https, without user name and fragment, of a host that is public",
    "examples": ["https://hooks.example.com/goalstream"],
}
_TOPICS: Schema = {
    "type": "array",
    "items": {"type": "string", "enum": list(WEBHOOK_TOPICS)},
    "minItems": 1,
    "uniqueItems": True,
    "description": "of the messages that are sent",
}
_DESCRIPTION: Schema = {"type": "string", "maxLength": MAX_TEXT_LENGTH, "examples": ["our shop"]}

WEBHOOK_SCHEMAS: Mapping[str, Schema] = {
    "NewWebhook": {
        "title": "NewWebhook",
        "type": "object",
        "required": ["url"],
        "additionalProperties": False,
        "properties": {
            "url": _URL,
            "topics": _TOPICS | {"default": list(WEBHOOK_TOPICS)},
            "description": _DESCRIPTION | {"default": ""},
        },
        "examples": [{"url": "https://hooks.example.com/goalstream", "topics": ["workflow.exit.goal"]}],
    },
    "WebhookChanges": {
        "title": "WebhookChanges",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "url": _URL,
            "topics": _TOPICS,
            "description": _DESCRIPTION,
            "paused": {"type": "boolean", "description": "what comes about meanwhile is kept, and sent afterwards"},
        },
        "examples": [{"paused": True}],
    },
    "SecretRotation": {
        "title": "SecretRotation",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "overlap_seconds": {
                "type": "integer",
                "minimum": 0,
                "maximum": MOST_OVERLAP_SECONDS,
                "default": USUAL_OVERLAP_SECONDS,
                "description": "for how long the secrets of before hold beside the new one; 0: no longer",
            },
        },
        "examples": [{"overlap_seconds": 86_400}, {}],
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """A webhook as it is asked for."""

    url: str
    topics: Sequence[str]
    description: str


def parse_new_webhook(document: Mapping[str, Any], private_networks: Sequence[Network]) -> NewWebhook:
    """The webhook in a POST body. Raises ApiError: 422, with everything that is wrong."""
    found = unknown_fields(document, CREATE_FIELDS)
    if "url" not in document:
        found.append(Problem("/url", "url is required"))
    values = _values({"topics": list(WEBHOOK_TOPICS), "description": ""} | dict(document), private_networks, found)
    return NewWebhook(**values)


def parse_webhook_changes(document: Mapping[str, Any], private_networks: Sequence[Network]) -> dict[str, Any]:
    """The changes in a PATCH body, by the names of Webhook. Raises ApiError: 422, with everything that is wrong."""
    found = unknown_fields(document, PATCH_FIELDS)
    changes = _values(document, private_networks, found)
    if "paused" in changes:
        changes["is_paused"] = changes.pop("paused")
    return changes


def parse_rotation(document: Mapping[str, Any]) -> timedelta:
    """For how long secrets overlap. Raises ApiError: 422, with everything that is wrong."""
    found = unknown_fields(document, ROTATE_FIELDS)
    overlap = overlap_of(document.get("overlap_seconds", USUAL_OVERLAP_SECONDS), found)
    refuse(found)
    return overlap


def _values(document: Mapping[str, Any], private_networks: Sequence[Network], found: list[Problem]) -> dict[str, Any]:
    """The fields that are there, topics in their usual order. Raises ApiError where anything is wrong."""
    values = dict(document)
    if "url" in document:
        url = document["url"]
        problem = url_problem(url, private_networks) if isinstance(url, str) else "must be a text"
        found += [] if problem is None else [Problem("/url", problem)]
    if "topics" in document:
        topics = document["topics"]
        if not _are_topics(topics):
            found.append(Problem("/topics", f"must be one or more, each once, of: {', '.join(WEBHOOK_TOPICS)}"))
        else:
            values["topics"] = [topic for topic in WEBHOOK_TOPICS if topic in topics]
    if "description" in document and not _is_description(document["description"]):
        found.append(Problem("/description", f"must be a text of up to {MAX_TEXT_LENGTH} characters"))
    if "paused" in document and not isinstance(document["paused"], bool):
        found.append(Problem("/paused", "must be true or false"))
    refuse(found)
    return values


def _are_topics(topics: object) -> bool:
    if not isinstance(topics, list) or not topics:
        return False
    return all(topic in WEBHOOK_TOPICS and topics.count(topic) == 1 for topic in topics)


def _is_description(text: object) -> bool:
    return isinstance(text, str) and len(text) <= MAX_TEXT_LENGTH and not has_forbidden_character(text)

"""Goals and their edits for generated histories, and events that fulfil them or nearly do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from tests.oracle import notations
from tests.oracle.history import GoalVersion

MAX_GOALS = 3
"""Of one workflow; more the product refuses by default."""

CRITERIA: list[tuple[str, dict[str, object]]] = [
    ("tag_added", {"tag_id": "tag-1"}),
    ("tag_added", {"tag_id": "tag-1", "tag_name": "Purchased"}),
    ("tag_added", {"tag_name": "Straße"}),
    ("tag_added", {"tag_id": None, "tag_name": " purchased "}),
    ("tag_added", {"tag_id": "tag-2", "tag_name": "Straße"}),
    ("purchase_made", {"any_purchase": True}),
    ("purchase_made", {"product_id": None, "min_amount": 100}),
    ("purchase_made", {"min_amount": "150.00", "any_purchase": None}),
    ("purchase_made", {"product_id": "prod-1"}),
    ("purchase_made", {"product_id": "prod-2", "min_amount": "99.90", "currency": "eur"}),
    ("purchase_made", {"currency": "USD", "any_purchase": False}),
    ("appointment_booked", {"any_appointment": True}),
    ("appointment_booked", {"calendar_id": "cal-456", "any_appointment": False}),
    ("appointment_booked", {"service_id": "svc-1"}),
    ("appointment_booked", {"calendar_id": "cal-456", "service_id": "svc-2"}),
    ("form_submitted", {"form_id": "form-123"}),
    ("form_submitted", {"form_id": "form-9"}),
    ("pipeline_stage_reached", {"pipeline_id": "pipe-1", "stage_id": "stage-1"}),
    ("pipeline_stage_reached", {"pipeline_id": "pipe-1", "stage_id": "stage-2"}),
]


def goal_versions(
    chance: Random, account_id: str, workflow_ids: list[str], goal_ids: list[str], base: datetime, tick: timedelta
) -> list[GoalVersion]:
    """Up to three goals for each workflow, some edited, deactivated or deleted later on; no two with the same criteria.

    Goals of several accounts may have the same id; in one account every id is used once.
    """
    versions: list[GoalVersion] = []
    unused = list(goal_ids)
    for workflow_id in workflow_ids:
        pool = chance.sample(CRITERIA, len(CRITERIA))
        for _ in range(chance.choice([1, 2, 2, MAX_GOALS, MAX_GOALS])):
            goal_type, criteria = pool.pop()
            created_at = base + tick * chance.choice([-4, -4, -4, -2, -1, 0, 0, 4])
            versions.append(
                GoalVersion(
                    account_id=account_id,
                    workflow_id=workflow_id,
                    goal_id=unused.pop(0),
                    version=1,
                    goal_type=goal_type,
                    criteria=criteria,
                    is_active=chance.random() < 0.9,
                    is_deleted=False,
                    window=chance.choice([None, None, tick * chance.randrange(2, 14)]),
                    measure_after_exit=tick * chance.choice([0, 0, 1, 5]),
                    effective_from=created_at,
                    created_at=created_at,
                )
            )
            for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
                if versions[-1].is_deleted:
                    break
                versions.append(_edited(chance, versions[-1], pool, tick))
    return versions


def _edited(
    chance: Random, previous: GoalVersion, pool: list[tuple[str, dict[str, object]]], tick: timedelta
) -> GoalVersion:
    """The next version, a moment or hours later."""
    effective_from = previous.effective_from + tick * chance.choice([1, 4, 8, 12])
    version = replace(previous, version=previous.version + 1, effective_from=effective_from)
    match chance.choice(["criteria", "criteria", "window", "after", "active", "active", "deleted"]):
        case "criteria":
            for index, (goal_type, criteria) in enumerate(pool):
                if goal_type == previous.goal_type:
                    del pool[index]
                    return replace(version, criteria=criteria)
        case "after":
            return replace(version, measure_after_exit=tick * chance.choice([0, 3, 8]))
        case "active":
            return replace(version, is_active=not previous.is_active)
        case "deleted":
            return replace(version, is_deleted=True)
    return replace(version, window=chance.choice([None, tick * 6]))


def data_for(chance: Random, goal: GoalVersion) -> dict[str, object]:
    """Data of an event that mostly fulfils the goal."""
    return _DATA[goal.goal_type](chance, {key: told for key, told in goal.criteria.items() if told is not None})


def _maybe(chance: Random, likely: object, *others: object) -> object:
    return likely if likely is not None and chance.random() < 0.85 else chance.choice(others)


def _tag(chance: Random, wanted: Mapping[str, object]) -> dict[str, object]:
    data: dict[str, object] = {}
    if chance.random() < 0.5:
        data["tag_id"] = _maybe(chance, wanted.get("tag_id"), "tag-1", "tag-2", None, None, None)
    told = str(_maybe(chance, wanted.get("tag_name"), "Purchased", "Straße", "STRASSE"))
    return data | {"tag_name": chance.choice([None, *[notations.name(chance, told.strip())] * 3])}


def _purchase(chance: Random, wanted: Mapping[str, object]) -> dict[str, object]:
    least = Decimal(str(wanted.get("min_amount", "10")))
    value = least + Decimal(chance.choice(["0", "0", "0", "25", "0.01", "-0.01"]))
    data: dict[str, object] = {"payment_id": "pay-1"}
    if chance.random() < 0.9:
        data["amount"] = notations.amount(chance, value)
    if chance.random() < 0.9:
        currency = str(wanted.get("currency", "EUR"))
        data["currency"] = chance.choice([currency.upper(), currency.lower(), currency.title(), "GBP"])
    product = _maybe(chance, wanted.get("product_id"), "prod-1", "prod-2", "prod-3", None)
    if chance.random() < 0.5:
        data["product_id"] = product
    else:
        data["product_ids"] = chance.sample(["prod-7", str(product)], chance.choice([1, 2, 2]))
    return data


def _appointment(chance: Random, wanted: Mapping[str, object]) -> dict[str, object]:
    return {
        "appointment_id": "app-1",
        "calendar_id": _maybe(chance, wanted.get("calendar_id"), "cal-456", "cal-9", None),
        "service_id": _maybe(chance, wanted.get("service_id"), "svc-1", "svc-2", None),
    }


def _form(chance: Random, wanted: Mapping[str, object]) -> dict[str, object]:
    return {"submission_id": "sub-1", "form_id": _maybe(chance, wanted.get("form_id"), "form-123", "form-9", None)}


def _stage(chance: Random, wanted: Mapping[str, object]) -> dict[str, object]:
    return {
        "opportunity_id": "opp-1",
        "pipeline_id": _maybe(chance, wanted.get("pipeline_id"), "pipe-1", "pipe-2", None),
        "stage_id": _maybe(chance, wanted.get("stage_id"), "stage-1", "stage-2", None),
        "previous_stage_id": chance.choice([None, "stage-0"]),
    }


_DATA: Mapping[str, Callable[[Random, Mapping[str, object]], dict[str, object]]] = {
    "tag_added": _tag,
    "purchase_made": _purchase,
    "appointment_booked": _appointment,
    "form_submitted": _form,
    "pipeline_stage_reached": _stage,
}

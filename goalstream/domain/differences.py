"""Differences: what an event lacks of a goal's criteria, key by key, and so why it is no match of the goal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from goalstream.domain.amounts import canonical_amount
from goalstream.domain.evaluation import WRONG_CRITERIA
from goalstream.domain.events import Appointment, Event, FormSubmission, Payment, StageChange, TagAdded
from goalstream.domain.explanation import Explanation
from goalstream.domain.goal_history import GoalHistory
from goalstream.domain.goals import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    GoalVersion,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
)
from goalstream.domain.settlement import Verdict
from goalstream.domain.texts import fold_name
from goalstream.domain.wording import moment_in_words

Difference = tuple[str, object, object]
"""A criteria key, what it asks for, and what the event tells: None where it tells nothing."""


def why_no_match(event: Event, versions: Sequence[GoalVersion]) -> Explanation | None:
    """Why an event is no match of a goal, of which all versions are given; None where it is one."""
    version = GoalHistory(versions).at(versions[0].goal_id, event.occurred_at)
    happened = f"The event happened at {moment_in_words(event.occurred_at)}"
    if version is None:
        return Explanation(
            verdict=Verdict.GOAL_NOT_IN_FORCE.value,
            wanted={"effective_from": min(version.effective_from for version in versions)},
            got={"occurred_at": event.occurred_at},
            text=f"{happened}, before the goal was in force.",
        )
    if not version.can_be_achieved:
        state = "deleted" if version.is_deleted else "paused"
        return Explanation(
            verdict=Verdict.GOAL_NOT_IN_FORCE.value,
            wanted={"is_active": True},
            got={"is_active": False, "goal_version": version.version},
            text=f"{happened}, when the goal was {state} (version {version.version}) and not active.",
        )
    found = list(differences(event, version.criteria))
    if not found:
        return None
    told = ", ".join(_said("amount" if key == "min_amount" else key, got) for key, _, got in found)
    asked = ", ".join(_said(key, wanted) for key, wanted, _ in found)
    return Explanation(
        verdict=WRONG_CRITERIA,
        wanted={key: wanted for key, wanted, _ in found},
        got={key: got for key, _, got in found},
        text=f"The event has {told}, and the goal asks for {asked}.",
    )


def differences(event: Event, criteria: Criteria) -> Iterator[Difference]:
    """Every key of the criteria that does not hold; none where `fulfilment.fulfils` says that they do.

    The event is of the type that the criteria are about.
    """
    data = event.data
    match event.occurrence, criteria:
        case TagAdded() as tag, TagCriteria():
            yield from _of_tag(tag, data, criteria)
        case Payment() as payment, PurchaseCriteria():
            yield from _of_payment(payment, criteria)
        case Appointment(), AppointmentCriteria():
            yield from _of_ids(data, calendar_id=criteria.calendar_id, service_id=criteria.service_id)
        case FormSubmission(), FormCriteria():
            yield from _of_ids(data, form_id=criteria.form_id)
        case StageChange(), StageCriteria():
            yield from _of_ids(data, pipeline_id=criteria.pipeline_id, stage_id=criteria.stage_id)


def _of_tag(tag: TagAdded, data: Mapping[str, Any], criteria: TagCriteria) -> Iterator[Difference]:
    """Where both sides have an id, it decides alone; else the names do."""
    if tag.tag_id is not None and criteria.tag_id is not None:
        if tag.tag_id != criteria.tag_id:
            yield "tag_id", criteria.tag_id, tag.tag_id
    elif criteria.tag_name is None:
        yield "tag_id", criteria.tag_id, None
    elif fold_name(criteria.tag_name) != tag.folded_name:
        yield "tag_name", criteria.tag_name, data.get("tag_name")


def _of_payment(payment: Payment, criteria: PurchaseCriteria) -> Iterator[Difference]:
    products, amount = payment.product_ids, payment.amount
    if criteria.product_id is not None and criteria.product_id not in products:
        yield "product_id", criteria.product_id, products[0] if len(products) == 1 else list(products) or None
    if criteria.min_amount is not None and (amount is None or amount < criteria.min_amount):
        told = None if amount is None else canonical_amount(amount)
        yield "min_amount", canonical_amount(criteria.min_amount), told
    if criteria.currency is not None and payment.currency != criteria.currency:
        yield "currency", criteria.currency, payment.currency


def _of_ids(data: Mapping[str, Any], **wanted: str | None) -> Iterator[Difference]:
    for key, asked in wanted.items():
        if asked is not None and data.get(key) != asked:
            yield key, asked, data.get(key)


def _said(key: str, value: object) -> str:
    """`tag_name "Newsletter"`, `no tag_name`."""
    return f"no {key}" if value is None else f"{key} {json.dumps(value, ensure_ascii=False)}"

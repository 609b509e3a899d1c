"""The demo's world: two accounts, two workflows with five goals, one of each type, and four hundred people with names."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from goalstream.domain.facts import GoalLogic
from goalstream.domain.goals import GoalType

PURCHASED_TAG = "Purchased"
PROMO_FORM = "spring-promo"
CONSULTATION = "consultation"
PIPELINE, WON_STAGE = "sales", "won"
MIN_AMOUNT, CURRENCY = "100", "EUR"

_FIRST_NAMES = [
    "Ada",
    "Alan",
    "Anita",
    "Barbara",
    "Claude",
    "Donald",
    "Edith",
    "Edsger",
    "Emmy",
    "Frances",
    "Grace",
    "Hedy",
    "Joan",
    "John",
    "Katherine",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Radia",
    "Tim",
]
_LAST_NAMES = [
    "Adeyemi",
    "Bianchi",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Petrov",
    "Quinn",
    "Rossi",
    "Silva",
    "Tanaka",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoGoal:
    """A goal to be created before the story begins."""

    goal_type: GoalType
    criteria: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A workflow of the demo account."""

    workflow_id: str
    name: str
    goal_logic: GoalLogic
    goals: tuple[DemoGoal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Somebody in the CRM."""

    contact_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Who and what exists; the same for the same seed.

    The other account has no goals, and the same contact ids: whatever happens there must not count here.
    """

    account_id: str
    other_account_id: str
    promo: Workflow
    win_back: Workflow
    contacts: tuple[Contact, ...]

    @property
    def workflows(self) -> tuple[Workflow, Workflow]:
        return self.promo, self.win_back


def make_world(seed: int) -> World:
    """The world of a seed."""
    rng = random.Random(f"world {seed}")  # noqa: S311 - a story, not a secret
    account_id, other_account_id, promo_id, win_back_id = (random_id(rng) for _ in range(4))
    names = [f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES]
    rng.shuffle(names)
    return World(
        account_id=account_id,
        other_account_id=other_account_id,
        promo=Workflow(
            workflow_id=promo_id,
            name="Spring promo",
            goal_logic="all",
            goals=(
                DemoGoal(goal_type=GoalType.FORM_SUBMITTED, criteria={"form_id": PROMO_FORM}),
                DemoGoal(goal_type=GoalType.APPOINTMENT_BOOKED, criteria={"calendar_id": CONSULTATION}),
                DemoGoal(goal_type=GoalType.PURCHASE_MADE, criteria={"min_amount": MIN_AMOUNT, "currency": CURRENCY}),
            ),
        ),
        win_back=Workflow(
            workflow_id=win_back_id,
            name="Win back",
            goal_logic="any",
            goals=(
                DemoGoal(
                    goal_type=GoalType.PIPELINE_STAGE_REACHED,
                    criteria={"pipeline_id": PIPELINE, "stage_id": WON_STAGE},
                ),
                DemoGoal(goal_type=GoalType.TAG_ADDED, criteria={"tag_name": PURCHASED_TAG}),
            ),
        ),
        contacts=tuple(Contact(contact_id=random_id(rng), name=name) for name in names),
    )


def random_id(rng: random.Random) -> str:
    """A UUID out of `rng`."""
    return str(UUID(int=rng.getrandbits(128), version=4))

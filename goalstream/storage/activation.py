"""Whether a workflow can be activated: does everything exist that its goals name?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goalstream.domain.references import missing_references
from goalstream.errors import Problem
from goalstream.storage.goal_versions import newest_goals
from goalstream.storage.pool import Transactions
from goalstream.storage.references import known_references


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationCheck:
    """How many goals a workflow has that are active and not deleted, and everything that is wrong with them.

    Pointers begin with the goal: `/goals/<goal id>/criteria/<key>`.
    """

    goals: int
    problems: Sequence[Problem]


async def check_activation(database: Transactions, account_id: str, workflow_id: str) -> ActivationCheck:
    """Checks the goals in their newest versions, in the order of creation. Raises DatabaseUnavailable."""
    async with database.transaction(account_id) as connection:
        newest = await newest_goals(connection, account_id, workflow_id)
        versions = [goal.version for goal in newest if goal.version.is_active]
        known = await known_references(connection, account_id, [version.criteria for version in versions])
    return ActivationCheck(
        goals=len(versions),
        problems=[
            Problem(
                f"/goals/{version.goal_id}/criteria/{kind.criteria_key}",
                f"Invalid goal configuration: {kind} does not exist",
            )
            for version in versions
            for kind in missing_references(version.criteria, known)
        ],
    )

"""The demo's goals in the database: made at the first start, found again at the next."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from goalstream.config import Settings
from goalstream.dev.world import World
from goalstream.domain.goals import parse_criteria
from goalstream.errors import InvalidGoal
from goalstream.storage.goals import GoalBook
from goalstream.storage.pool import Database

ACTOR = "goalstream dev"
MAX_GOALS = 200


async def ensure_goals(settings: Settings, world: World) -> list[Mapping[str, Any]]:
    """Every goal of the demo's workflows, those of a kept database too. Raises DatabaseUnavailable."""
    database = Database(settings.database_url.get_secret_value(), size=1)
    book = GoalBook(
        database,
        account_id=world.account_id,
        activation_delay=timedelta(seconds=settings.activation_delay_seconds),
        max_goals_per_workflow=settings.max_goals_per_workflow,
    )
    documents: list[Mapping[str, Any]] = []
    try:
        for workflow in world.workflows:
            for goal in workflow.goals:
                with contextlib.suppress(InvalidGoal):  # there already, or somebody made others in its place
                    await book.create(
                        workflow.workflow_id,
                        goal_type=goal.goal_type,
                        criteria=parse_criteria(goal.goal_type, goal.criteria),
                        window=None,
                        measure_after_exit=timedelta(),
                        actor=ACTOR,
                    )
            page = await book.page(workflow.workflow_id, limit=MAX_GOALS)
            documents += [found.document() for found in page.goals]
    finally:
        await database.close()
    return documents

"""goalstream decides that an enrolled contact has achieved a workflow's goal, and tells the workflow engine.

The path of a batch is a straight line: records → events → matches → settle → messages → ack.

cli             one function per command              worker          composition root of `goalstream worker`
config          Settings, the only reader of the env  errors          the exception tree
domain          pure decisions                        observability   logs and metrics
streams         Kafka: Faust app, codec, publisher    storage         PostgreSQL: facts, settlement, outbox, goals
api             HTTP                                  dev             everything on one machine, for a first look
detection       the in-process face                   contracts       the topics' schemas, and what breaks them
webhooks        HTTP out: endpoints that are sent to  deliverer       composition root of `goalstream deliverer`

The public names are those of the in-process face; each is imported when it is first asked for, so that importing the package
costs nothing. `GoalConfig` is a version of a goal, `GoalCriteria` what it asks for, `GoalAchievement` the document of an
achievement, with the fields of `workflow.goal.achieved`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goalstream.detection import GoalAchievementService, GoalDetectionService, connect
    from goalstream.domain.documents import GoalAchievement
    from goalstream.domain.goals import Criteria as GoalCriteria
    from goalstream.domain.goals import GoalType
    from goalstream.domain.goals import GoalVersion as GoalConfig
    from goalstream.errors import NotEligible

__version__ = version("goalstream")

__all__ = [
    "GoalAchievement",
    "GoalAchievementService",
    "GoalConfig",
    "GoalCriteria",
    "GoalDetectionService",
    "GoalType",
    "NotEligible",
    "connect",
]

_HOMES = {
    "GoalAchievement": ("goalstream.domain.documents", "GoalAchievement"),
    "GoalAchievementService": ("goalstream.detection", "GoalAchievementService"),
    "GoalConfig": ("goalstream.domain.goals", "GoalVersion"),
    "GoalCriteria": ("goalstream.domain.goals", "Criteria"),
    "GoalDetectionService": ("goalstream.detection", "GoalDetectionService"),
    "GoalType": ("goalstream.domain.goals", "GoalType"),
    "NotEligible": ("goalstream.errors", "NotEligible"),
    "connect": ("goalstream.detection", "connect"),
}


if not TYPE_CHECKING:  # a type checker knows the names from above, and shall find the others missing

    def __getattr__(name: str) -> object:
        """A public name, imported now."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, known_as = _HOMES[name]
        return getattr(import_module(home), known_as)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

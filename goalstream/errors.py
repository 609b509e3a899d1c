"""The exception tree, split by what the caller does about it.

GoalstreamError
├── Unavailable              wait and try the same thing again
│   ├── DatabaseUnavailable  PostgreSQL is away, failing over, read-only, out of disk, not migrated, or a newer release's
│   ├── KeysUnavailable      the public keys of tokens cannot be read
│   └── BrokerUnavailable    Kafka is away or did not acknowledge in time
│       └── TooLargeForKafka some records are larger than their topic takes; the others may have gone through
├── Refused                  never try again as it is
│   ├── RefusedByDatabase    PostgreSQL refuses this very row for ever
│   └── InvalidRecord        a Kafka record breaks the contract: dead letter
├── InvalidGoal              a goal's configuration cannot be accepted; carries every problem found
│   ├── CriteriaEmpty        no criteria key has an effect
│   ├── ReferenceNotFound    the criteria name by id what the CRM does not have
│   ├── GoalLimitExceeded    the workflow has as many goals as it may have
│   └── DuplicateGoal        the same type and criteria already exist in this workflow
├── InvalidMapping           what a hook should make events by cannot be accepted; carries every problem found
├── NotEligible              what was recorded achieves nothing for this enrollment; `reason` is the verdict
├── GoalNotFound             no such goal in this account and workflow
├── WebhookLimitExceeded     the account has as many webhooks as it may have
├── WebhookNotFound          no such webhook in this account, or no such delivery to it
├── HookNotFound             no such hook in this account
├── HookLimitExceeded        the account has as many hooks as it may have
├── LetterNotFound           no such dead letters; carries their ids
├── StaleVersion             somebody changed it in the meantime
└── OperatorError            a person must act; the text says what to do
    ├── SettingsError        wrong settings or usage: exit code 2
    └── TooManyDeadLetters   the contract seems to have changed: stop, exit code 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class GoalstreamError(Exception):
    """Anything goalstream raises on purpose."""


class Unavailable(GoalstreamError):
    """A service is away; the same work is tried again later, nothing is lost.

    `advice` says what a person must mend first, where waiting alone does not help.
    """

    def __init__(self, sentence: str, *, advice: str = "") -> None:
        super().__init__(f"{sentence}: {advice}" if advice else sentence)
        self.sentence, self.advice = sentence, advice


class DatabaseUnavailable(Unavailable):
    """PostgreSQL cannot do this now, but will."""


class KeysUnavailable(Unavailable):
    """The server of the public keys is away, or answers with something else: what a token proves cannot be told now."""


class ApiUnavailable(Unavailable):
    """The API is not reached, or answers that it cannot do this now: nothing has happened."""


class BrokerUnavailable(Unavailable):
    """Kafka cannot do this now, but will."""


class TooLargeForKafka(BrokerUnavailable):
    """Records are larger than `max.message.bytes` of their topic, until somebody raises it.

    `too_large` and `acknowledged` are positions in what was to be sent; what is in neither may or may not have gone through.
    """

    def __init__(self, *, too_large: Sequence[int], acknowledged: Sequence[int]) -> None:
        super().__init__(f"{len(too_large)} records are larger than their topic takes: raise its max.message.bytes")
        self.too_large = too_large
        self.acknowledged = acknowledged


class Refused(GoalstreamError):
    """Trying again changes nothing."""


class RefusedByDatabase(Refused):
    """PostgreSQL refuses a row for ever (SQLSTATE class 22 or 23)."""


class InvalidRecord(Refused):
    """A record breaks the contract of its topic; `reason` is one of the dead-letter reasons."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a document: a JSON pointer (RFC 6901) and a sentence.

    `unquoted` is that sentence where it must not quote the document, if it does.
    """

    pointer: str
    message: str
    unquoted: str | None = field(default=None, compare=False)


class InvalidGoal(GoalstreamError):
    """A goal's configuration cannot be accepted."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


class CriteriaEmpty(InvalidGoal):
    """Goal criteria cannot be empty."""

    def __init__(self) -> None:
        super().__init__(Problem("/criteria", "Goal criteria cannot be empty"))


class ReferenceNotFound(InvalidGoal):
    """Goal criteria name a tag, form, calendar, service, product, pipeline or stage that does not exist."""


class GoalLimitExceeded(InvalidGoal):
    """The workflow already has the maximum number of goals that are not deleted."""

    def __init__(self, limit: int) -> None:
        super().__init__(Problem("", f"Maximum of {limit} goals per workflow exceeded"))


class DuplicateGoal(InvalidGoal):
    """The workflow already has a goal of this type with the same canonical criteria."""

    def __init__(self, goal_id: str) -> None:
        super().__init__(Problem("/criteria", f"A goal with the same type and criteria already exists: {goal_id}"))


class InvalidMapping(GoalstreamError):
    """A mapping cannot be accepted."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


class NotEligible(GoalstreamError):
    """What was recorded achieves nothing for the enrollment; `reason` is the verdict that refuses it.

    Where a match could be stored it stays, as a fact: it counts by itself once other facts allow it, such as the enrollment's
    start. With the reasons `no_goal` and `goal_not_in_force` there may be nothing to store.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"Nothing is achieved by it: {reason}")
        self.reason = reason


class GoalNotFound(GoalstreamError):
    """No such goal in this account and workflow."""


class WebhookLimitExceeded(GoalstreamError):
    """The account already has the maximum number of webhooks."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Maximum of {limit} webhooks per account exceeded")


class WebhookNotFound(GoalstreamError):
    """No such webhook in this account, or no such delivery to it."""


class HookNotFound(GoalstreamError):
    """No such hook in this account."""

    def __init__(self, hook_id: str) -> None:
        super().__init__(f"There is no hook {hook_id}")


class HookLimitExceeded(GoalstreamError):
    """The account already has the maximum number of hooks."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Maximum of {limit} hooks per account exceeded")


class LetterNotFound(GoalstreamError):
    """There are no dead letters with these ids, or they are too old to be looked at."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"There is no dead letter {', '.join(ids)}")
        self.ids = ids


class StaleVersion(GoalstreamError):
    """What should be changed (`what`) was changed in the meantime; `current_version` is what it is now."""

    def __init__(self, current_version: int, *, what: str = "goal") -> None:
        super().__init__(f"The {what} was changed in the meantime: its version is now {current_version}")
        self.current_version = current_version


class OperatorError(GoalstreamError):
    """A person must act; the text is one line that says what to do."""


class SettingsError(OperatorError):
    """Settings are wrong; one line for each problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TooManyDeadLetters(OperatorError):
    """A partition brings mostly records that break the contract: stop before more is set aside."""

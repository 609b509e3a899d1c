"""What is missing after a run, counted alike for every contender: rows and messages, by ids that are known beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Set
from dataclasses import dataclass

from benchmarks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What was found beside what was expected; delivery is at least once, so that repeated messages are no fault."""

    rows_expected: int
    rows_missing: int
    rows_unexpected: int
    messages_expected: int
    messages_missing: int
    messages_unexpected: int
    messages_repeated: int
    not_committed: int

    @property
    def is_right(self) -> bool:
        """Everything is there, and nothing else."""
        return not any(
            (
                self.rows_missing,
                self.rows_unexpected,
                self.messages_missing,
                self.messages_unexpected,
                self.not_committed,
            )
        )


def compare(
    expected: Set[Hashable], rows: Iterable[Hashable], messages: Iterable[Hashable], *, not_committed: int
) -> Losses:
    """Where each expected id is to have one row and one message."""
    found, sent = Counter(rows), Counter(messages)
    return Losses(
        rows_expected=len(expected),
        rows_missing=len(expected - found.keys()),
        rows_unexpected=found.total() - len(found.keys() & expected),
        messages_expected=len(expected),
        messages_missing=len(expected - sent.keys()),
        messages_unexpected=len(sent.keys() - expected),
        messages_repeated=sum(count - 1 for count in sent.values()),
        not_committed=not_committed,
    )


def of_goalstream(verdict: Verdict) -> Losses:
    """goalstream sends two messages for each row; whatever else its own verdict finds wrong counts as unexpected."""
    return Losses(
        rows_expected=verdict.expected,
        rows_missing=verdict.rows_missing,
        rows_unexpected=verdict.rows_unexpected,
        messages_expected=2 * verdict.expected,
        messages_missing=verdict.achieved_missing + verdict.exits_missing,
        messages_unexpected=(
            verdict.messages_unexpected + verdict.repeated_but_different + verdict.dead_letters + verdict.left_in_outbox
        ),
        messages_repeated=verdict.messages_repeated,
        not_committed=verdict.not_committed,
    )

"""What is wrong right now, in words; shown by /readyz."""

from __future__ import annotations


class Health:
    """Reasons why a process is not ready, by the part that gave them."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def report(self, part: str, reason: str | None) -> None:
        """Says what is wrong with a part, or with None that it is well."""
        if reason is None:
            self._reasons.pop(part, None)
        else:
            self._reasons[part] = reason

    @property
    def reasons(self) -> dict[str, str]:
        """Every reason, by part; empty when ready."""
        return dict(self._reasons)

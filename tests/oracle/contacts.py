"""Who a contact has become, and since when it is deleted: point 19 of section 4, one timeline of merges and deletions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tests.oracle.history import CONTACT_MERGED
from tests.oracle.reading import Told


class Contacts:
    """The contacts of one account after all the merges and deletions given."""

    def __init__(self, facts: Iterable[Told]) -> None:
        self._survivor_of: dict[str, str] = {}
        self._deleted_at: dict[str, datetime] = {}
        for fact in sorted(facts, key=lambda fact: (fact.occurred_at, fact.event_id, fact.source, fact.said())):
            if fact.topic == CONTACT_MERGED:
                self._merge(fact.fields["contact_id"], fact.fields["into_contact_id"])
            else:
                self._delete(fact.fields["contact_id"], fact.occurred_at)

    def _merge(self, loser: str, winner: str) -> None:
        """Ignored where the loser is already merged away, or where a cycle would close."""
        if loser not in self._survivor_of and self.survivor(winner) != loser:
            self._survivor_of[loser] = winner

    def _delete(self, contact: str, moment: datetime) -> None:
        """Deletes whoever stands for the contact now; one that was merged away before changes nothing about what counts."""
        if contact in self._survivor_of:
            return
        same = {contact} | {loser for loser in self._survivor_of if self.survivor(loser) == contact}
        for one in same:
            self._deleted_at.setdefault(one, moment)

    def survivor(self, contact: str) -> str:
        """Whom the id stands for; chains are followed."""
        while contact in self._survivor_of:
            contact = self._survivor_of[contact]
        return contact

    def is_merged_away(self, contact: str) -> bool:
        """Whether the id stands for another one."""
        return contact in self._survivor_of

    def is_deleted(self, contact: str, moment: datetime) -> bool:
        """Whether nothing of this id counts any more at a moment; inclusive."""
        return contact in self._deleted_at and moment >= self._deleted_at[contact]

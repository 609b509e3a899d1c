"""Contacts: who an id stands for after merges, and from when on nothing counts for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from goalstream.domain.facts import ContactDeletion, ContactMerge


class Contacts:
    """One account's merges and deletions, applied in their own order, whatever order they are given in.

    `erased` are the ids whose personal data must not be kept.
    """

    def __init__(self, facts: Iterable[ContactMerge | ContactDeletion]) -> None:
        self._into: dict[str, str] = {}
        self._deleted_at: dict[str, datetime] = {}
        self.erased: set[str] = set()
        for fact in sorted(facts, key=_order):
            if isinstance(fact, ContactMerge):
                self._merge(fact)
            else:
                self._delete(fact)

    def survivor(self, contact_id: str) -> str:
        """The contact that an id stands for in the end: chains of merges are followed."""
        while (into := self._into.get(contact_id)) is not None:
            contact_id = into
        return contact_id

    def into(self, contact_id: str) -> str | None:
        """The contact that an id was merged into, not followed any further; None where it was not."""
        return self._into.get(contact_id)

    def is_merged(self, contact_id: str) -> bool:
        """Whether an id stands for another one."""
        return contact_id in self._into

    def deleted_at(self, contact_id: str) -> datetime | None:
        """From when on (inclusive) nothing counts for an id."""
        return self._deleted_at.get(contact_id)

    def _merge(self, merge: ContactMerge) -> None:
        """Ignored when the loser is merged away already, or when it would stand for itself."""
        if not self.is_merged(merge.contact_id) and self.survivor(merge.into_contact_id) != merge.contact_id:
            self._into[merge.contact_id] = merge.into_contact_id

    def _delete(self, deletion: ContactDeletion) -> None:
        """Takes all with it that stand for the contact by now; of one merged away before, only the data goes."""
        gone = {deletion.contact_id}
        if not self.is_merged(deletion.contact_id):
            gone.update(one for one in self._into if self.survivor(one) == deletion.contact_id)
            for contact_id in gone:
                self._deleted_at.setdefault(contact_id, deletion.occurred_at)
        self.erased |= gone


def _order(fact: ContactMerge | ContactDeletion) -> tuple[object, ...]:
    """By (timestamp, event id); remaining ties by source and canonical payload, in which a merge has more to say."""
    into = fact.into_contact_id if isinstance(fact, ContactMerge) else ""
    return fact.occurred_at, fact.event_id, fact.source, fact.contact_id, not into, into

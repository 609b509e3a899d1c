"""References: the CRM's tags, forms and so on, which goals' criteria name by id; and which of those do not exist."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from goalstream.domain.goals import Criteria, criteria_document
from goalstream.domain.values import value


class ReferenceKind(StrEnum):
    """What a reference is; the text is also how people and the topic call it."""

    TAG = "tag"
    FORM = "form"
    CALENDAR = "calendar"
    SERVICE = "service"
    PRODUCT = "product"
    PIPELINE = "pipeline"
    STAGE = "stage"

    @property
    def criteria_key(self) -> str:
        """The key under which criteria name one by its id."""
        return f"{self}_id"


@value
class ReferenceChange:
    """From `occurred_at` on a reference is as told, or gone; touches no enrollment.

    `payload` is the canonical JSON of the fields of the topic, which decides the last ties.
    """

    account_id: str
    kind: ReferenceKind
    reference_id: str
    name: str | None
    parent_id: str | None
    is_deleted: bool
    occurred_at: datetime
    source: str
    event_id: str
    record_at: datetime
    payload: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """Which reference it is about."""
        return self.account_id, self.kind, self.reference_id

    def prevails_over(self, other: ReferenceChange) -> bool:
        """Whether this one holds of two changes of a reference: the greater; of copies the one with the smaller record."""
        return self._rank > other._rank or (self._rank == other._rank and self.record_at < other.record_at)

    @property
    def _rank(self) -> tuple[datetime, str, str, str]:
        """Texts by code point."""
        return self.occurred_at, self.event_id, self.source, self.payload


@value
class KnownReferences:
    """What is known of some references of one account.

    `received` are the kinds of which anything was ever told, if only a deletion. `parents` holds those that exist, each with
    its parent's id.
    """

    received: frozenset[ReferenceKind]
    parents: Mapping[tuple[ReferenceKind, str], str | None]


def references_of(criteria: Criteria) -> dict[ReferenceKind, str]:
    """The ids of the references that criteria name; a tag named by its name alone is none."""
    document = criteria_document(criteria)
    return {kind: str(document[kind.criteria_key]) for kind in ReferenceKind if kind.criteria_key in document}


def missing_references(criteria: Criteria, known: KnownReferences) -> list[ReferenceKind]:
    """What criteria name and does not exist; a kind of which nothing was ever told is not judged.

    A stage that is known to belong to another pipeline than the criteria's does not exist.
    """
    named = references_of(criteria)
    return [
        kind
        for kind, reference_id in named.items()
        if kind in known.received and not _exists(kind, reference_id, named, known)
    ]


def _exists(kind: ReferenceKind, reference_id: str, named: Mapping[ReferenceKind, str], known: KnownReferences) -> bool:
    if (kind, reference_id) not in known.parents:
        return False
    return kind is not ReferenceKind.STAGE or known.parents[kind, reference_id] in (None, named[ReferenceKind.PIPELINE])

"""References: of all changes of one the greatest is kept, a deletion too; and what is known of those that criteria name."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from goalstream.domain.goals import Criteria
from goalstream.domain.references import KnownReferences, ReferenceChange, ReferenceKind, references_of
from goalstream.storage.codecs import encode_json
from goalstream.storage.pool import Connection

# Which one holds is decided as by ReferenceChange.prevails_over: the columns compare by code point.
_STORE = """
insert into crm_references (account_id, kind, reference_id, name, parent_id, is_deleted, record_at, occurred_at,
                            event_id, source, payload)
select account_id, kind, reference_id, name, parent_id, is_deleted, record_at, occurred_at, event_id, source, payload
  from json_populate_recordset(null::crm_references, $1)
on conflict (account_id, kind, reference_id) do update
   set name = excluded.name, parent_id = excluded.parent_id, is_deleted = excluded.is_deleted,
       record_at = excluded.record_at, occurred_at = excluded.occurred_at, event_id = excluded.event_id,
       source = excluded.source, payload = excluded.payload
 where (excluded.occurred_at, excluded.event_id, excluded.source, excluded.payload)
       > (crm_references.occurred_at, crm_references.event_id, crm_references.source, crm_references.payload)
    or ((excluded.occurred_at, excluded.event_id, excluded.source, excluded.payload)
        = (crm_references.occurred_at, crm_references.event_id, crm_references.source, crm_references.payload)
        and excluded.record_at < crm_references.record_at)
"""

# Those of a kind of which nothing was ever received are left out. Each is looked up by its key (`offset 0`, `limit 1`): a join may
# be planned to read all that an account has.
_KNOWN = """
select wanted.kind, wanted.reference_id, known.parent_id, known.is_deleted is false as exists
  from unnest($2::text[], $3::text[]) as wanted (kind, reference_id)
  left join lateral (
       select parent_id, is_deleted from crm_references
        where account_id = $1 and crm_references.kind = wanted.kind and crm_references.reference_id = wanted.reference_id
       offset 0) as known on true
 where (select true from crm_references received
         where received.account_id = $1 and received.kind = wanted.kind limit 1)
"""


async def store_references(connection: Connection, changes: Iterable[ReferenceChange]) -> None:
    """Stores changes of references, in any order and any number of times. Raises what the driver raises."""
    greatest: dict[tuple[str, str, str], ReferenceChange] = {}
    for change in changes:
        if change.prevails_over(greatest.setdefault(change.identity, change)):
            greatest[change.identity] = change
    if greatest:
        # Sorted by key, so that two workers wait for each other instead of deadlocking.
        await connection.execute(_STORE, encode_json(sorted(greatest.values(), key=attrgetter("identity"))))


async def known_references(connection: Connection, account_id: str, criteria: Iterable[Criteria]) -> KnownReferences:
    """What is known of the references that criteria name."""
    wanted = sorted({reference for one in criteria for reference in references_of(one).items()})
    if not wanted:
        return KnownReferences(received=frozenset(), parents={})
    kinds, reference_ids = zip(*wanted, strict=True)
    rows = await connection.fetch(_KNOWN, account_id, kinds, reference_ids)
    return KnownReferences(
        received=frozenset(ReferenceKind(row["kind"]) for row in rows),
        parents={(ReferenceKind(row["kind"]), row["reference_id"]): row["parent_id"] for row in rows if row["exists"]},
    )

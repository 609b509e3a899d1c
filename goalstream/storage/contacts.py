"""Families: the contacts that merges connect, with everything told about them; and the erasure of what was told by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from goalstream.domain.contacts import Contacts
from goalstream.domain.facts import ContactDeletion, ContactMerge, EnrollmentStart
from goalstream.storage.codecs import decode_json, encode_json, uuid_columns
from goalstream.storage.pool import Connection

Contact = tuple[str, str]
"""(account id, contact id)"""

ContactInWorkflow = tuple[str, str, str]
"""(account id, contact id, workflow id)"""

Enrollment = tuple[str, str]
"""(account id, enrollment id)"""


def is_told_of(alias: str) -> str:
    """SQL: whether any merge or deletion names the contact of a row (`account_id`, `contact_id`) with this alias."""
    return f"""(
       exists (select from contact_merges
                where contact_merges.account_id = {alias}.account_id and contact_merges.contact_id = {alias}.contact_id)
       or exists (select from contact_merges
                   where contact_merges.account_id = {alias}.account_id and into_contact_id = {alias}.contact_id)
       or exists (select from contact_deletions
                   where contact_deletions.account_id = {alias}.account_id
                     and contact_deletions.contact_id = {alias}.contact_id))"""


# From every contact to those that any stored merge connects with it, ignored ones included, and on from there. How many that
# are, PostgreSQL overestimates: `offset 0` keeps it from reading both tables whole for a join with them.
_FAMILIES = """
with recursive family (account_id, contact_id) as (
    select * from unnest(uuids($1), uuids($2))
    union
    select family.account_id, relative.contact_id
      from family
     cross join lateral (
           select into_contact_id as contact_id from contact_merges
            where contact_merges.account_id = family.account_id and contact_merges.contact_id = family.contact_id
            union all
           select contact_id from contact_merges
            where contact_merges.account_id = family.account_id and into_contact_id = family.contact_id) as relative
)
select family.account_id::text, family.contact_id::text, into_contact_id::text, occurred_at, source, event_id, record_at
  from family
 cross join lateral (
       select into_contact_id, occurred_at, source, event_id, record_at from contact_merges
        where contact_merges.account_id = family.account_id and contact_merges.contact_id = family.contact_id
        union all
       select null, occurred_at, source, event_id, record_at from contact_deletions
        where contact_deletions.account_id = family.account_id and contact_deletions.contact_id = family.contact_id
       offset 0) as told
"""

# Locked in the order in which matches are stored: two erasures, or an erasure and a store, wait for each other in turn.
_ERASE_MATCHES = """
with locked as materialized (
    select matches.account_id, matches.contact_id, goal_id, occurred_at, source, event_id, enrollment_id
      from unnest(uuids($1), uuids($2)) as erased (account_id, contact_id)
      join matches on matches.account_id = erased.account_id and matches.contact_id = erased.contact_id
     where matches.data is not null
     order by matches.account_id, matches.contact_id, goal_id, occurred_at, source collate "C", event_id collate "C",
              enrollment_id
       for update of matches
)
update matches set data = null
  from locked
 where matches.account_id = locked.account_id and matches.contact_id = locked.contact_id
   and matches.goal_id = locked.goal_id and matches.occurred_at = locked.occurred_at
   and matches.source = locked.source and matches.event_id = locked.event_id
   and matches.enrollment_id = locked.enrollment_id
"""

_ERASE_ACHIEVEMENTS = """
update achievements set data = null
  from unnest(uuids($1), uuids($2)) as touched (account_id, enrollment_id)
 where achievements.account_id = touched.account_id and achievements.enrollment_id = touched.enrollment_id
   and data is not null
   and (achievements.account_id, coalesce(match_contact_id, contact_id)) in (select * from unnest(uuids($3), uuids($4)))
"""

# Locked in the order in which they are taken out.
_OUTGOING = """
select outbox.account_id::text, message_id::text, body
  from unnest(uuids($1), string_to_array($2, ',')) as family (account_id, contact_id)
  join outbox on outbox.account_id = family.account_id and outbox.subject = family.contact_id
 order by outbox.account_id, message_id
   for update of outbox
"""

_REWRITE = """
update outbox set body = rewritten.body
  from unnest($1::uuid[], $2::uuid[], $3::text[]) as rewritten (account_id, message_id, body)
 where outbox.account_id = rewritten.account_id and outbox.message_id = rewritten.message_id
"""

# In the order of their key, as everybody locks them who locks several.
_DELIVERIES = """
select webhook_deliveries.account_id::text, webhook_id::text, message_id::text, body
  from unnest(uuids($1), uuids($2)) as family (account_id, contact_id)
  join webhook_deliveries on webhook_deliveries.account_id = family.account_id
   and webhook_deliveries.contact_id = family.contact_id
 order by webhook_deliveries.account_id, webhook_id, message_id
   for update of webhook_deliveries
"""

_REWRITE_DELIVERIES = """
update webhook_deliveries set body = rewritten.body
  from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) as rewritten (account_id, webhook_id, message_id, body)
 where webhook_deliveries.account_id = rewritten.account_id and webhook_deliveries.webhook_id = rewritten.webhook_id
   and webhook_deliveries.message_id = rewritten.message_id
"""

# An endpoint may answer with what it was sent.
_ERASE_ANSWERS = """
update webhook_attempts set answer = null
  from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as erased (account_id, webhook_id, message_id)
 where webhook_attempts.account_id = erased.account_id and webhook_attempts.webhook_id = erased.webhook_id
   and webhook_attempts.message_id = erased.message_id and answer is not null
"""


class Families:
    """Contacts and all that is told about them and their relatives."""

    def __init__(self, facts: Iterable[ContactMerge | ContactDeletion] = ()) -> None:
        self._family_of: dict[Contact, set[str]] = {}
        self._facts: dict[Contact, list[ContactMerge | ContactDeletion]] = defaultdict(list)
        for fact in facts:
            self._facts[fact.account_id, fact.contact_id].append(fact)
            if isinstance(fact, ContactMerge):
                self._unite(fact.account_id, fact.contact_id, fact.into_contact_id)
        self.erased = self._erased()
        """The contacts whose personal data must not be kept."""

    def members(self, contact: Contact) -> set[str]:
        """The contact and its relatives."""
        return self._family_of.get(contact, {contact[1]})

    def same_person(self, contact: Contact) -> set[str]:
        """All ids that stand for the same contact as this one, after every merge that is known."""
        contacts = Contacts(self.facts_of(contact))
        survivor = contacts.survivor(contact[1])
        return {member for member in self.members(contact) if contacts.survivor(member) == survivor}

    def facts_of(self, contact: Contact) -> list[ContactMerge | ContactDeletion]:
        """Every merge and deletion of the contact and of its relatives."""
        return [fact for member in self.members(contact) for fact in self._facts.get((contact[0], member), ())]

    def facts_about(self, starts: Iterable[EnrollmentStart]) -> Sequence[ContactMerge | ContactDeletion]:
        """Every merge and deletion of the contacts that starts name, and of their relatives."""
        if not self._facts:
            return ()
        named = {(start.account_id, start.contact_id) for start in starts}
        members = {(contact[0], member) for contact in named for member in self.members(contact)}
        return [fact for member in members for fact in self._facts.get(member, ())]

    def _erased(self) -> set[Contact]:
        by_account: dict[str, list[ContactMerge | ContactDeletion]] = defaultdict(list)
        for (account_id, _), facts in self._facts.items():
            by_account[account_id] += facts
        return {(account_id, gone) for account_id, facts in by_account.items() for gone in Contacts(facts).erased}

    def _unite(self, account_id: str, *contact_ids: str) -> None:
        family = set().union(*(self.members((account_id, contact_id)) for contact_id in contact_ids))
        for contact_id in family:
            self._family_of[account_id, contact_id] = family


async def read_families(connection: Connection, contacts: Collection[Contact]) -> Families:
    """The families of contacts; nearly always nothing is told about any of them."""
    if not contacts:
        return Families()
    facts: list[ContactMerge | ContactDeletion] = []
    for row in await connection.fetch(_FAMILIES, *uuid_columns(contacts, 2)):
        said: dict[str, Any] = dict(row)
        into_contact_id = said.pop("into_contact_id")
        is_merge = into_contact_id is not None
        facts.append(ContactMerge(into_contact_id=into_contact_id, **said) if is_merge else ContactDeletion(**said))
    return Families(facts)


async def erase_matches(connection: Connection, erased: Collection[Contact]) -> None:
    """Takes the personal data out of the matches of erased contacts, whoever they may count for."""
    await connection.execute(_ERASE_MATCHES, *uuid_columns(erased, 2))


async def erase_recorded(connection: Connection, locked: Sequence[Enrollment], families: Families) -> None:
    """Takes the personal data of erased contacts out of the achievements of locked enrollments, of their messages,
    and of deliveries of these."""
    erased = families.erased
    await connection.execute(_ERASE_ACHIEVEMENTS, *uuid_columns(locked, 2), *uuid_columns(erased, 2))
    await _erase_bodies(connection, _OUTGOING, _REWRITE, families)
    await erase_deliveries(connection, families)


async def erase_deliveries(connection: Connection, families: Families) -> None:
    """Takes the personal data of erased contacts out of what webhooks are sent, or were, and what they have answered to that."""
    if rewritten := await _erase_bodies(connection, _DELIVERIES, _REWRITE_DELIVERIES, families):
        await erase_answers(connection, rewritten)


async def erase_answers(connection: Connection, deliveries: Sequence[Sequence[str]]) -> None:
    """Takes out what endpoints have answered to deliveries: account id, webhook id and message id of each."""
    await connection.execute(_ERASE_ANSWERS, *map(list, zip(*deliveries, strict=True)))


async def _erase_bodies(connection: Connection, find: str, rewrite: str, families: Families) -> Sequence[Sequence[str]]:
    """The keys of what has another body now."""
    erased = families.erased
    subjects = {(account_id, one) for account_id, gone in erased for one in families.members((account_id, gone))}
    rewritten = []
    for *key, body in await connection.fetch(find, *uuid_columns(subjects, 2)):
        document = decode_json(body)
        event = document.get("trigger_event", {})
        if (data := event.get("data")) is not None and (key[0], _contact_of(data)) in erased:
            event["data"] = None
            rewritten.append((*key, encode_json(document)))
    if rewritten:
        await connection.execute(rewrite, *map(list, zip(*rewritten, strict=True)))
    return [key for *key, _ in rewritten]


def _contact_of(data: Any) -> str:
    """Whose data a trigger event's is: events name their contact, in either case."""
    return str(data.get("contact_id")).lower() if isinstance(data, dict) else ""

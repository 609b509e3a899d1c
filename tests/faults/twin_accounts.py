"""Two accounts that have the same ids everywhere, and each its own mark on everything that it owns."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from goalstream.domain.access import SECRET_BYTES, ApiKey, Scope, make_api_key
from goalstream.domain.goals import TagCriteria
from goalstream.domain.signing import Scheme, SigningSecret, make_secret
from goalstream.storage.hook_calls import KnownCall, keep_call
from goalstream.storage.hooks import HookBook
from goalstream.storage.pool import Database
from goalstream.storage.sealing import Seal
from tests.conftest import ENCRYPTION_KEYS
from tests.integration.builders import World, new_id

TABLES = """
select relation.relname from pg_class as relation
  join pg_attribute as attribute on attribute.attrelid = relation.oid and attribute.attname = 'account_id'
 where relation.relnamespace = current_schema()::regnamespace and relation.relkind in ('r', 'p')
 order by 1
"""
"""Those in which accounts have rows."""

_RENAME = "update {table} set goal_id = $1 where account_id = $2 and goal_id = $3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """One account. What it has in the shared workflow the other has too, with the very ids; the own workflow is its alone."""

    mark: str
    enrolled: int
    account_id: str
    shared_workflow: str
    shared_goal: str
    own_workflow: str
    own_goal: str
    contact_id: str
    """A webhook has the id of each workflow, and a delivery to it that of the goal."""

    key: ApiKey
    """Open to all that the API has; the other's has the same id."""

    revoked_key: ApiKey
    expired_key: ApiKey


async def twins(database: Database) -> tuple[Twin, Twin]:
    """Both, with goals, enrollments and achievements; one has more of them, by which their numbers are known apart."""
    left = World(database)
    right = replace(left, account_id=new_id(), goals=[])
    others, goal_id, rest = [new_id() for _ in range(4)], new_id(), [new_id() for _ in range(6)]
    return (
        await _twin(left, "lefts-own", others[:2], goal_id, rest),
        await _twin(right, "rights-own", others, goal_id, rest),
    )


async def _twin(world: World, mark: str, others: list[str], goal_id: str, rest: list[str]) -> Twin:
    shared_goal = await world.add_goal(TagCriteria(tag_name=mark))
    await _give_id(world.database, world.account_id, shared_goal.goal_id, goal_id)
    alone = World(world.database, account_id=world.account_id)
    own_goal = await alone.add_goal(TagCriteria(tag_name=f"{mark} too"))
    data = json.dumps({"contact_id": world.contact_id, "tag_name": mark})
    await world.tell(
        world.start(),
        *(world.start(enrollment_id=one, event_id=f"start {one}") for one in others),
        world.status("active", "any", name=f"{mark} workflow"),
        world.match(shared_goal, goal_id=goal_id, data=data),
        world.reference("tag", "tag-1", name=mark),
        world.end(enrollment_id=others[0], reason=mark),
        world.merge(rest[0], rest[1]),
        world.deletion(rest[2]),
        alone.start(),
        alone.match(own_goal, data=data),
    )
    for hook_id in (world.workflow_id, alone.workflow_id):
        await _hook(world, mark, hook_id)
    await _subscribe(world, mark, world.workflow_id, goal_id)
    await _subscribe(world, mark, alone.workflow_id, own_goal.goal_id)
    return Twin(
        mark=mark,
        enrolled=1 + len(others),
        account_id=world.account_id,
        shared_workflow=world.workflow_id,
        shared_goal=goal_id,
        own_workflow=alone.workflow_id,
        own_goal=own_goal.goal_id,
        contact_id=world.contact_id,
        key=await _key(world, mark, rest[3]),
        revoked_key=await _key(world, mark, rest[4], column="revoked_at"),
        expired_key=await _key(world, mark, rest[5], column="expires_at"),
    )


async def _subscribe(world: World, mark: str, webhook_id: str, message_id: str) -> None:
    """A webhook, and a delivery to it that has failed for ever."""
    secret = SigningSecret(text=make_secret(secrets.token_bytes(32)), added_at=world.now)
    sealed = Seal(ENCRYPTION_KEYS).seal(f"webhook {webhook_id}", [secret])
    async with world.database.transaction() as connection:
        await connection.execute(
            """insert into webhooks (account_id, webhook_id, url, description, topics, secrets, is_paused, version, created_at,
                                     created_by, updated_at, updated_by)
               values ($1, $2, $3, $4, '{workflow.exit.goal}', $5, false, 1, $6, 'test', $6, 'test')""",
            *(world.account_id, webhook_id, f"https://{mark}.example/", mark, sealed, world.now),
        )
        await connection.execute(
            """insert into webhook_deliveries (account_id, webhook_id, message_id, topic, occurred_at, body, state, attempts,
                                               created_at, give_up_at, ended_at)
               values ($1, $2, $3, $4, $5, '{}', 'parked', 1, $5, $5, $5)""",
            *(world.account_id, webhook_id, message_id, f"{mark}.topic", world.now),
        )
        await connection.execute(
            "insert into webhook_attempts values ($1, $2, $3, $4, $5, '{}', 0.1, 500, 'answers 500', $5)",
            *(world.account_id, webhook_id, message_id, world.now, mark),
        )


async def _key(world: World, mark: str, key_id: str, *, column: str = "last_used_at") -> ApiKey:
    """A key with this id; since now it is used (which is noted only once a minute), or revoked, or has expired."""
    key = make_api_key(world.account_id, key_id, secrets.token_urlsafe(SECRET_BYTES))
    async with world.database.transaction() as connection:
        await connection.execute(
            f"""insert into api_keys (account_id, key_id, digest, name, scopes, created_at, created_by, {column})
                values ($1, $2, $3, $4, $5, clock_timestamp(), 'test', clock_timestamp())""",
            key.account_id,
            key.key_id,
            key.digest,
            mark,
            [scope for scope in Scope if scope is not Scope.OPERATOR],
        )
    return key


async def _hook(world: World, mark: str, hook_id: str) -> None:
    """A hook that was called once; its id is that of a workflow, by which it is one that both have, or one of its own."""
    book = HookBook(world.database, account_id=world.account_id, seal=Seal(ENCRYPTION_KEYS))
    mapping = json.dumps({"events": [{"event_type": "form.submitted", "data": {"form_id": f"'{mark}'"}}]})
    hook = await book.create(
        hook_id, name=mark, scheme=Scheme.STRIPE, mapping=mapping, secret=hook_secret(mark), actor="test"
    )
    async with world.database.transaction() as connection:
        known = KnownCall(signature=bytes(32), status=202, answer=json.dumps({"accepted": 0, "events": []}))
        await keep_call(connection, hook, mark, known)


def hook_secret(mark: str) -> str:
    """What calls of a twin's hooks are signed with."""
    return f"the secret of {mark}"


async def _give_id(database: Database, account_id: str, goal_id: str, new: str) -> None:
    async with database.transaction() as connection:
        for table in ("goals", "goal_versions", "audit"):
            await connection.execute(_RENAME.format(table=table), new, account_id, goal_id)


async def everything(database: Database) -> dict[str, list[Mapping[str, Any]]]:
    """All rows of all accounts, by table; without when a key was last used, since whoever uses it changes that."""
    async with database.transaction() as connection:
        names = [row["relname"] for row in await connection.fetch(TABLES)]
        return {
            name: [
                {column: said for column, said in row.items() if column != "last_used_at"}
                for row in await connection.fetch(f"select * from {name} as row order by row::text")
            ]
            for name in names
        }

"""Every SQL statement of storage by its name, something that executes all of them, and what their plans read."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from asyncpg.prepared_stmt import PreparedStatement
from cryptography.fernet import Fernet

import goalstream.storage
from goalstream.detection import GoalAchievementService, GoalDetectionService, Storage
from goalstream.domain.access import Scope
from goalstream.domain.facts import Fact
from goalstream.domain.goals import FormCriteria, GoalType, GoalVersion
from goalstream.domain.messages import EncodedMessage
from goalstream.domain.signing import OVERLAP, Scheme, make_secret
from goalstream.domain.webhooks import WEBHOOK_TOPICS
from goalstream.errors import NotEligible
from goalstream.storage import hook_calls
from goalstream.storage.activation import check_activation
from goalstream.storage.api_keys import KeyBook, note_use
from goalstream.storage.api_keys import look_up as look_up_key
from goalstream.storage.cleaning import Cleaner
from goalstream.storage.cohorts import Cohort
from goalstream.storage.deliverers import Attempt, DeliveryQueue, PublishedMessage
from goalstream.storage.delivery_log import DeliveryKey, DeliveryLog
from goalstream.storage.feed import Feed, FeedFilter
from goalstream.storage.goal_changes import changes_since
from goalstream.storage.history import AuditKind, audit, goal_versions
from goalstream.storage.hook_calls import KnownCall, calls, find_call, keep_call, look_up
from goalstream.storage.hooks import HookBook
from goalstream.storage.idempotency import KeptAnswer, claim, find_answer, keep_answer
from goalstream.storage.listings import (
    AchievementKey,
    Wanted,
    achievements_of_contact,
    achievements_of_workflow,
    workflows,
)
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Connection, Database
from goalstream.storage.roll_up import RollUp
from goalstream.storage.sealing import Seal
from goalstream.storage.stats import statistics
from goalstream.storage.webhooks import WebhookBook
from goalstream.storage.why import Key, explanation, timeline
from goalstream.webhooks.dispatcher import PORTION_BYTES
from tests.conftest import ENCRYPTION_KEYS
from tests.integration.builders import LATENESS, World

FOR_PERSONS = {"checkup", "migrate"}
"""Modules whose statements a person waits for: each is executed once, on a connection of its own."""

_STATEMENT = re.compile(r"\s*(update\s|(select|insert|delete|with)\s.*\b(from|into|update)\s)", re.DOTALL)
"""What reads or writes a table."""


def statements() -> dict[str, str]:
    """The text of every statement in storage, by `module.CONSTANT`, or `module.function` where a function holds it.

    Among them parts that others are composed of, where these could be statements as well.
    """
    found: dict[str, str] = {}
    for module in _modules():
        room = module.__name__.rpartition(".")[2]
        texts = [(name, text) for name, text in vars(module).items() if isinstance(text, str)]
        for name, text in [*texts, *_literals(module)]:
            if _STATEMENT.match(text):
                assert found.setdefault(f"{room}.{name}", text) == text, f"{room}.{name} holds more than one statement"
    return found


def _modules() -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(goalstream.storage.__path__):
        if module.name not in FOR_PERSONS:
            yield importlib.import_module(f"goalstream.storage.{module.name}")


def _literals(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The texts that functions hold: the function's name, and the text."""
    for function in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield function.name, node.value


@dataclass
class Recorder:
    """Writes down what connections execute that are opened after `listen`, with the values of the last time."""

    values: dict[str, Sequence[Any]] = field(default_factory=dict)

    def listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        create_pool = asyncpg.create_pool

        async def begin(connection: asyncpg.Connection[Any]) -> None:
            connection.add_query_logger(self._write_down)

        def create_pool_that_listens(*args: Any, **options: Any) -> Any:
            return create_pool(*args, **(options | {"init": begin}))

        monkeypatch.setattr(asyncpg, "create_pool", create_pool_that_listens)

    async def _write_down(self, logged: Any) -> None:
        if _STATEMENT.match(logged.query):
            self.values[logged.query] = logged.args


async def execute_all(
    world: World, api: Database, goals: Sequence[GoalVersion], people: Sequence[tuple[str, str]]
) -> None:
    """Has every statement executed, about people who enter a workflow of two goals: ids of contacts and enrollments."""
    contacts = [contact for contact, _ in people]
    starts: list[Fact] = [world.start(contact_id=contact, enrollment_id=enrollment) for contact, enrollment in people]
    await world.tell(*starts, *(world.reference("form", f"form-{number}") for number in range(3)))
    await world.tell(*(world.match(goals[0], contact_id=one, data=f'{{"contact_id":"{one}"}}') for one in contacts))
    await _configure(world)
    await world.tell(world.merge(contacts[0], contacts[1]), world.deletion(contacts[1]))
    await _sweep(world.database)
    await world.tell(world.status("inactive", occurred_at=world.now - timedelta(hours=2)))
    await world.tell(*(world.end(enrollment_id=enrollment) for _, enrollment in people))
    await _ask(api, world)
    await _list(api, world, people[3][0])
    await _call(api, world, goals[1], *people[2])
    await _open_with_keys(api, world)
    await _subscribe(api, world, contacts[1])
    await _repeat(api, world)
    await _receive(api, world)
    await _clean(world)


async def _receive(api: Database, world: World) -> None:
    """Hooks are called: one that stays, and one that is deleted."""
    seal = Seal(ENCRYPTION_KEYS)
    book = HookBook(api, account_id=world.account_id, seal=seal)
    kept, deleted = str(uuid4()), str(uuid4())
    for hook_id in (deleted, kept):
        await book.create(hook_id, name="Shop", scheme=Scheme.STRIPE, mapping="{}", secret="a secret", actor="ada")
    await book.delete(deleted, expected_version=1, actor="ada")
    await book.hooks()
    await book.change(kept, {"name": "Store"}, expected_version=1, actor="ada")
    hook = await book.get(kept)
    await look_up(api, world.account_id, kept, seal)
    known = KnownCall(signature=bytes(32), status=202, answer="{}")
    async with api.transaction(world.account_id) as connection:
        assert await hook_calls.claim(connection, kept, "call-1")
        await find_call(connection, hook, "call-1")
        await keep_call(connection, hook, "call-1", known)
    await calls(api, world.account_id, kept, limit=10, before=None)


async def _repeat(api: Database, world: World) -> None:
    answer = KeptAnswer(fingerprint=bytes(32), status=201, headers={"etag": '"1"'}, body=b"{}")
    async with api.transaction(world.account_id) as connection:
        assert await claim(connection, world.account_id, "request-1")
        await find_answer(connection, world.account_id, "request-1")
        await keep_answer(connection, world.account_id, "request-1", answer)


async def _open_with_keys(api: Database, world: World) -> None:
    book = KeyBook(world.database)
    key, _ = await book.create(world.account_id, name="shop", scopes=[Scope.GOALS_READ], expires_in=None, actor="ada")
    await book.keys(world.account_id)
    await look_up_key(api, key)
    await note_use(api, key)
    await book.revoke(key.key_id, actor="ada")


async def _subscribe(api: Database, world: World, deleted: str) -> None:
    """Webhooks, and deliveries to them, one of them about a contact that is deleted."""
    book = WebhookBook(api, account_id=world.account_id, seal=Seal(Fernet.generate_key().decode()))
    ids = [await _webhook(book) for _ in range(2)]
    await book.webhooks()
    await book.get(ids[0])
    await book.change(ids[0], {"description": "our shop"}, expected_version=1, actor="ada")
    await book.rotate(ids[0], make_secret(bytes(32)), overlap=OVERLAP, actor="ada")
    await book.delete(ids[1], expected_version=1, actor="ada")
    log = DeliveryLog(api, account_id=world.account_id, webhook_id=ids[0])
    message_id = (await log.send_test("ada"))["message_id"]
    after = DeliveryKey(world.now + timedelta(hours=1), message_id)
    await log.page(state=None, limit=10, after=after)
    await log.page(state="parked", limit=10, after=after)
    await log.show(message_id)
    await log.redrive(message_id, actor="ada")
    await log.redrive_parked(actor="ada")
    await _deliver(world, deleted)


async def _deliver(world: World, contact_id: str) -> None:
    """A message is stored and sent, once in vain; then the endpoint is gone."""
    queue, published = DeliveryQueue(world.database), datetime.now(UTC)
    message = EncodedMessage(
        topic=WEBHOOK_TOPICS[0],
        message_id=str(uuid4()),
        account_id=world.account_id,
        subject=contact_id,
        time=published,
        body=f'{{"trigger_event": {{"data": {{"contact_id": "{contact_id}"}}}}}}',
        traceparent=None,
    )
    await queue.store([PublishedMessage(message=message, contact_id=contact_id, published_at=published)])
    await queue.backlog()
    lease = await queue.lease(str(uuid4()), seconds=60, without=[])
    assert lease is not None
    [delivery, *_] = await queue.due(lease, 10, most_bytes=PORTION_BYTES)
    for status in (500, 410):
        attempt = Attempt(url=lease.url, headers={}, duration_seconds=0.1, status=status, error="in vain", answer=None)
        await queue.note(lease, delivery, attempt, delay_seconds=1)
    await queue.release(lease, failures_in_a_row=2)


async def _webhook(book: WebhookBook) -> str:
    secret = make_secret(bytes(32))
    made = await book.create(
        url="https://a.example/", description="", topics=WEBHOOK_TOPICS, secret=secret, actor="ada"
    )
    return made.webhook_id


async def _configure(world: World) -> None:
    book, workflow = world.book, world.workflow_id
    goal = await book.create(
        workflow,
        goal_type=GoalType.FORM_SUBMITTED,
        criteria=FormCriteria(form_id="form-1"),
        window=None,
        measure_after_exit=timedelta(0),
        actor="ada",
    )
    goal_id = goal.version.goal_id
    await book.change(workflow, goal_id, {"is_active": False}, expected_version=None, actor="ada")
    await book.page(workflow, limit=1, after=(goal.version.created_at, goal_id))
    await check_activation(world.database, world.account_id, workflow)
    await goal_versions(world.database, world.account_id, workflow, goal_id, limit=10, before=2)
    await book.delete(workflow, goal_id, expected_version=None, actor="ada")
    await changes_since(world.database, 0)


async def _sweep(worker: Database) -> None:
    """Some of the messages are published, some are too large."""
    outbox = Outbox(worker)
    await outbox.depth()
    async with outbox.due(1_000) as due:
        assert len(due.messages) > 1
        half = len(due.messages) // 2
        due.acknowledged, due.too_large = due.messages[:half], due.messages[half:]


async def _ask(api: Database, world: World) -> None:
    """Twice: counted live, and from what was rolled up."""
    cohort = Cohort(workflow_id=world.workflow_id, start=world.now - timedelta(days=30), end=world.now)
    rollup = RollUp(world.database, live_enrollments=0)
    await rollup.refresh()
    await rollup.as_of()
    for live_enrollments in (0, 1_000_000):
        await statistics(
            api,
            world.account_id,
            cohort,
            granularity="day",
            tz="Europe/Berlin",
            live_enrollments=live_enrollments,
        )


async def _list(api: Database, world: World, contact_id: str) -> None:
    account_id, moment = world.account_id, world.now
    for beginning in (None, 0):
        await Feed(
            database=api,
            account_id=account_id,
            wanted=FeedFilter(workflow_id=world.workflow_id, actions=["achieved"]),
            after=beginning,
            most_entries=1,
        ).look()
    await workflows(api, account_id, limit=3, after=None)
    kinds: tuple[AuditKind | None, ...] = (None, "configuration", "achievements")
    for kind in kinds:
        await audit(api, account_id, world.workflow_id, kind=kind, limit=10, before=1 << 40)
    wanted = Wanted(
        goal_id=world.goals[0].goal_id,
        goal_type="tag_added",
        start=moment - timedelta(days=30),
        end=moment,
        include_revoked=True,
    )
    after = AchievementKey(moment, world.enrollment_id, world.goals[0].goal_id)
    await achievements_of_workflow(api, account_id, world.workflow_id, wanted, limit=10, after=after)
    await achievements_of_contact(api, account_id, contact_id, wanted, limit=10, after=after)
    key = Key(moment, "")
    goal_id = world.goals[0].goal_id
    await explanation(api, account_id, contact_id, goal_id, allowed_lateness=LATENESS, limit=10, after=key)
    await timeline(api, account_id, contact_id, world.workflow_id, allowed_lateness=LATENESS, limit=10, after=key)


async def _call(api: Database, world: World, goal: GoalVersion, contact_id: str, enrollment_id: str) -> None:
    """The platform's own code asks, and records what is refused."""
    storage = Storage(database=api, allowed_lateness=LATENESS)
    ids: dict[str, Any] = {
        "account_id": world.account_id,
        "workflow_id": world.workflow_id,
        "contact_id": contact_id,
    }
    await GoalDetectionService(storage).evaluate_event(
        **ids, event_type="contact.tag.added", event_data={"tag_name": "tag-0"}
    )
    with pytest.raises(NotEligible):
        await GoalAchievementService(storage).record_achievement(
            **ids,
            workflow_enrollment_id=enrollment_id,
            goal_config_id=goal.goal_id,
            goal_type=goal.goal_type,
            trigger_event={"event_id": "api-1"},
        )


async def _clean(world: World) -> None:
    cleaner, long_ago = Cleaner(world.database), world.now - timedelta(days=730)
    await cleaner.delete_matches(long_ago)
    await cleaner.remove_enrollments(long_ago)
    await cleaner.delete_audit(long_ago)
    await cleaner.delete_answers(long_ago)
    await cleaner.delete_calls(long_ago)
    await cleaner.delete_deliveries(long_ago)
    await cleaner.delete_attempts(long_ago)


async def what_values_make_it_read(connection: Connection, text: str, values: Sequence[Any]) -> set[str]:
    """What the plan for these values reads, as `_read` tells it."""
    plan = await connection.fetchval(f"explain (format json) {text}", *values)
    return set(_read(json.loads(plan)[0]["Plan"]))


class Prepared:
    """Statements that one connection has prepared, each with the plan for any values, which is made once and kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statements: dict[str, PreparedStatement[Any]] = {}

    async def prepare(self, texts: Mapping[str, str]) -> None:
        await self._connection.execute("set plan_cache_mode = force_generic_plan")
        self._statements = {name: await self._connection.prepare(text) for name, text in texts.items()}

    async def what_they_read(self) -> dict[str, set[str]]:
        """What each plan reads, as `_read` tells it."""
        found = {}
        for name, statement in self._statements.items():
            values = ", ".join("null" for _ in statement.get_parameters())
            call = f"{statement.get_name()}({values})" if values else statement.get_name()
            plan = await self._connection.fetchval(f"explain (format json) execute {call}")
            found[name] = set(_read(json.loads(plan)[0]["Plan"]))
        return found


def _read(node: Mapping[str, Any]) -> Iterator[str]:
    """Indexes, each with the columns that it is searched by; `all of` a table that is read whole."""
    if "Index Name" in node:
        yield f"{node['Index Name']}({', '.join(_columns(node.get('Index Cond', '')))})"
    elif node["Node Type"] == "Seq Scan":
        yield f"all of {node['Relation Name']}"
    for child in node.get("Plans", ()):
        yield from _read(child)


def _columns(condition: str) -> list[str]:
    """The columns at the left of comparisons, as `(a = $1) AND (ROW(b, c) > ROW($2, $3))` writes them."""
    lists = re.findall(r"\((?:ROW\()?(\w+(?:, \w+)*)\)? (?:=|<|<=|>|>=) ", condition)
    return list(dict.fromkeys(column for names in lists for column in names.split(", ")))

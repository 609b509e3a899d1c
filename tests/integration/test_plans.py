"""Plans: which index every statement goes through, whatever the tables hold when its plan is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from goalstream.storage.pool import Database
from tests.integration import large_database
from tests.integration.builders import World, new_id
from tests.integration.statements import Prepared, Recorder, execute_all, statements, what_values_make_it_read

_TOLD_OF = {
    "contact_merges_pkey(account_id, contact_id)",
    "contact_merges_into(account_id, into_contact_id)",
    "contact_deletions_pkey(account_id, contact_id)",
}

_COUNTED = {
    "enrollments_of_workflow(account_id, workflow_id, entered_at)",
    "achievements_pkey(account_id, enrollment_id)",
}

_ROLLUPS = {"rollups_pkey(account_id, workflow_id)", "rollups_pkey()"}

READ: dict[str, set[str]] = {
    "achievements._ACHIEVED_BY": {"achievements_pkey(account_id, enrollment_id, goal_id)"},
    "achievements._READ": {"achievements_pkey(account_id, enrollment_id)"},
    "achievements._WRITE": set(),
    "api_keys._INSERT": set(),
    # Of one account or of all: operators look at them, and they are few.
    "api_keys._LIST": {"api_keys_pkey(account_id)", "all of api_keys"},
    "api_keys._LOCK": {"api_keys_pkey(key_id)"},
    "api_keys._LOOK_UP": {"api_keys_pkey(account_id, key_id)"},
    "api_keys._NOTE_USE": {"api_keys_pkey(account_id, key_id)"},
    "api_keys._REVOKE": {"api_keys_pkey(account_id, key_id)"},
    "audit._INSERT": set(),
    "cleaning._DELETE_ANSWERS": {"idempotency_keys_by_time(answered_at)"},
    "cleaning._DELETE_ATTEMPTS": {"webhook_attempts_by_time(at)"},
    "cleaning._DELETE_AUDIT": {"audit_by_time(at)"},
    "cleaning._DELETE_CALLS": {"hook_calls_by_time(received_at)"},
    "cleaning._DELETE_DELIVERIES": {"webhook_deliveries_by_time(created_at)"},
    "cleaning._DELETE_MATCHES": {"matches_by_record(record_at)"},
    "cleaning._REMOVE_ENROLLMENTS": {
        "enrollments_by_end(ended_at)",
        "enrollments_pkey(account_id, enrollment_id)",
        "enrollment_starts_pkey(account_id, enrollment_id)",
        "enrollment_ends_pkey(account_id, enrollment_id)",
        "achievements_pkey(account_id, enrollment_id)",
    },
    # Endpoints are few: twenty for an account at the most.
    "deliverers._BACKLOG": {"webhooks_by_due(due_at)"},
    "deliverers._DUE": {"webhook_deliveries_by_due(account_id, webhook_id, next_attempt_at)"},
    "deliverers._LEASE": {"webhooks_by_due(due_at)", "webhooks_pkey(account_id, webhook_id)"},
    "deliverers._LOCK": {"webhooks_pkey(account_id, webhook_id)"},
    "deliverers._MAKE_DUE": {"webhooks_pkey(account_id, webhook_id)"},
    "deliverers._NOTE": {"webhook_deliveries_pkey(account_id, webhook_id, message_id)"},
    "deliverers._PAUSE": {"webhooks_pkey(account_id, webhook_id)"},
    "deliverers._RELEASE": {
        "webhooks_pkey(account_id, webhook_id)",
        "webhook_deliveries_by_due(account_id, webhook_id)",
        "webhook_deliveries_by_due(account_id, webhook_id, next_attempt_at)",
    },
    "deliverers._STORE": {"webhooks_pkey(account_id)"},
    "delivery_log._ALL": {
        "webhook_deliveries_log(account_id, webhook_id, created_at, message_id)",
        "webhook_deliveries_pkey(account_id, webhook_id)",
    },
    "delivery_log._ATTEMPTS": {"webhook_attempts_pkey(account_id, webhook_id, message_id)"},
    "delivery_log._EXISTS": {"webhooks_pkey(account_id, webhook_id)"},
    "delivery_log._INSERT_TEST": set(),
    "delivery_log._MAKE_DUE": {"webhooks_pkey(account_id, webhook_id)"},
    "delivery_log._OF_STATE": {
        "webhook_deliveries_log_of_state(state, account_id, webhook_id, created_at, message_id)"
    },
    "delivery_log._OLDEST_PARKED": {"webhook_deliveries_log_of_state(state, account_id, webhook_id)"},
    "delivery_log._ONE": {"webhook_deliveries_pkey(account_id, webhook_id, message_id)"},
    "delivery_log._PARKED": {"webhook_deliveries_log_of_state(state, account_id, webhook_id)"},
    "delivery_log._REDRIVE": {"webhook_deliveries_pkey(account_id, webhook_id, message_id)"},
    "delivery_log._REDRIVE_PARKED": {"webhook_deliveries_pkey(account_id, webhook_id, message_id)"},
    # Which of the two it begins with depends on how many there are of each.
    "feed._COUNT": {"audit_pkey(account_id, entry_id)", "audit_of_workflow(account_id, workflow_id, entry_id)"},
    "feed._ENTRIES": {"audit_pkey(account_id, entry_id)", "audit_of_workflow(account_id, workflow_id, entry_id)"},
    "feed._LOOK": {"audit_pkey(account_id)"},
    "cohorts._ACHIEVED": {
        "enrollments_of_workflow(account_id, workflow_id, entered_at)",
        "enrollments_pkey(account_id, enrollment_id)",
        "achievements_pkey(account_id, enrollment_id)",
        "achievements_of_workflow(workflow_id, account_id)",
    },
    "cohorts._ROLLED_UP": _COUNTED | {"rollup_spans_pkey(account_id, workflow_id, level, starts_at)"},
    "cohorts._ROLLED_UP_SERIES": {
        "rollup_spans_pkey(account_id, workflow_id, level, starts_at)",
        "enrollments_of_workflow(account_id, workflow_id, entered_at)",
    },
    "cohorts._SERIES": {"enrollments_of_workflow(account_id, workflow_id, entered_at)"},
    "cohorts._TOTALS": {"enrollments_of_workflow(account_id, workflow_id, entered_at)"},
    "contacts._ERASE_ACHIEVEMENTS": {"achievements_pkey(account_id, enrollment_id)"},
    "contacts._ERASE_ANSWERS": {"webhook_attempts_pkey(account_id, webhook_id, message_id)"},
    "contacts._ERASE_MATCHES": {
        "matches_pkey(account_id, contact_id)",
        "matches_pkey(account_id, contact_id, goal_id, occurred_at, source, event_id, enrollment_id)",
    },
    "contacts._FAMILIES": _TOLD_OF,
    # An account's messages that are not published yet are few, and erasures rare: not worth an index on every message.
    "contacts._DELIVERIES": {"webhook_deliveries_of_contact(account_id, contact_id)"},
    "contacts._REWRITE_DELIVERIES": {"webhook_deliveries_pkey(account_id, webhook_id, message_id)"},
    "contacts._OUTGOING": {"outbox_pkey(account_id)"},
    "contacts._REWRITE": {"outbox_pkey(account_id, message_id)"},
    "enrollments._ENDS": {"enrollment_ends_pkey(account_id, enrollment_id)"},
    "enrollments._GOAL_VERSIONS": {"goal_versions_of_workflow(workflow_id, account_id)"},
    "enrollments._LOCK": {"enrollments_pkey(account_id, enrollment_id)"},
    "enrollments._MATCHES": {"matches_pkey(account_id, contact_id)"},
    "enrollments._ROWS": {"enrollments_pkey(account_id, enrollment_id)"},
    "enrollments._STARTS": {"enrollment_starts_pkey(account_id, enrollment_id)"} | _TOLD_OF,
    "enrollments._STATUSES": {"workflow_statuses_pkey(account_id, workflow_id)"},
    "facts._STORE_DELETIONS": set(),
    "facts._STORE_ENDED_ENROLLMENTS": set(),
    "facts._STORE_ENDS": set(),
    "facts._STORE_MATCHES": set(),
    "facts._STORE_MERGES": set(),
    "facts._STORE_STARTED_ENROLLMENTS": set(),
    "facts._STORE_STARTS": set(),
    "facts._STORE_STATUSES": set(),
    "goal_changes._CHANGES": {"goal_versions_by_change(change_id)"},
    "goal_versions._INSERT_AUDIT": set(),
    "goal_versions._INSERT_GOAL": set(),
    "goal_versions._INSERT_VERSION": set(),
    "goal_versions._NEWEST": {
        "goals_of_workflow(account_id, workflow_id)",
        "goals_of_workflow(account_id, workflow_id, created_at, goal_id)",
        "goals_same_criteria(account_id, workflow_id)",
        "goal_versions_pkey(account_id, goal_id, version)",
    },
    "goal_versions._UPDATE_GOAL": {"goals_pkey(account_id, goal_id)"},
    "goals.page": {"goals_of_workflow(account_id, workflow_id)", "goals_same_criteria(account_id, workflow_id)"},
    "history._AUDIT": {"audit_of_workflow(account_id, workflow_id, entry_id)"},
    "history._AUDIT_OF_ACHIEVEMENTS": {"audit_of_workflow(account_id, workflow_id, entry_id)"},
    "history._AUDIT_OF_CONFIGURATION": {"audit_of_configuration(account_id, workflow_id, entry_id)"},
    "history._CREATED": {"goals_pkey(account_id, goal_id)"},
    "history._VERSIONS": {"goal_versions_pkey(account_id, goal_id, version)"},
    "hook_calls._FIND": {"hook_calls_pkey(account_id, hook_id, call_id)"},
    "hook_calls._KEEP": set(),
    # Of a hook with few calls it may read all.
    "hook_calls._LIST": {
        "hook_calls_log(account_id, hook_id, received_at, call_id)",
        "hook_calls_pkey(account_id, hook_id)",
    },
    "hook_calls._LOOK_UP": {"hooks_pkey(account_id, hook_id)"},
    "hooks._DELETE": {"hooks_pkey(account_id, hook_id)"},
    "hooks._FIND": {"hooks_pkey(account_id, hook_id)"},
    "hooks._INSERT": set(),
    "hooks._LIST": {"hooks_pkey(account_id)"},
    "hooks._LOCK": {"hooks_pkey(account_id, hook_id)"},
    "hooks._UPDATE": {"hooks_pkey(account_id, hook_id)"},
    "idempotency._FIND": {"idempotency_keys_pkey(account_id, key)"},
    "idempotency._KEEP": set(),
    "ledger._UPDATE_ENROLLMENTS": {"enrollments_pkey(account_id, enrollment_id)"},
    "listings._OF_CONTACT": {"achievements_of_contact(contact_id, account_id, achieved_at)"},
    "listings._OF_WORKFLOW": {"achievements_of_workflow(workflow_id, account_id, achieved_at)"},
    # Large workflows are few.
    "listings._WORKFLOWS": {
        "goals_of_workflow(account_id, workflow_id)",
        "goals_same_criteria(account_id, workflow_id)",
        "rollups_pkey(account_id)",
        "workflow_statuses_pkey(account_id, workflow_id)",
        "enrollments_of_workflow(account_id, workflow_id)",
        "rollups_pkey(account_id, workflow_id)",
        "rollup_spans_pkey(account_id, workflow_id, level)",
    },
    "outbox._DELETE": {"outbox_pkey(account_id, message_id)"},
    "outbox._DEPTH": {"outbox_by_due_time(publish_after)"},
    "outbox._DUE": {"outbox_by_due_time(publish_after)"},
    "outbox._INSERT": set(),
    "outbox._POSTPONE": {"outbox_pkey(account_id, message_id)"},
    "persons._ENROLLMENTS": {"enrollment_starts_of_contact(account_id, contact_id)"},
    "persons._OF_GOAL": {"matches_pkey(account_id, contact_id, goal_id, occurred_at)"},
    "persons._OF_WORKFLOW": {
        "matches_pkey(account_id, contact_id)",
        "matches_pkey(account_id, contact_id, occurred_at)",
    },
    "references._KNOWN": {
        "crm_references_pkey(account_id, kind)",
        "crm_references_pkey(account_id, kind, reference_id)",
    },
    "references._STORE": set(),
    # Large workflows are few.
    "roll_up._BEGIN_LARGE": {"enrollments_of_workflow(account_id, workflow_id)"} | _ROLLUPS,
    "roll_up._CHECKED": {"rollups_pkey(account_id, workflow_id)"},
    "roll_up._CLEAR": {"rollup_spans_pkey(account_id, workflow_id, level, starts_at)"},
    "roll_up._CLEAR_SUMS": {"rollup_spans_pkey(account_id, workflow_id, level, starts_at)"},
    "roll_up._COUNT": _COUNTED | _ROLLUPS,
    "roll_up._DATE": {"all of rollups"},
    "roll_up._END_OF_PORTION": {"enrollments_of_workflow(account_id, workflow_id, entered_at)"},
    "roll_up._IS_MORE": {"all of statistics_marks"},
    "roll_up._MAY_BEGIN": {"all of rollups"},
    "roll_up._OLDEST": {"all of rollups"},
    "roll_up._SUM_UP": {"rollup_spans_pkey(account_id, workflow_id, level, starts_at)"},
    "roll_up._TAKE_MARKS": {"all of statistics_marks"},
    "roll_up._TO_CHECK": {"all of rollups"},
    "stats._AS_OF": {"rollups_pkey(account_id, workflow_id)"},
    "stats._GOALS": {"goals_of_workflow(account_id, workflow_id)"},
    "touched._ACHIEVED_SINCE_STATUSES": {"achievements_of_workflow(workflow_id, account_id, achieved_at)"},
    "touched._BY_CONTACTS": {"enrollment_starts_of_contact(account_id, contact_id)"},
    "touched._BY_CONTACTS_IN_WORKFLOWS": {"enrollment_starts_of_contact(account_id, contact_id, workflow_id)"},
    "touched._BY_STARTS": {
        "enrollments_pkey(account_id, enrollment_id)",
        "matches_pkey(account_id, contact_id)",
        "achievements_pkey(account_id, enrollment_id)",
    }
    | _TOLD_OF,
    "touched._MATCHED_SINCE_STATUSES": {"matches_of_workflow(workflow_id, account_id, occurred_at)"},
    "webhooks._CHANGE": {"webhooks_pkey(account_id, webhook_id)"},
    "webhooks._COUNT": {"webhooks_pkey(account_id)"},
    "webhooks._DELETE": {"webhooks_pkey(account_id, webhook_id)"},
    "webhooks._FIND": {"webhooks_pkey(account_id, webhook_id)"},
    "webhooks._INSERT": set(),
    "webhooks._LIST": {"webhooks_pkey(account_id)"},
    "webhooks._LOCK": {"webhooks_pkey(account_id, webhook_id)"},
    "webhooks._ROTATE": {"webhooks_pkey(account_id, webhook_id)"},
    "why._VERSIONS": {"goals_pkey(account_id, goal_id)", "goal_versions_pkey(account_id, goal_id)"},
    "workflow_goals._VERSIONS": {"goal_versions_of_workflow(workflow_id, account_id)"},
}
"""What a statement may read: indexes, by the columns they are searched by. Several of one table are as good as each other."""

READ_WHILE_EMPTY = {
    "cohorts._ACHIEVED": {"achievements_pkey(account_id)"},
    "contacts._DELIVERIES": {"webhook_deliveries_of_contact()"},
    "listings._OF_CONTACT": {"achievements_pkey(account_id)"},
}
"""What it may read besides with a plan from when there was nothing to read; such a plan is kept for five minutes at most."""


def unwanted(found: Mapping[str, Iterable[str]], *, was_empty: bool = False) -> dict[str, set[str]]:
    """What plans read and should not, by statement."""
    wanted = {name: READ[name] | (READ_WHILE_EMPTY.get(name, set()) if was_empty else set()) for name in found}
    return {name: rest for name, read in found.items() if (rest := set(read) - wanted[name])}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    found.listen(monkeypatch)
    return found


def texts() -> dict[str, str]:
    """The statements, without parts of them."""
    known = statements()
    return {name: known[name] for name in READ}


async def what_is_read(worker: Database, values: Recorder) -> dict[str, set[str]]:
    """What plans for the recorded values read, by statement."""
    async with worker.connection() as connection:
        return {
            name: await what_values_make_it_read(connection, text, values.values[text])
            for name, text in texts().items()
        }


async def test_every_statement_goes_through_its_index_on_an_empty_database(
    database: Database, api_database: Database, recorder: Recorder
) -> None:
    world = World(database)
    goals = [await world.add_goal(), await world.add_goal()]
    recorder.values.clear()
    await execute_all(world, api_database, goals, [(new_id(), new_id()) for _ in range(5)])
    known = statements()
    executed = {name for name, text in known.items() if text in recorder.values}
    parts = {name for name, text in known.items() if any(text != other and text in other for other in recorder.values)}
    assert set(recorder.values) <= set(known.values())
    assert set(known) - executed <= parts, "have execute_all execute them"
    assert set(READ) == executed, "hold here what each may read"
    async with database.connection() as connection:
        prepared = Prepared(connection)
        await prepared.prepare(texts())
        assert unwanted(await prepared.what_they_read(), was_empty=True) == {}
    assert unwanted(await what_is_read(database, recorder), was_empty=True) == {}


@pytest.mark.timeout(300)
async def test_every_statement_goes_through_its_index_on_a_large_database(
    database_url: str, database: Database, api_database: Database, recorder: Recorder
) -> None:
    """Plans that were kept since it was empty, new ones without statistics, and new ones with them."""
    async with database.connection() as early, database.connection() as late:
        kept, new = Prepared(early), Prepared(late)
        await kept.prepare(texts())
        await kept.what_they_read()
        await large_database.fill(database_url)
        await new.prepare(texts())
        assert unwanted(await kept.what_they_read(), was_empty=True) == {}
        assert unwanted(await new.what_they_read()) == {}
        await large_database.analyze(database_url)
        assert unwanted(await new.what_they_read()) == {}
    world = World(database, account_id=large_database.ACCOUNT_ID, workflow_id=large_database.WORKFLOW_ID)
    goals = [await world.add_goal(), await world.add_goal()]
    await execute_all(world, api_database, goals, large_database.people(300))
    assert unwanted(await what_is_read(database, recorder)) == {}

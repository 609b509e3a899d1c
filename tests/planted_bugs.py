"""Breaks every rule of the decision, of the roll-up of statistics, and of who may ask, once, and looks whether the tests notice.

python -m tests.planted_bugs [--only NAME]      prints a table; exit code 1 when a bug was not found
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
TIMEOUT_SECONDS = 300
WHAT_IS_COPIED = (
    "goalstream",
    "tests",
    "migrations",
    "schemas",
    "pyproject.toml",
    "README.md",
    "Dockerfile",
    "docker-compose.yml",
)


@dataclass(frozen=True, slots=True)
class Bug:
    """A change of one place that breaks one point of the contract."""

    point: str
    name: str
    path: str
    right: str
    wrong: str
    tests: tuple[str, ...] = (
        "tests/unit/domain",
        "tests/unit/streams/test_codec.py",
        "tests/unit/test_decisions_against_the_oracle.py",
    )


DOMAIN = "goalstream/domain/"
SETTLEMENT = DOMAIN + "settlement.py"
CIRCUMSTANCES = DOMAIN + "circumstances.py"
CONTACTS = DOMAIN + "contacts.py"
HISTORY = DOMAIN + "goal_history.py"
ACHIEVEMENTS = DOMAIN + "achievements.py"
TABLE = DOMAIN + "goal_table.py"
FULFILMENT = DOMAIN + "fulfilment.py"

TOUCHED = "goalstream/storage/touched.py"
LEDGER = "goalstream/storage/ledger.py"
ON_POSTGRESQL = (
    "tests/integration/test_ledger.py",
    "tests/integration/test_contacts.py",
    "tests/integration/test_interleavings.py",
)

CLEANING = "goalstream/storage/cleaning.py"
FACTS = "goalstream/storage/facts.py"
ROLL_UP = "goalstream/storage/roll_up.py"
SPANS = "goalstream/storage/spans.py"
OF_ROLL_UPS = ("tests/integration/test_roll_up.py",)

TOKENS = "goalstream/api/tokens.py"
REMOTE_KEYS = "goalstream/api/remote_keys.py"
JWKS = "goalstream/api/jwks.py"
API_KEYS = "goalstream/storage/api_keys.py"
OF_TOKENS = ("tests/unit/test_tokens.py", "tests/unit/test_gate.py")
OF_PUBLIC_KEYS = ("tests/unit/test_jwks.py", "tests/unit/test_remote_keys.py")
OF_REQUESTS = ("tests/unit/test_api_requests.py", "tests/unit/test_rate_limit.py")
OF_API_KEYS = ("tests/integration/test_api_keys.py",)

BUGS = [
    Bug("1", "the enrollment's own trigger counts", SETTLEMENT, "if start.trigger_event_id == match.event_id:", "if False:"),
    Bug("1", "a window is closed at its end", SETTLEMENT, "start.entered_at >= version.window", "start.entered_at > version.window"),
    Bug("1", "a window is ignored", SETTLEMENT, "if version.window is not None and", "if False and version.window is not None and"),
    Bug("1", "measure_after_exit is ignored", SETTLEMENT, "after_end < measure_after_exit", "after_end < timedelta(0)"),
    Bug("1", "an inactive workflow counts", SETTLEMENT, "if not workflow.is_active:", "if False:"),
    Bug("1", "a match of another workflow counts", SETTLEMENT, "(match.account_id, match.workflow_id) == (start.account_id, start.workflow_id)", "match.account_id == start.account_id"),
    Bug("1", "matches are walked in another order at equal times", HISTORY, "return match.occurred_at, created_at, match.goal_id,", "return match.occurred_at, match.goal_id,"),
    Bug("2", "any goes on after the first goal", SETTLEMENT, "satisfied_by = holding if holding.satisfies else None", "satisfied_by = holding if holding.satisfies and workflow.logic == 'all' else None"),
    Bug("2", "all asks for goals that are not in force", HISTORY, "if v and v.can_be_achieved and v.workflow_id", "if v and v.workflow_id"),
    Bug("2", "all is satisfied by the first goal", SETTLEMENT, 'if workflow.logic == "all" else set()', 'if workflow.logic == "none" else set()'),
    Bug("2", "goals of the same event are not named", SETTLEMENT, "satisfied_by.also_matched.append(match.goal_id)", "pass"),
    Bug("4", "what happened before the enrollment counts", SETTLEMENT, "if occurred_at < start.entered_at:", "if False:"),
    Bug("4", "what happened as the enrollment began does not count", SETTLEMENT, "if occurred_at < start.entered_at:", "if occurred_at <= start.entered_at:"),
    Bug("6", "what comes later than the allowed lateness counts", SETTLEMENT, "if match.record_at - occurred_at > allowed_lateness:", "if False:"),
    Bug("6", "the allowed lateness itself is too late", SETTLEMENT, "match.record_at - occurred_at > allowed_lateness", "match.record_at - occurred_at >= allowed_lateness"),
    Bug("6", "facts count however late they come", CIRCUMSTANCES, "return self.all if self._last_record_at <= latest else", "return self.all if True else"),
    Bug("6", "the achievement of a deleted match is forgotten", SETTLEMENT, "    if not facts.kept:", "    if facts:  # always"),
    Bug("7", "an end that is known does not make it late", ACHIEVEMENTS, "late=late,", "late=False,"),
    Bug("8", "an earlier match does not move the achievement", ACHIEVEMENTS, "if before is not None and before.is_valid and _is_recorded(before, holding):", "if before is not None and before.is_valid:"),
    Bug("8", "a move counts as another revision", ACHIEVEMENTS, "revision=before.revision,\n                recorded_at", "revision=before.revision + 1,\n                recorded_at"),
    Bug("9", "what lost its ground stays", ACHIEVEMENTS, "if before.is_valid and goal_id not in settlement.holdings:", "if False:"),
    Bug("9", "every revocation is called superseded", ACHIEVEMENTS, "return SUPERSEDED if verdict is Verdict.ALREADY_SATISFIED else verdict.value", "return SUPERSEDED"),
    Bug("10", "a restoration keeps its revision", ACHIEVEMENTS, "replace(after, revision=before.revision + 1)", "replace(after, revision=before.revision)"),
    Bug("11", "the echo of our own exit is half-open", SETTLEMENT, "or (end.reason == GOAL_ACHIEVED and after_end == measure_after_exit)", ""),
    Bug("11", "at equal times the echo does not hold", CIRCUMSTANCES, "end.ended_at, end.reason != GOAL_ACHIEVED,", "end.ended_at, end.reason == GOAL_ACHIEVED,"),
    Bug("11", "what happened as the enrollment ended counts", SETTLEMENT, "return after_end < measure_after_exit or", "return after_end <= measure_after_exit or"),
    Bug("12", "an event from the future keeps its time", "goalstream/streams/frame.py", "if occurred_at is None or occurred_at > record_at:", "if occurred_at is None:"),
    Bug("12", "a clock far ahead is judged by versions in force", HISTORY, "if match.clock_ahead:", "if False:"),
    Bug("13", "copies are told apart by their payload alone", SETTLEMENT, "if known is not match and match.record_at < known.record_at:", "if known is not match and match.record_at > known.record_at:"),
    Bug("13", "the same event id from another source is a copy", DOMAIN + "facts.py", "            self.source,\n", ""),
    Bug("14", "an event matches goals made after it", TABLE, "return unpack(earlier[position - 1]) if position else None", "return unpack(earlier[position - 1]) if position else newest"),
    Bug("14", "a replaced version still matches", TABLE, "if newest.effective_from <= moment:", "if newest.effective_from <= moment and self.earlier is None:"),
    Bug("14", "a version that was replaced meanwhile counts", HISTORY, "version.version != match.goal_version", "False"),
    Bug("16", "a workflow is inactive until its status is known", CIRCUMSTANCES, "is_active: bool = True", "is_active: bool = False"),
    Bug("16", "a status without logic resets it", CIRCUMSTANCES, "logic=status.goal_logic or workflow.logic", 'logic=status.goal_logic or "any"'),
    Bug("16", "statuses count before their time", CIRCUMSTANCES, "and status.occurred_at <= moment", ""),
    Bug("16", "statuses at the same time hold in any order", CIRCUMSTANCES, "return status.occurred_at, status.event_id, status.source, payload", "return (status.occurred_at,)"),
    Bug("17", "the last start holds", CIRCUMSTANCES, "min(starts, key=_start_order, default=None)", "max(starts, key=_start_order, default=None)"),
    Bug("17", "the last end holds", CIRCUMSTANCES, "min(ends, key=_end_order, default=None)", "max(ends, key=_end_order, default=None)"),
    Bug("17", "an end before the start is ignored", SETTLEMENT, "    if end.ended_at < start.entered_at:\n        return False\n", ""),
    Bug("18", "accounts share goals", TABLE, "            and version.account_id == account_id\n", ""),
    Bug("19", "merges are ignored", CONTACTS, "self._into[merge.contact_id] = merge.into_contact_id", "pass"),
    Bug("19", "chains of merges are not followed", CONTACTS, "        while (into := self._into.get(contact_id)) is not None:\n            contact_id = into\n        return contact_id", "        return self._into.get(contact_id, contact_id)"),
    Bug("19", "the last merge of a loser holds", CONTACTS, "if not self.is_merged(merge.contact_id) and", "if"),
    Bug("19", "the published contact is the old one", SETTLEMENT, "contact_id=known.contacts.survivor(match.contact_id),", "contact_id=match.contact_id,"),
    Bug("19", "a deletion does not end anything", SETTLEMENT, "        return Verdict.CONTACT_DELETED\n", "        pass\n"),
    Bug("19", "the moment of a deletion still counts", SETTLEMENT, "moment >= deleted_at", "moment > deleted_at"),
    Bug("19", "deleting an id merged away deletes the survivor's", CONTACTS, "if not self.is_merged(deletion.contact_id):", "if True:"),
    Bug("19", "a deletion takes nobody with it", CONTACTS, "gone.update(one for one in self._into if self.survivor(one) == deletion.contact_id)", "pass"),
    Bug("3", "amounts are compared strictly", FULFILMENT, "payment.amount < criteria.min_amount", "payment.amount <= criteria.min_amount"),
    Bug("3", "an amount is looked up strictly", TABLE, "bisect_right(self.minimums, amount)]", "bisect_left(self.minimums, amount)]"),
    Bug("3", "a tag's id does not decide alone", FULFILMENT, "if tag.tag_id is not None and criteria.tag_id is not None:", "if tag.tag_id is not None and tag.tag_id == criteria.tag_id:"),
    Bug("3", "names are compared as they are written", DOMAIN + "texts.py", "return name.strip().casefold()", "return name.strip()"),
    Bug("5", "a start does not look for earlier events", TOUCHED, "    or exists (select from matches where matches.account_id = told.account_id and matches.contact_id = told.contact_id)\n", "", ON_POSTGRESQL),
    Bug("5", "an event does not look for enrollments", TOUCHED, "    if matched:\n", "    if False:\n", ON_POSTGRESQL),
    Bug("15", "one enrollment of a contact is enough", TOUCHED, "started.contact_id = match.contact_id and started.workflow_id = match.workflow_id\n", "started.contact_id = match.contact_id and started.workflow_id = match.workflow_id limit 1\n", ON_POSTGRESQL),
    Bug("19", "data is not erased from matches", LEDGER, "await erase_matches(connection, touched.families.erased)", "pass", ON_POSTGRESQL),
    Bug("19", "data is not erased from achievements", LEDGER, "await erase_recorded(connection, touched, families)", "pass", ON_POSTGRESQL),
    Bug("19", "relatives are not looked for", TOUCHED, "for member in families.members((account_id, contact_id))", "for member in (contact_id,)", ON_POSTGRESQL),
    Bug("20", "enrollments are not locked", "goalstream/storage/enrollments.py", '_LOCK = f"{_ROWS} for update of enrollments"', '_LOCK = _ROWS', ON_POSTGRESQL),
    Bug("statistics", "where an enrollment was counted is not marked", LEDGER, "if _counts_elsewhere(row, enrollment.row) or (enrollment_changes", "if (enrollment_changes", OF_ROLL_UPS),
    Bug("statistics", "achievements alone are not marked", LEDGER, " or (enrollment_changes and row == enrollment.row):", ":", OF_ROLL_UPS),
    Bug("statistics", "new enrollments are not marked", FACTS, "select account_id, workflow_id, entered_at from entered\n", "select account_id, workflow_id, entered_at from entered where false\n", OF_ROLL_UPS),
    Bug("statistics", "what is removed is not marked", CLEANING, "from old where entered_at is not null)", "from old where false)", OF_ROLL_UPS),
    Bug("statistics", "revoked achievements are counted", SPANS, " and revoked_at is null", "", OF_ROLL_UPS),
    Bug("statistics", "a type is counted for each of its goals", SPANS, "count(distinct enrollment_id)", "count(enrollment_id)", OF_ROLL_UPS),
    Bug("statistics", "days are not added up again", ROLL_UP, "await _sum_up(connection, days, level=1)", "pass", OF_ROLL_UPS),
    Bug("statistics", "workflows are shown before all was counted", ROLL_UP, "as_of = now() where checked_at is not null", "as_of = now()", OF_ROLL_UPS),
    Bug("statistics", "a roll-up is as of its end", ROLL_UP, "set as_of = now() where", "set as_of = clock_timestamp() where", OF_ROLL_UPS),
    Bug("statistics", "an old roll-up is shown", "goalstream/storage/stats.py", "ROLLED_UP_SECONDS = 60.0", "ROLLED_UP_SECONDS = 600.0", OF_ROLL_UPS),
    Bug("statistics", "a time stands for the beginning of its bin", DOMAIN + "spans.py", "bin_ * BIN_SECONDS + BIN_SECONDS // 2", "bin_ * BIN_SECONDS", ("tests/unit/domain/test_spans.py",)),
    Bug("HTTP", "a token need not end", TOKENS, '"require": ["exp", "sub", "account_id"]', '"require": ["sub", "account_id"]', OF_TOKENS),
    Bug("HTTP", "a token is for every audience", TOKENS, '"account_id"]}', '"account_id"], "verify_aud": False}', OF_TOKENS),
    Bug("HTTP", "a token is from every issuer", TOKENS, "issuer=rules.issuer,", "issuer=None,", OF_TOKENS),
    Bug("HTTP", "clocks may not differ", TOKENS, "leeway=rules.leeway_seconds,", "leeway=0,", OF_TOKENS),
    Bug("HTTP", "signatures are not looked at", TOKENS, '"account_id"]}', '"account_id"], "verify_signature": False, "verify_exp": True}', OF_TOKENS),
    Bug("HTTP", "a token chooses the algorithm of a key", JWKS, "return self._keys.get((algorithm, key_id))", "return next((key._replace(algorithm=algorithm) for (_, name), key in self._keys.items() if name == key_id), None)", OF_PUBLIC_KEYS),
    Bug("HTTP", "any algorithm has public keys", "goalstream/api/gate.py", "if signature.algorithm in PUBLIC_ALGORITHMS and", "if", OF_TOKENS),
    Bug("HTTP", "keys for encryption check signatures", JWKS, 'or entry.get("use", "sig") != "sig"', "", OF_PUBLIC_KEYS),
    Bug("HTTP", "short keys check signatures", JWKS, "material.key_size < LEAST_RSA_BITS", "False", OF_PUBLIC_KEYS),
    Bug("HTTP", "keys are for the algorithm of others", JWKS, 'or entry.get("alg", algorithm) != algorithm', "", OF_PUBLIC_KEYS),
    Bug("HTTP", "an outage takes the known keys away", REMOTE_KEYS, 'JWKS_READS.labels("failed").inc()', "self._keys = None", OF_PUBLIC_KEYS),
    Bug("HTTP", "every unknown key is asked for", REMOTE_KEYS, ">= UNKNOWN_KEY_SECONDS", ">= 0", OF_PUBLIC_KEYS),
    Bug("HTTP", "unknown keys are not asked for", REMOTE_KEYS, "if key is None and self._may_ask():", "if False:", OF_PUBLIC_KEYS),
    Bug("HTTP", "a request that is given up takes the reading along", REMOTE_KEYS, "await asyncio.shield(self._reading)", "await self._reading", OF_PUBLIC_KEYS),
    Bug("HTTP", "scopes are not needed", "goalstream/api/auth.py", "if scope not in principal.scopes]", "if not principal.scopes]", OF_REQUESTS),
    Bug("HTTP", "accounts share a limit", "goalstream/api/rate_limit.py", "self._buckets.pop(account_id,", "self._buckets.pop('',", OF_REQUESTS),
    Bug("HTTP", "a silent account saves up", "goalstream/api/rate_limit.py", "min(left + (now - at) / each, float(self._per_minute))", "left + (now - at) / each", OF_REQUESTS),
    Bug("HTTP", "a revoked key is good", "goalstream/api/gate.py", "is not State.ACTIVE", "is State.EXPIRED", OF_API_KEYS),
    Bug("HTTP", "an expired key is good", "goalstream/api/gate.py", "is not State.ACTIVE", "is State.REVOKED", OF_API_KEYS),
    Bug("HTTP", "a key's secret is not compared", API_KEYS, 'not hmac.compare_digest(row["digest"], key.digest)', "False", OF_API_KEYS),
    Bug("HTTP", "the use of a key is noted every time", API_KEYS, "   and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')\n", "", OF_API_KEYS),
]  # fmt: skip


def places(bug: Bug) -> int:
    """How often the text to break stands there: once, unless the list is out of date."""
    return (ROOT / bug.path).read_text("utf-8").count(bug.right)


def is_found(bug: Bug, folder: Path) -> bool:
    """Whether tests fail with this bug in a copy of the project."""
    path = folder / bug.path
    text = path.read_text("utf-8")
    wrong = text.replace(bug.right, bug.wrong)
    if "bisect_left" in wrong:
        wrong = wrong.replace("from bisect import bisect_right", "from bisect import bisect_left, bisect_right")
    path.write_text(wrong, "utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *bug.tests]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
        return done.returncode == 1
    finally:
        path.write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="bugs whose name holds this")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if options.only is None or options.only in bug.name]
    if outdated := [bug for bug in bugs if places(bug) != 1]:
        raise SystemExit("\n".join(f"{bug.path} has {places(bug)} places like {bug.right!r}" for bug in outdated))
    table = Table("point", "planted bug", "found", box=None)
    missed = 0
    console = Console()
    with tempfile.TemporaryDirectory(prefix="goalstream-planted-") as name, console.status("planting") as status:
        folder = Path(name)
        for each in WHAT_IS_COPIED:
            source, target = ROOT / each, folder / each
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        for bug in bugs:
            status.update(bug.name)
            found = is_found(bug, folder)
            missed += not found
            table.add_row(bug.point, bug.name, "yes" if found else "[red]NO[/red]")
    console.print(table)
    console.print(f"{len(bugs) - missed} of {len(bugs)} found")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

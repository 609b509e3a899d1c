"""Migrations change nothing that the release before needs, and lock no table for longer than a moment: as far as SQL shows it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from goalstream.storage.checkup import LEAST_VERSION
from tests.unit.test_readme import ROOT

FILES = sorted((ROOT / "migrations").glob("*.sql"))
SQUAWK = Path(sys.executable).with_name("squawk")

RULES_LEFT_OUT = {
    "require-lock-timeout": "`goalstream migrate` sets it for every migration",
    "require-statement-timeout": "what takes long may, as long as nobody waits for it: only locks have a limit",
    "prefer-bigint-over-int": "versions, revisions and goals of an enrollment are counted in integers; whatever counts rows is a bigint",
    "prefer-bigint-over-smallint": "levels of a roll-up and HTTP statuses",
}

FIRST = "belongs to the first release, before which nobody has rows"
EXCEPTIONS = {
    ("0004_contacts", "changing-column-type"): f"{FIRST}; payloads became text, which is compared byte by byte",
    ("0004_contacts", "ban-drop-constraint"): f"{FIRST}; the primary key of matches is replaced by a longer one",
    ("0004_contacts", "constraint-missing-not-valid"): f"{FIRST}; a primary key cannot be added unchecked",
    ("0004_contacts", "adding-serial-primary-key-field"): f"{FIRST}; the same",
    ("0004_contacts", "require-concurrent-index-creation"): FIRST,
    ("0008_indexes", "require-concurrent-index-creation"): f"{FIRST}; its header says that writers wait",
    ("0008_indexes", "require-concurrent-index-deletion"): f"{FIRST}; dropping takes a moment",
    ("0009_room", "require-concurrent-index-creation"): f"{FIRST}; its header says that writers wait",
    ("0009_room", "require-concurrent-index-deletion"): f"{FIRST}; dropping takes a moment",
    ("0009_room", "renaming-object"): "no statement names an index",
    (
        "0010_api_keys",
        "ban-drop-not-null",
    ): "whoever reads the audit of a workflow asks for that workflow, and finds no null",
    ("0012_audit", "require-concurrent-index-creation"): f"{FIRST}; its header says that writers wait",
}

RELEASED = {
    "0001_goals": "d4cd024adedba33f",
    "0002_facts": "6f28a06a1618dec7",
    "0003_achievements": "5c4b370241ae3056",
    "0004_contacts": "bdaddfdb4df5363c",
    "0005_references": "57ef0865afda1ad0",
    "0006_rows": "715f3178166916f0",
    "0007_uuids": "0c66192d2c9a95fc",
    "0008_indexes": "183c456771b762f7",
    "0009_room": "acfba321227ab019",
    "0010_api_keys": "cb2d66cafc1a8305",
    "0011_statistics": "2e3e63d5fbfa912a",
    "0012_audit": "8fc72aeb8e275af7",
    "0013_idempotency": "3117600fb300f674",
}
"""Digests of files that databases have applied: a file changed afterwards is refused by every one of them. New migrations get no
exception, and get their digest here with the release that brings them."""


def _broken(files: Iterable[Path]) -> dict[tuple[str, str], str]:
    """The rules that files break, by file and rule, with the first place."""
    options = [f"--pg-version={LEAST_VERSION}", "--assume-in-transaction", "--reporter=json"]
    command = [str(SQUAWK), *options, f"--exclude={','.join(RULES_LEFT_OUT)}", *map(str, files)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert told.returncode in (0, 1), told.stderr
    found: dict[tuple[str, str], str] = {}
    for one in json.loads(told.stdout):
        found.setdefault((Path(one["file"]).stem, one["rule_name"]), f"line {one['line'] + 1}: {one['message']}")
    return found


def test_no_migration_breaks_a_rule_without_a_reason() -> None:
    broken = _broken(FILES)
    assert {name: where for name, where in broken.items() if name not in EXCEPTIONS} == {}
    assert EXCEPTIONS.keys() - broken.keys() == set(), "exceptions that nothing needs"


def test_only_migrations_that_are_released_have_exceptions_and_none_has_them_in_its_own_text() -> None:
    assert {file for file, _ in EXCEPTIONS} <= RELEASED.keys()
    assert [file.name for file in FILES if "squawk-ignore" in file.read_text()] == []


def test_a_released_migration_is_never_changed() -> None:
    digests = {file.stem: sha256(file.read_bytes()).hexdigest()[:16] for file in FILES}
    assert {name: digests.get(name) for name in RELEASED} == RELEASED


def test_migrations_are_numbered_one_after_the_other() -> None:
    assert [file.stem[:5] for file in FILES] == [f"{number:04}_" for number in range(1, len(FILES) + 1)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_migration_says_whether_the_previous_release_runs_on_it(file: Path) -> None:
    head = " ".join(re.findall(r"^-- (.*)$", file.read_text().partition("\n\n")[0], re.MULTILINE))
    assert re.search(r"The previous release (runs|does not run) on it|no previous release", head)


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("renaming-column", "alter table goals rename column created_by to made_by"),
        ("renaming-table", "alter table goals rename to targets"),
        ("ban-drop-column", "alter table goals drop column created_by"),
        ("ban-drop-table", "drop table goals"),
        ("ban-drop-type", "drop type match_row"),
        ("ban-drop-function", "drop function uuids(text)"),
        ("changing-column-type", "alter table goals alter column version type bigint"),
        ("adding-required-field", "alter table goals add column label text not null"),
        ("adding-not-nullable-field", "alter table matches alter column data set not null"),
        ("adding-field-with-default", "alter table goals add column seen_at timestamptz default clock_timestamp()"),
        ("constraint-missing-not-valid", "alter table goals add constraint later check (version > 0)"),
        ("disallowed-unique-constraint", "alter table goals add constraint one unique (goal_id)"),
        ("require-concurrent-index-creation", "create index goals_by_author on goals (created_by)"),
        ("require-concurrent-index-deletion", "drop index goals_of_workflow"),
        (
            "ban-concurrent-index-creation-in-transaction",
            "create index concurrently if not exists one on goals (created_by);\nselect 1",
        ),
    ],
)  # fmt: skip
def test_what_a_new_migration_must_not_do(rule: str, sql: str, tmp_path: Path) -> None:
    file = tmp_path / "0099_planted.sql"
    file.write_text(f"-- Planted.\n\n{sql};\n")
    assert rule in {rule for _, rule in _broken([file])}


@pytest.mark.parametrize(
    "sql",
    [
        "create table labels (account_id uuid primary key); create index labels_one on labels (account_id)",
        "alter table goals add column label text",
        "alter table goals add column is_new boolean not null default false",
        "alter table goals add constraint later check (version > 0) not valid",
        "create index concurrently if not exists goals_by_author on goals (created_by)",
    ],
)
def test_what_a_new_migration_may_do(sql: str, tmp_path: Path) -> None:
    file = tmp_path / "0099_planted.sql"
    file.write_text(f"-- Planted.\n\n{sql};\n")
    assert _broken([file]) == {}

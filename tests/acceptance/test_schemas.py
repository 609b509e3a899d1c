"""The contracts as a person meets them on the command line; neither settings nor services are needed."""

from __future__ import annotations

import json
from pathlib import Path

from goalstream.streams.topics import ALL_TOPICS, READ_TOPICS
from tests.acceptance.command import run
from tests.schema_changes import SCHEMAS

ACCOUNT = "4b1d2c9e-6f3a-4c57-9d80-2a7e5b6c1f01"
CONTACT = "8c7e1f3a-52d4-4b69-a1c0-9e3d7f5b2a02"


def event(event_type: str = "payment.completed", account_id: object = ACCOUNT, **data: object) -> str:
    return json.dumps({"event_type": event_type, "account_id": account_id, "data": {"contact_id": CONTACT, **data}})


def test_list_tells_every_topic_with_its_direction_version_and_title() -> None:
    found = run("schemas", "list")
    assert found.returncode == 0
    head, *rows = found.stdout.splitlines()
    assert head.split() == ["TOPIC", "DIRECTION", "VERSION", "TITLE"]
    assert [row.split()[:3] for row in rows] == [
        [topic, "read" if topic in READ_TOPICS else "published", "v1"] for topic in ALL_TOPICS
    ]
    assert [row.split(maxsplit=3)[3].strip() for row in rows[:2]] == ["A contact got a tag", "A contact paid"]


def test_list_as_json_has_a_line_for_each_topic() -> None:
    rows = [json.loads(line) for line in run("schemas", "list", "--json").stdout.splitlines()]
    assert [row["topic"] for row in rows] == list(ALL_TOPICS)
    assert rows[1] == {"topic": "payment.completed", "direction": "read", "version": 1, "title": "A contact paid"}


def test_show_gives_the_file_as_it_is() -> None:
    found = run("schemas", "show", "workflow.exit.goal")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == (SCHEMAS / "workflow.exit.goal" / "v1.json").read_text("utf-8")
    assert run("schemas", "show", "workflow.exit.goal", "--version", "1").stdout == found.stdout


def test_show_of_what_is_not_there_is_wrong_usage() -> None:
    for arguments, says in (
        (("nope",), "goalstream: 'nope' is none of: contact.tag.added, payment.completed, "),
        (("form.submitted", "--version", "9"), "goalstream: form.submitted has no version 9\n"),
    ):
        found = run("schemas", "show", *arguments)
        assert (found.returncode, found.stdout) == (2, "")
        assert found.stderr.startswith(says)


def test_validate_tells_what_is_wrong_on_which_line_and_where(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = (
        event(amount="150.00"),
        "",
        event(account_id="account-1", amount="1,50", product_ids=["p", 7]),
        event("form.sent"),
        event(amount="1e31"),
        '{"event_type": "payment.completed"',
        "[]",
        '{"specversion": "1.0", "type": "form.submitted"}',
        '{"specversion": "1.0", "type": 7}',
        event(currency="x" * 300),
        event(amount="\u202e1"),
    )
    file.write_text("\n".join(lines))
    found = run("schemas", "validate", str(file))
    assert (found.returncode, found.stdout) == (1, "1 valid, 9 bad\n")
    told = found.stderr.splitlines()
    assert told[:3] == [
        f'{file}:3: /account_id: "account-1" is not a UUID (8-4-4-4-12, either case)',
        f'{file}:3: /data/amount: "1,50" is not a decimal number of at least 0, as a number or a text',
        f'{file}:3: /data/product_ids/1: 7 is not of type "string"',
    ]
    assert told[3].startswith(f"{file}:4: /event_type: 'form.sent' is none of: contact.tag.added, ")
    assert told[4] == f"{file}:5: wrong_type: amount is no amount: '1e31'"
    assert told[5].startswith(f"{file}:6: not_json: ")
    assert told[6] == f"{file}:7: not_json: not an object"
    assert told[7:10] == [f'{file}:8: "{name}" is a required property' for name in ("id", "accountid", "data")]
    assert told[10].startswith(f"{file}:9: /type: 7 is none of: ")
    assert told[11].startswith(f'{file}:10: /data/currency: "xxx')
    assert "…" in told[11]
    assert told[11].endswith('x" is longer than 255 characters')
    assert told[12:] == [
        f'{file}:11: /data/amount: "\\u202e1" is not a decimal number of at least 0, as a number or a text'
    ]


def test_validate_reads_standard_input_and_several_files(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(event())
    found = run("schemas", "validate", str(file), "-", stdin=f"{event()}\n{event()}\n")
    assert (found.returncode, found.stdout, found.stderr) == (0, "3 valid, 0 bad\n", "")


def test_validate_takes_values_of_a_topic_that_is_named_and_cloudevents_of_what_is_published() -> None:
    exit_goal = json.loads((SCHEMAS / "workflow.exit.goal" / "examples" / "valid" / "complete.json").read_text("utf-8"))
    value, wrong = json.dumps(exit_goal), json.dumps(exit_goal | {"exit_reason": "other"})
    found = run("schemas", "validate", "--topic", "workflow.exit.goal", "-", stdin=f"{value}\n{wrong}")
    assert (found.returncode, found.stdout) == (1, "1 valid, 1 bad\n")
    assert found.stderr == '-:2: /exit_reason: "goal_achieved" was expected\n'
    cloudevent = {"specversion": "1.0", "type": "workflow.exit.goal", "data": exit_goal | {"exit_reason": "other"}}
    found = run("schemas", "validate", "-", stdin=json.dumps(cloudevent))
    assert found.stderr == '-:1: /data/exit_reason: "goal_achieved" was expected\n'
    untyped = run("schemas", "validate", "--topic", "form.submitted", "-", stdin=event("payment.completed"))
    assert untyped.stderr.startswith("-:1: /event_type: ")
    assert run("schemas", "validate", "--topic", "nope", "-").returncode == 2


def test_validate_says_which_file_it_cannot_read() -> None:
    found = run("schemas", "validate", "/nowhere/events.jsonl")
    assert (found.returncode, found.stderr) == (1, "goalstream: /nowhere/events.jsonl: No such file or directory\n")

"""`goalstream api-keys` as an operator types it."""

from __future__ import annotations

import json

import pytest

from goalstream.domain.access import parse_api_key
from tests.acceptance.command import run
from tests.integration.builders import new_id

pytestmark = pytest.mark.timeout(300)


def test_a_key_is_made_shown_once_listed_and_revoked(database_url: str) -> None:
    url, account = {"GOALSTREAM_DATABASE_URL": database_url}, new_id()
    made = run("api-keys", "create", "--account", account.upper(), "--name", "the\x1bimport", **url)
    assert made.returncode == 0
    key = parse_api_key(made.stdout.strip())
    assert key is not None
    assert key.account_id == account
    assert made.stderr.strip() == (
        f"{key.key_id} (the\\x1bimport) is good for goals:read goals:write of account {account}, for ever; "
        "it is shown this once"
    )
    listed = run("api-keys", "list", **url)
    heading, row = listed.stdout.splitlines()
    assert heading.split() == ["ID", "ACCOUNT", "NAME", "SCOPES", "STATE", "CREATED", "BY", "EXPIRES", "LAST", "USED"]
    assert row.split()[:6] == [key.key_id, account, "the\\x1bimport", "goals:read", "goals:write", "active"]
    assert listed.stderr == "1 key\n"
    assert key.text not in listed.stdout

    assert run("api-keys", "revoke", key.key_id, "--by", "grace", **url).stdout == f"{key.key_id} is revoked\n"
    assert run("api-keys", "revoke", key.text.split("_")[2], **url).stdout == f"{key.key_id} is revoked\n"
    hidden = run("api-keys", "list", **url)
    assert (hidden.stdout, hidden.stderr) == ("", "0 keys; 1 revoked are hidden (--include-revoked)\n")
    (shown,) = run("api-keys", "list", "--include-revoked", "--json", "--account", account, **url).stdout.splitlines()
    assert (json.loads(shown)["state"], json.loads(shown)["revoked_by"]) == ("revoked", "grace")


def test_scopes_end_and_json_are_chosen(database_url: str) -> None:
    url, account = {"GOALSTREAM_DATABASE_URL": database_url}, new_id()
    options = ["--scope", "operator", "--scope", "goals:read", "--expires-in", "90d", "--by", "ada", "--json"]
    made = json.loads(run("api-keys", "create", "--account", account, "--name", "x", *options, **url).stdout)
    assert (made["scopes"], made["created_by"], made["state"]) == (["goals:read", "operator"], "ada", "active")
    assert made["expires_at"] is not None
    assert parse_api_key(made["key"]) is not None
    assert "digest" not in made


def test_wrong_usage_is_told_all_together_with_exit_code_2() -> None:
    found = run("api-keys", "create", "--account", "me", "--name", " ", "--scope", "root", "--expires-in", "soon")
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "goalstream: --name: must have 1 to 255 characters that can be stored",
        "goalstream: --account: me is no UUID",
        "goalstream: --scope: root is none of goals:read, goals:write, webhooks:read, webhooks:write, operator",
        "goalstream: --expires-in: 'soon' is no time such as 90d, 12h or 3600, of at most 3650 days",
    ]
    assert run("api-keys", "list", "--account", "me").returncode == 2


@pytest.mark.parametrize("life", ["0", "0d", "-1", "4000d", "999999d", ""])
def test_an_end_that_is_none_is_wrong_usage(life: str) -> None:
    assert run("api-keys", "create", "--account", new_id(), "--name", "x", "--expires-in", life).returncode == 2


def test_a_key_given_in_place_of_its_id_is_not_repeated() -> None:
    found = run("api-keys", "revoke", "gs_secret")
    assert (found.returncode, "gs_secret" in found.stderr) == (2, False)


def test_a_key_that_is_not_there_is_told(database_url: str) -> None:
    missing = new_id()
    found = run("api-keys", "revoke", missing, GOALSTREAM_DATABASE_URL=database_url)
    assert (found.returncode, found.stderr) == (
        1,
        f"goalstream: there is no API key {missing}: look with `goalstream api-keys list`\n",
    )

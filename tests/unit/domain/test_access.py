"""API keys as text, and what is kept of them."""

from __future__ import annotations

import pytest

from goalstream.domain.access import Scope, make_api_key, parse_api_key

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
KEY = "bbbbbbbb-0000-4000-8000-000000000002"
SECRET = "a-b_c" * 8 + "xyz"


def test_a_key_names_its_account_and_itself() -> None:
    made = make_api_key(ACCOUNT, KEY, SECRET)
    assert made.text == f"gs_aaaaaaaa000040008000000000000001_bbbbbbbb000040008000000000000002_{SECRET}"
    assert parse_api_key(made.text) == made


def test_what_is_kept_of_a_key_depends_on_every_character_of_it() -> None:
    made = make_api_key(ACCOUNT, KEY, SECRET)
    others = [
        make_api_key(KEY, KEY, SECRET),
        make_api_key(ACCOUNT, ACCOUNT, SECRET),
        make_api_key(ACCOUNT, KEY, SECRET[:-1] + "y"),
    ]
    assert len({one.digest for one in (made, *others)}) == 4
    assert len(made.digest) == 32


def test_no_representation_shows_a_key() -> None:
    assert SECRET not in repr(make_api_key(ACCOUNT, KEY, SECRET))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gs_",
        "gs_x_y_z",
        f"gs_{ACCOUNT}_{KEY}_{SECRET}",
        f"gs_{'A' * 32}_{'b' * 32}_{SECRET}",
        f"gs_{'a' * 32}_{'b' * 32}_{SECRET[:-1]}",
        f"gs_{'a' * 32}_{'b' * 32}_{SECRET}=",
        f"gs_{'a' * 32}_{'b' * 32}_{SECRET}\n",
        f" gs_{'a' * 32}_{'b' * 32}_{SECRET}",
        f"GS_{'a' * 32}_{'b' * 32}_{SECRET}",
        f"gs_{'a' * 32}_{'b' * 32}_{'é' * 43}",
        f"gs_{'٣' * 32}_{'b' * 32}_{SECRET}",
    ],
)
def test_what_has_not_the_form_is_no_key(text: str) -> None:
    assert parse_api_key(text) is None


def test_the_scopes_are_those_of_the_contract() -> None:
    assert [scope.value for scope in Scope] == [
        "goals:read",
        "goals:write",
        "webhooks:read",
        "webhooks:write",
        "operator",
    ]

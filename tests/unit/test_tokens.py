"""Bearer tokens: what is accepted, and everything that is not."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.api.tokens import InvalidToken, Key, Principal, Rules, issue_token, read_signature, verify_token

SECRET = "a secret of at least thirty-two bytes"
ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
HOUR = 3_600
LEEWAY_SECONDS = 30


def claims(**changes: Any) -> dict[str, Any]:
    usual = {"account_id": ACCOUNT, "sub": "ada", "scope": "goals:read", "exp": int(time.time()) + HOUR}
    return {name: value for name, value in (usual | changes).items() if value is not ...}


def signed(payload: dict[str, Any], *, secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.PyJWS().encode(json.dumps(payload).encode(), secret, algorithm=algorithm)


def verified(token: str, *, secret: str = SECRET, **rules: Any) -> Principal:
    """Whom a token stands for that is checked with the secret, as the API does it."""
    read_signature(token)
    return verify_token(token, Key("HS256", secret), Rules(**rules))


def test_an_issued_token_names_account_subject_and_scopes() -> None:
    token = issue_token(
        SECRET,
        account_id=ACCOUNT,
        subject="ada",
        scope="goals:read goals:write",
        expires_in_seconds=HOUR,
        now=int(time.time()),
    )
    principal = verified(token)
    assert (principal.account_id, principal.subject) == (ACCOUNT, "ada")
    assert principal.scopes == {"goals:read", "goals:write"}


def test_an_account_in_upper_case_is_the_same_account() -> None:
    assert verified(signed(claims(account_id=ACCOUNT.upper()))).account_id == ACCOUNT


def test_a_token_without_scope_may_do_nothing() -> None:
    assert verified(signed(claims(scope=...))).scopes == frozenset()


def test_scopes_are_separated_by_any_number_of_blanks() -> None:
    assert verified(signed(claims(scope="  goals:read   operator "))).scopes == {"goals:read", "operator"}


@pytest.mark.parametrize("missing", ["account_id", "sub", "exp"])
def test_a_token_that_lacks_a_claim_is_refused(missing: str) -> None:
    with pytest.raises(InvalidToken, match=missing):
        verified(signed(claims(**{missing: ...})))


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_id": "acme"},
        {"account_id": 7},
        {"account_id": ACCOUNT.replace("-", "")},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 256},
        {"sub": "nul\x00"},
        {"sub": "\ud800"},
        {"scope": ["goals:read"]},
        {"scope": 7},
        {"exp": "soon"},
        {"exp": []},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": 99_999_999_999},
        {"nbf": "0"},
        {"nbf": True},
        {"nbf": None},
        {"iat": 99_999_999_999},
        {"iat": "0"},
        {"exp": "99999999999"},
        {"exp": None},
        {"aud": "another service"},
        {"aud": ["another service"]},
        {"jti": 7},
    ],
    ids=str,
)
def test_a_token_with_an_unusable_claim_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        verified(signed(claims(**wrong)))


def test_a_token_expires_with_a_little_leeway_for_clocks_that_differ() -> None:
    now = int(time.time())
    assert verified(signed(claims(exp=now - LEEWAY_SECONDS + 3))).subject == "ada"
    with pytest.raises(InvalidToken, match="expired"):
        verified(signed(claims(exp=now - LEEWAY_SECONDS - 1)))


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_of_a_clock_that_is_a_little_ahead_is_good_already(name: str) -> None:
    now = int(time.time())
    assert verified(signed(claims(**{name: now + LEEWAY_SECONDS - 3}))).subject == "ada"
    with pytest.raises(InvalidToken, match="not yet valid"):
        verified(signed(claims(**{name: now + LEEWAY_SECONDS + 10})))


def test_how_far_clocks_may_differ_is_a_setting() -> None:
    expired = signed(claims(exp=int(time.time()) - 100))
    assert verified(expired, leeway_seconds=110).subject == "ada"
    with pytest.raises(InvalidToken, match="expired"):
        verified(expired, leeway_seconds=90)


@pytest.mark.parametrize(
    ("rules", "said", "is_good"),
    [
        ({"audience": "goalstream"}, {"aud": "goalstream"}, True),
        ({"audience": "goalstream"}, {"aud": ["crm", "goalstream"]}, True),
        ({"audience": "goalstream"}, {"aud": "crm"}, False),
        ({"audience": "goalstream"}, {"aud": "goalstreams"}, False),
        ({"audience": "goalstream"}, {"aud": []}, False),
        ({"audience": "goalstream"}, {"aud": 7}, False),
        ({"audience": "goalstream"}, {}, False),
        ({"issuer": "https://idp"}, {"iss": "https://idp"}, True),
        ({"issuer": "https://idp"}, {"iss": "https://idp/"}, False),
        ({"issuer": "https://idp"}, {"iss": ["https://idp"]}, False),
        ({"issuer": "https://idp"}, {}, False),
        ({}, {"iss": "https://anybody"}, True),
    ],
)
def test_audience_and_issuer_must_be_those_that_are_set(
    rules: dict[str, Any], said: dict[str, Any], is_good: bool
) -> None:
    if is_good:
        assert verified(signed(claims(**said)), **rules).subject == "ada"
    else:
        with pytest.raises(InvalidToken):
            verified(signed(claims(**said)), **rules)


def test_an_issued_token_names_audience_and_issuer_where_they_are_set() -> None:
    rules = {"audience": "goalstream", "issuer": "us"}
    token = issue_token(
        SECRET,
        account_id=ACCOUNT,
        subject="ada",
        scope="",
        expires_in_seconds=HOUR,
        now=int(time.time()),
        audience="goalstream",
        issuer="us",
    )
    assert verified(token, **rules).subject == "ada"


def test_no_representation_shows_a_secret() -> None:
    assert SECRET not in repr(Key("HS256", SECRET))


def test_a_token_signed_with_another_secret_is_refused() -> None:
    with pytest.raises(InvalidToken, match="Signature"):
        verified(signed(claims(), secret="another secret of thirty-two bytes"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "RS256", ""])
def test_only_hs256_is_accepted_whatever_the_header_says(algorithm: str) -> None:
    _, payload, _ = signed(claims()).split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode().rstrip("=")
    for signature in ("", "AAAA"):
        with pytest.raises(InvalidToken):
            verified(f"{header}.{payload}.{signature}")


def test_a_token_of_hs512_with_the_right_secret_is_refused_too() -> None:
    secret = SECRET * 2
    with pytest.raises(InvalidToken):
        verified(signed(claims(), secret=secret, algorithm="HS512"), secret=secret)


def test_a_changed_payload_breaks_the_signature() -> None:
    header, _, signature = signed(claims()).split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims(account_id="b" + ACCOUNT[1:])).encode()).decode().rstrip("=")
    with pytest.raises(InvalidToken):
        verified(f"{header}.{forged}.{signature}")


@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.text(alphabet="abcXYZ019-_=", max_size=40), min_size=3, max_size=3).map(".".join),
        st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + ".e30.x"),
        st.integers(min_value=1_000, max_value=40_000).map(
            lambda depth: base64.urlsafe_b64encode(b"[" * depth).decode().rstrip("=") + ".e30.x"
        ),
    )
)
def test_no_text_at_all_is_accepted_or_raises_anything_else(token: str) -> None:
    with pytest.raises(InvalidToken):
        verified(token)

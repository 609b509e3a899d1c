"""Which keys of a JWKS are taken, and for which tokens."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from goalstream.api.jwks import MAX_KEYS, KeySet, parse_jwks
from goalstream.api.jwks_checkup import judge_keys
from goalstream.observability.findings import Verdict
from tests.signers import ALGORITHMS, jwks, signer

RSA = signer("RS256", "one")
EDWARDS = signer("EdDSA", "two")


def usable(entry: dict[str, Any]) -> bool:
    """Whether a document with only this key has any key, and else says that it left one out."""
    found = parse_jwks(jwks(entry))
    assert len(found.names) + found.left_out == 1
    return bool(found.names)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_found_by_its_name_for_its_own_algorithm_alone(algorithm: str) -> None:
    found = parse_jwks(jwks(*(signer(one, "same name") for one in ALGORITHMS)))
    key = found.find(algorithm, "same name")
    assert key is not None
    assert key.algorithm == algorithm
    assert key.material == signer(algorithm, "same name").private.public_key()
    assert found.find(algorithm, "another name") is None
    assert found.find("HS256", "same name") is None
    assert found.find("none", "same name") is None


def test_a_token_that_names_no_key_gets_the_only_one_there_is_for_its_algorithm() -> None:
    found = parse_jwks(jwks(signer("RS256", "a"), signer("ES256", "b")))
    assert found.find("RS256", None) == found.find("RS256", "a") is not None
    assert found.find("EdDSA", None) is None
    assert parse_jwks(jwks(signer("RS256", "a"), signer("RS256", "b"))).find("RS256", None) is None


def test_a_key_without_a_name_is_found_by_tokens_that_name_none() -> None:
    found = parse_jwks(jwks(RSA.jwk(kid=...)))
    assert found.find("RS256", None) is not None
    assert found.find("RS256", "one") is None


def test_of_two_keys_with_one_name_the_first_holds() -> None:
    first, second = signer("ES256", "x"), signer("ES256", "y")
    key = parse_jwks(jwks(first, second.jwk(kid="x"))).find("ES256", "x")
    assert key is not None
    assert key.material == first.private.public_key()


@pytest.mark.parametrize(
    "changes", [{"alg": ...}, {"use": ...}, {"alg": ..., "use": ...}, {"key_ops": ["verify"]}, {"x5c": ["nonsense"]}]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_key_need_not_say_it_need_not_say(algorithm: str, changes: dict[str, Any]) -> None:
    assert usable(signer(algorithm, "one").jwk(**changes))


UNUSABLE: list[dict[str, Any]] = [
    {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "one", "alg": "HS256"},
    {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "one", "alg": "RS256"},
    RSA.jwk(use="enc"),
    RSA.jwk(use=["sig"]),
    RSA.jwk(alg="HS256"),
    RSA.jwk(alg="none"),
    RSA.jwk(alg="RS512"),
    RSA.jwk(alg="PS256"),
    RSA.jwk(alg="RSA-OAEP"),
    RSA.jwk(alg=["RS256"]),
    RSA.jwk(key_ops=["encrypt"]),
    RSA.jwk(key_ops="verify"),
    RSA.jwk(kty=...),
    RSA.jwk(kty="EC"),
    RSA.jwk(kty=["RSA"]),
    RSA.jwk(kid=7),
    RSA.jwk(n=...),
    RSA.jwk(n="!"),
    RSA.jwk(n=7),
    RSA.jwk(n=""),
    RSA.jwk(e="AA"),
    RSA.jwk(e=None),
    RSA.jwk(d="AQAB"),
    EDWARDS.jwk(x="AAAA"),
    EDWARDS.jwk(x=["AAAA"]),
    EDWARDS.jwk(crv="P-256"),
    EDWARDS.jwk(crv=["Ed25519"]),
    signer("ES256", "one").jwk(x=EDWARDS.jwk()["x"]),
    signer("ES256", "one").jwk(crv="P-384"),
    RSAAlgorithm.to_jwk(RSA.private, as_dict=True),
    ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True),
    ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True),
    OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True),
    RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65_537, key_size=1024).public_key(), as_dict=True),
]


# The keys are made anew in every process, which must all name a test alike.
@pytest.mark.parametrize("entry", UNUSABLE, ids=range(len(UNUSABLE)))
def test_symmetric_private_weak_broken_and_foreign_keys_are_left_out(entry: dict[str, Any]) -> None:
    assert not usable(entry)
    found = parse_jwks(jwks(signer("ES256", "good"), entry))
    assert (set(found.names), found.left_out) == ({("ES256", "good")}, 1)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b"\xff",
        b"[" * 100_000,
        b'{"keys": "k"}',
    ],
    ids=lambda document: repr(document[:20]),
)
def test_what_is_no_jwks_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="no JWKS"):
        parse_jwks(document)


def test_a_document_without_keys_has_none_and_one_with_too_many_is_refused() -> None:
    assert parse_jwks(b'{"keys": []}').names == frozenset()
    assert parse_jwks(jwks(*({} for _ in range(MAX_KEYS)))).left_out == MAX_KEYS
    with pytest.raises(ValueError, match="more than 100"):
        parse_jwks(jwks(*({} for _ in range(MAX_KEYS + 1))))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(["kty", "crv", "alg", "use", "kid", "n", "e", "x", "y", "key_ops"])
WORDS = st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "sig", "RS256", "", "="]) | JSON


@given(entry=st.dictionaries(MEMBERS, WORDS, max_size=8), base=st.sampled_from([*ALGORITHMS, None]))
def test_whatever_a_key_says_it_is_taken_or_left_out(entry: dict[str, Any], base: str | None) -> None:
    usable(({} if base is None else signer(base, "one").jwk()) | entry)


@given(JSON)
def test_whatever_a_document_says_it_is_read_or_refused(document: object) -> None:
    for text in (json.dumps(document), json.dumps({"keys": document})):
        with suppress(ValueError):
            assert parse_jwks(text.encode()).names == frozenset()


def test_the_doctor_tells_how_many_keys_are_of_use() -> None:
    assert judge_keys(parse_jwks(jwks(RSA, EDWARDS))).sentence == "2 keys for EdDSA, RS256"
    some = judge_keys(parse_jwks(jwks(RSA, RSA.jwk(use="enc"))))
    assert (some.verdict, some.sentence) == (Verdict.OK, "1 key for RS256, 1 of no use here")
    assert judge_keys(KeySet({}, left_out=2)).verdict is Verdict.WRONG

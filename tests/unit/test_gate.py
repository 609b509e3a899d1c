"""The gate: tokens of the secret and of public keys, and everything that pretends to be one of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.api.gate import Gate
from goalstream.api.tokens import InvalidToken
from goalstream.config import Settings
from goalstream.errors import KeysUnavailable, SettingsError
from goalstream.storage.pool import Database
from tests.signers import ACCOUNT, ALGORITHMS, Signer, claims, jwks, signer

SECRET = "a secret of at least thirty-two bytes"
ADDRESS = "https://idp.example/keys"
OURS = {algorithm: signer(algorithm, f"our {algorithm}") for algorithm in ALGORITHMS}
FOREIGN = {algorithm: signer(algorithm, f"foreign {algorithm}") for algorithm in ALGORITHMS}


class FakeDocument:
    """What is at the address."""

    content: bytes | None = jwks(*OURS.values())

    def __init__(self, url: str) -> None:
        assert url == ADDRESS

    async def fetch(self) -> bytes:
        if self.content is None:
            raise KeysUnavailable("it is away")
        return self.content


@pytest.fixture(autouse=True)
def _keys_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalstream.api.gate.Document", FakeDocument)


def gate_of(**values: Any) -> Gate:
    return Gate(Settings.model_validate(values), Database("postgresql://nowhere/none", size=1))


GATES: Mapping[str, dict[str, Any]] = {
    "the secret alone": {"jwt_secret": SECRET},
    "public keys alone": {"jwks_url": ADDRESS},
    "both": {"jwt_secret": SECRET, "jwks_url": ADDRESS},
}


@pytest.fixture(params=GATES)
def gate(request: pytest.FixtureRequest) -> Gate:
    return gate_of(**GATES[request.param])


def part(document: object) -> str:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def by_hand(header: Mapping[str, Any], secret: bytes, *, hash_name: str = "sha256", **changes: Any) -> str:
    """A token that no library would make: any header, signed by HMAC with anything at all."""
    signed = f"{part(header)}.{part(claims(**changes))}"
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hash_name).digest())}"


def of_the_secret(**changes: Any) -> str:
    return by_hand({"alg": "HS256", "typ": "JWT"}, SECRET.encode(), **changes)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_of_a_public_key_names_account_subject_and_scopes(algorithm: str) -> None:
    for values in (GATES["public keys alone"], GATES["both"]):
        principal = await gate_of(**values).admit(OURS[algorithm].sign())
        assert (principal.account_id, principal.subject) == (ACCOUNT, "ada")
        assert principal.scopes == {"goals:read", "goals:write"}


async def test_with_both_the_secret_goes_on_to_be_good_and_without_it_it_is_not() -> None:
    for values in (GATES["the secret alone"], GATES["both"]):
        assert (await gate_of(**values).admit(of_the_secret())).subject == "ada"
    with pytest.raises(InvalidToken, match="algorithm"):
        await gate_of(**GATES["public keys alone"]).admit(of_the_secret())


async def test_a_token_of_a_public_key_is_nothing_to_a_gate_that_has_none() -> None:
    with pytest.raises(InvalidToken, match="algorithm"):
        await gate_of(jwt_secret=SECRET).admit(OURS["RS256"].sign())


def test_without_secret_and_address_there_is_no_gate() -> None:
    with pytest.raises(SettingsError, match=r"GOALSTREAM_JWT_SECRET: is not set.*GOALSTREAM_JWKS_URL"):
        gate_of()


def confused() -> Iterator[tuple[str, str]]:
    """Tokens, each with what it tries."""
    claim = {"typ": "JWT"}
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, 7, ["none"], ["HS256"], {"alg": "HS256"}, True):
        for signature in ("", "AAAA"):
            yield f"the algorithm {algorithm}", f"{part(claim | {'alg': algorithm})}.{part(claims())}.{signature}"
    yield "no algorithm named", f"{part(claim)}.{part(claims())}."
    for mine in OURS.values():
        head = claim | {"kid": mine.key_id}
        public = [
            mine.pem(),
            mine.pem().strip(),
            mine.der(),
            json.dumps(mine.jwk()).encode(),
            mine.key_id.encode(),
            b"",
        ]
        public += [mine.jwk()[name].encode() for name in ("n", "x", "y") if name in mine.jwk()]
        for material in public:
            for algorithm, hash_name in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
                yield (
                    f"{algorithm} with the public key of {mine.algorithm} as its secret",
                    by_hand(head | {"alg": algorithm}, material, hash_name=hash_name),
                )
            yield (
                f"HMAC with the public key of {mine.algorithm} under its name",
                by_hand(head | {"alg": mine.algorithm}, material),
            )
        for other in OURS.values():
            if other is not mine:
                yield f"{mine.algorithm} with the key of {other.algorithm}", mine.sign(headers={"kid": other.key_id})
                _, payload, signature = mine.sign().split(".")
                header = part(head | {"alg": other.algorithm})
                yield f"{mine.algorithm} signed and {other.algorithm} said", f"{header}.{payload}.{signature}"
        for algorithm in ("RS384", "RS512", "PS256", "ES384", "ES512", "ES256K", "Ed25519", "RSA-OAEP", "dir"):
            _, payload, signature = mine.sign().split(".")
            yield f"the algorithm {algorithm}", f"{part(head | {'alg': algorithm})}.{payload}.{signature}"
        yield "no signature", f"{part(head | {'alg': mine.algorithm})}.{part(claims())}."
    for name in ("HS384", "HS512"):
        yield (
            f"{name} with the secret",
            by_hand(claim | {"alg": name}, SECRET.encode(), hash_name=name.replace("HS", "sha")),
        )
    for foreign in FOREIGN.values():
        yield from foreign_keys(foreign)


def foreign_keys(foreign: Signer) -> Iterator[tuple[str, str]]:
    """Tokens signed with a key of somebody else, which bring it along, or point to it, or take the name of one of ours."""
    ours = OURS[foreign.algorithm].key_id
    bring = {
        "jwk": foreign.jwk(),
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/certificate",
        "x5c": [base64.b64encode(foreign.der()).decode()],
        "x5t": base64.b64encode(hashlib.sha256(foreign.der()).digest()).decode(),
    }
    for key_id in (ours, foreign.key_id, "", "../../dev/null", "' or 1=1 --", ADDRESS, ...):
        yield f"a foreign key called {key_id}", foreign.sign(headers={"kid": key_id})
        for name, said in bring.items():
            yield f"a foreign key called {key_id}, with {name}", foreign.sign(headers={"kid": key_id, name: said})
    yield "everything at once", foreign.sign(headers={"kid": ours} | bring)


@lru_cache
def corpus() -> Mapping[str, list[str]]:
    """The same, by what they try; made once, and good for a day if they were good for anything."""
    found: dict[str, list[str]] = {}
    for what, token in confused():
        found.setdefault(what, []).append(token)
    return found


@pytest.mark.parametrize("what", corpus())
async def test_no_confusion_of_algorithms_and_keys_opens_anything(gate: Gate, what: str) -> None:
    for token in corpus()[what]:
        with pytest.raises(InvalidToken):
            await gate.admit(token)


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": 7},
        {"kid": ["a"]},
        {"kid": None},
        {"crit": ["exp"], "exp": 1},
        {"b64": False, "crit": ["b64"]},
        {"crit": []},
    ],
    ids=str,
)
async def test_headers_that_nobody_may_write_are_refused_whoever_signed(gate: Gate, headers: dict[str, Any]) -> None:
    head = {"alg": "HS256", "typ": "JWT"} | headers
    with pytest.raises(InvalidToken):
        await gate.admit(by_hand(head, SECRET.encode()))


async def test_headers_that_point_to_keys_are_not_looked_at() -> None:
    mine = OURS["ES256"]
    pointing = mine.sign(headers={"jku": "https://evil.example/keys", "jwk": FOREIGN["ES256"].jwk()})
    assert (await gate_of(jwks_url=ADDRESS).admit(pointing)).subject == "ada"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "changes",
    [{"exp": 1}, {"exp": ...}, {"nbf": 99_999_999_999}, {"iat": 99_999_999_999}, {"account_id": "%"}, {"sub": ...}],
    ids=str,
)
async def test_claims_are_judged_whatever_key_signed_them(algorithm: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        await gate_of(jwks_url=ADDRESS).admit(OURS[algorithm].sign(**changes))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_audience_and_issuer_are_those_of_the_settings(algorithm: str) -> None:
    gate = gate_of(jwks_url=ADDRESS, jwt_audience="goalstream", jwt_issuer="idp")
    assert (await gate.admit(OURS[algorithm].sign(aud="goalstream", iss="idp"))).subject == "ada"
    refused: list[dict[str, Any]] = [
        {},
        {"aud": "crm", "iss": "idp"},
        {"aud": "goalstream", "iss": "evil"},
        {"aud": "goalstream"},
    ]
    for wrong in refused:
        with pytest.raises(InvalidToken):
            await gate.admit(OURS[algorithm].sign(**wrong))


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "HS256"])
async def test_a_token_with_one_bit_changed_is_refused(algorithm: str) -> None:
    gate = gate_of(**GATES["both"])
    token = of_the_secret() if algorithm == "HS256" else OURS[algorithm].sign()
    header, payload, signature = (base64.urlsafe_b64decode(text + "==") for text in token.split("."))
    assert (await gate.admit(".".join(part(raw) for raw in (header, payload, signature)))).subject == "ada"
    for number, raw in enumerate((header, payload, signature)):
        for position in range(0, len(raw), 7):
            changed = bytearray(raw)
            changed[position] ^= 1
            parts = [header, payload, signature]
            parts[number] = bytes(changed)
            with pytest.raises(InvalidToken):
                await gate.admit(".".join(part(one) for one in parts))


async def test_while_the_address_is_away_only_tokens_of_public_keys_cannot_be_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeDocument, "content", None)
    gate = gate_of(**GATES["both"])
    assert (await gate.admit(of_the_secret())).subject == "ada"
    assert "not read yet" in gate.reasons["jwks"]
    with pytest.raises(KeysUnavailable, match="it is away"):
        await gate.admit(OURS["RS256"].sign())
    assert "it is away" in gate.reasons["jwks"]
    with pytest.raises(InvalidToken):
        await gate.admit("nonsense")


@given(
    st.one_of(
        st.text(max_size=100),
        st.text(max_size=100).map(lambda text: "gs_" + text),
        st.lists(st.text(alphabet="abcXYZ019-_=", max_size=40), min_size=2, max_size=5).map(".".join),
        st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "b64"]),
            st.sampled_from(["HS256", "RS256", "EdDSA", "none", "our RS256", ""]) | st.none() | st.integers(),
        ).map(lambda header: f"{part(header)}.{part(claims())}.AAAA"),
    )
)
async def test_no_text_at_all_is_let_in_or_raises_anything_else(token: str) -> None:
    with pytest.raises(InvalidToken):
        await gate_of(**GATES["both"]).admit(token)

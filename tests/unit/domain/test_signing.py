"""Signatures: ours are taken by whoever knows Standard Webhooks, theirs by us; and nothing that was touched is."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from goalstream.domain.signing import (
    MOST_SECRETS,
    MOST_SIGNATURES,
    OVERLAP,
    SIGNED_BY,
    TELLS_NO_TIME,
    Scheme,
    SigningSecret,
    is_secret,
    make_secret,
    rotated,
    signed_content,
    signed_headers,
)
from tests.senders import SECRETS, SIGNERS, padded, sign_calendly, sign_standard, sign_stripe

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
BODY = b'{"amount": 4900}'


def secret(text: str, *, expires_in: timedelta | None = None) -> SigningSecret:
    return SigningSecret(text=text, added_at=NOON, expires_at=None if expires_in is None else NOON + expires_in)


def holds(scheme: str, body: bytes, headers: dict[str, str], *secrets: SigningSecret, now: datetime = NOON) -> bool:
    return content_of(scheme, body, headers, *secrets, now=now) is not None


def content_of(
    scheme: str, body: bytes, headers: dict[str, str], *secrets: SigningSecret, now: datetime = NOON
) -> bytes | None:
    lower = {name.lower(): text for name, text in headers.items()}
    return signed_content(Scheme(scheme), secrets or [secret(SECRETS[scheme])], headers=lower, body=body, now=now)


@given(
    key=st.binary(min_size=24, max_size=64), message_id=st.from_regex(r"[\w-]{1,40}", fullmatch=True), body=st.text()
)
def test_what_we_sign_is_verified_by_the_library_of_standard_webhooks(key: bytes, message_id: str, body: str) -> None:
    text = make_secret(key)
    now = datetime.now(UTC)
    headers = signed_headers([secret(text)], message_id=message_id, now=now, body=body.encode())
    assert Webhook(text).sign(message_id, now, body) == headers["webhook-signature"]
    assert holds("standard", body.encode(), headers, secret(text), now=now)


def test_while_a_secret_is_rotated_receivers_of_either_verify_and_nobody_else() -> None:
    old, new, unknown = (make_secret(bytes([number]) * 32) for number in range(3))
    now = datetime.now(UTC)
    secrets = [SigningSecret(text=new, added_at=now), SigningSecret(text=old, added_at=now, expires_at=now + OVERLAP)]
    headers = signed_headers(secrets, message_id="msg_1", now=now, body=BODY)
    assert headers["webhook-id"] == "msg_1"
    for text in (old, new):
        assert Webhook(text).verify(BODY, headers) == {"amount": 4900}
    with pytest.raises(WebhookVerificationError):
        Webhook(unknown).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(BODY + b" ", headers)

    later = signed_headers(secrets, message_id="msg_1", now=now + OVERLAP, body=BODY)
    assert later["webhook-signature"].count("v1,") == 1


@pytest.mark.parametrize("scheme", SIGNERS)
def test_what_each_system_signs_is_known_and_what_was_touched_is_not(scheme: str) -> None:
    headers = SIGNERS[scheme](BODY, at=NOON)
    assert holds(scheme, BODY, headers)
    assert not holds(scheme, BODY + b" ", headers)
    assert not holds(scheme, BODY[:-1], headers)
    assert not holds(scheme, b"", headers)
    assert not holds(scheme, BODY, {})
    assert not holds(scheme, BODY, headers, secret(make_secret(bytes(32))))
    for name, text in headers.items():
        assert not holds(scheme, BODY, headers | {name: text.partition(",v0=")[0][:-1]})
        assert not holds(scheme, BODY, headers | {name: ""})
    assert not any(holds(other, BODY, headers, secret(SECRETS["standard"])) for other in SIGNERS if other != scheme)


@pytest.mark.parametrize("scheme", SIGNERS)
def test_each_of_several_secrets_is_good_until_it_expires(scheme: str) -> None:
    other = make_secret(bytes(32))
    headers = SIGNERS[scheme](BODY, at=NOON)
    assert holds(scheme, BODY, headers, secret(other), secret(SECRETS[scheme], expires_in=timedelta(seconds=1)))
    assert not holds(scheme, BODY, headers, secret(other), secret(SECRETS[scheme], expires_in=timedelta()))
    assert signed_content(Scheme(scheme), [], headers=headers, body=BODY, now=NOON) is None


@pytest.mark.parametrize("scheme", set(SIGNERS) - TELLS_NO_TIME)
@pytest.mark.parametrize(("seconds", "is_good"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_five_minutes_are_the_most_that_a_call_may_be_old_or_ahead(scheme: str, seconds: int, is_good: bool) -> None:
    assert holds(scheme, BODY, SIGNERS[scheme](BODY, at=NOON + timedelta(seconds=seconds))) is is_good


def test_a_scheme_without_a_time_is_never_stale() -> None:
    assert {Scheme.TYPEFORM} == TELLS_NO_TIME
    assert holds("typeform", BODY, SIGNERS["typeform"](BODY), now=NOON + timedelta(days=365))


def test_among_several_signatures_one_is_enough() -> None:
    good = sign_standard(BODY, at=NOON)
    for more in ("v1,AAAA {}", "{} v1,AAAA", "v1a,xyz {}", "v2,AAAA  {}"):
        assert holds("standard", BODY, good | {"webhook-signature": more.format(good["webhook-signature"])})
    other_version = good["webhook-signature"].replace("v1,", "v2,")
    assert not holds("standard", BODY, good | {"webhook-signature": other_version})

    told = sign_stripe(BODY, at=NOON)["Stripe-Signature"]
    seconds, signature, _ = told.split(",")
    assert holds("stripe", BODY, {"stripe-signature": f"{seconds},v1={'0' * 64},{signature}"})
    assert holds("stripe", BODY, {"stripe-signature": f"{signature}, {seconds}"})
    assert not holds("stripe", BODY, {"stripe-signature": f"{seconds},{signature.replace('v1=', 'v0=')}"})


@pytest.mark.parametrize("scheme", set(SIGNERS) - TELLS_NO_TIME)
def test_what_is_signed_is_the_same_however_its_signatures_are_written(scheme: str) -> None:
    new = SECRETS[scheme][:-4] + "AAA="
    secrets = [secret(new), secret(SECRETS[scheme])]
    headers = SIGNERS[scheme](BODY, at=NOON)
    name = [*headers][-1]
    both = padded(scheme, headers[name], SIGNERS[scheme](BODY, at=NOON, secret=new)[name])
    contents = {
        content_of(scheme, BODY, headers | {name: told}, *secrets)
        for told in (headers[name], both, padded(scheme, headers[name], "junk"))
    }
    (content,) = contents
    assert content is not None
    assert content.endswith(BODY)
    others = [
        content_of(scheme, BODY, SIGNERS[scheme](BODY, at=NOON + timedelta(seconds=1))),
        content_of(scheme, BODY + b" ", SIGNERS[scheme](BODY + b" ", at=NOON)),
    ]
    assert len({content, *others, None}) == 4


@pytest.mark.parametrize("scheme", set(SIGNERS) - TELLS_NO_TIME)
@pytest.mark.parametrize(("more", "is_good"), [(MOST_SIGNATURES - 1, True), (MOST_SIGNATURES, False)])
def test_of_more_than_ten_signatures_none_is_looked_at(scheme: str, more: int, is_good: bool) -> None:
    headers = SIGNERS[scheme](BODY, at=NOON)
    name = [*headers][-1]
    told = headers[name]
    for _ in range(more):
        told = padded(scheme, told, "junk")
    assert holds(scheme, BODY, headers | {name: told}) is is_good


@pytest.mark.parametrize(
    "time", ["", "now", "-1", "1e9", "1773144000.0", "\u0661" * 10, "9" * 13, " 1773144000", "+1773144000"]
)
def test_a_time_that_is_no_number_of_seconds_proves_nothing(time: str) -> None:
    assert not holds("standard", BODY, sign_standard(BODY, at=NOON) | {"webhook-timestamp": time})
    signature = sign_calendly(BODY, at=NOON)["Calendly-Webhook-Signature"].partition(",")[2]
    assert not holds("calendly", BODY, {"calendly-webhook-signature": f"t={time},{signature}"})


def test_a_time_that_is_told_twice_proves_nothing() -> None:
    told = sign_stripe(BODY, at=NOON)["Stripe-Signature"]
    stale = sign_stripe(BODY, at=NOON - timedelta(days=1))["Stripe-Signature"]
    assert not holds("stripe", BODY, {"stripe-signature": f"{told},{stale}"})
    assert not holds("stripe", BODY, {"stripe-signature": f"{stale},{told}"})


@given(
    texts=st.lists(st.text(st.characters(max_codepoint=255)), min_size=3, max_size=3), scheme=st.sampled_from(Scheme)
)
def test_no_header_whatsoever_is_a_failure(texts: list[str], scheme: Scheme) -> None:
    names = ("webhook-id", "webhook-timestamp", SIGNED_BY[scheme])
    assert not holds(scheme, BODY, dict(zip(names, texts, strict=True)))


def test_a_new_secret_stands_in_front_and_those_before_it_hold_for_a_while() -> None:
    first = rotated([], "a", now=NOON)
    assert first == (secret("a"),)
    second = rotated(first, "b", now=NOON + timedelta(hours=1))
    assert [(one.text, one.expires_at) for one in second] == [("b", None), ("a", NOON + timedelta(hours=25))]
    third = rotated(second, "c", now=NOON + timedelta(hours=2))
    assert [(one.text, one.expires_at) for one in third] == [
        ("c", None),
        ("b", NOON + timedelta(hours=26)),
        ("a", NOON + timedelta(hours=25)),
    ]
    assert [one.text for one in rotated(third, "d", now=NOON + timedelta(hours=25))] == ["d", "c", "b"]
    assert [one.text for one in rotated(third, "d", now=NOON, overlap=timedelta())] == ["d"]
    assert rotated(third, "a", now=NOON)[0] == secret("a")


def test_of_many_secrets_the_newest_hold() -> None:
    secrets: tuple[SigningSecret, ...] = ()
    for text in "abcdefg":
        secrets = rotated(secrets, text, now=NOON)
    assert "".join(one.text for one in secrets) == "gfedcba"[:MOST_SECRETS]


def test_of_what_is_rotated_again_no_secret_comes_twice() -> None:
    again = rotated(rotated([], "a", now=NOON), "a", now=NOON + timedelta(hours=1))
    assert [(one.text, one.added_at) for one in again] == [("a", NOON + timedelta(hours=1))]


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_that_is_made_is_one(size: int) -> None:
    text = make_secret(bytes(size))
    assert text.startswith("whsec_")
    assert is_secret(text)
    assert is_secret(text.removeprefix("whsec_"))


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "whsec_x", "whsec_" + b64encode(bytes(23)).decode(), "whsec_" + b64encode(bytes(65)).decode(),
     "whsec_" + b64encode(bytes(32)).decode()[:-1], f"whsec_ {b64encode(bytes(32)).decode()}", "whsec_\xe9", "\U0001f511" * 32],
)  # fmt: skip
def test_what_is_no_secret_of_standard_webhooks_is_known(text: str) -> None:
    assert not is_secret(text)

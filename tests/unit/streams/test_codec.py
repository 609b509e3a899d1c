"""Records become events and facts, or are refused with the first reason that applies."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.events import Appointment, Event, FormSubmission, Payment, StageChange, TagAdded
from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, WorkflowStatus
from goalstream.domain.references import ReferenceChange, ReferenceKind
from goalstream.errors import InvalidRecord
from goalstream.streams.codec import decode
from goalstream.streams.envelope import open_envelope, traceparent_of
from goalstream.streams.outlines import AnyRawOutline, outline_of
from goalstream.streams.topics import EVENT_TOPICS, READ_TOPICS
from goalstream.streams.usual import MIN_BYTES_TO_NEST_TOO_DEEP, usual_reader
from tests.unit.streams.records import (
    ACCOUNT,
    CONTACT,
    ENROLLMENT,
    NOON,
    NOON_MS,
    WORKFLOW,
    FakeRecord,
    envelope,
    record,
)

TAG = "contact.tag.added"
PAYMENT = "payment.completed"
REFERENCE = "crm.reference.changed"


def event(document: object = None, topic: str = TAG, **changes: Any) -> Event:
    decoded = decode(topic, record(document, **changes))
    assert isinstance(decoded, Event)
    return decoded


def payment(**data: object) -> Payment:
    occurrence = event(envelope(PAYMENT, {"contact_id": CONTACT, **data}), PAYMENT).occurrence
    assert isinstance(occurrence, Payment)
    return occurrence


def refusal(document: object, topic: str = TAG, **changes: Any) -> str:
    with pytest.raises(InvalidRecord) as caught:
        decode(topic, record(document, **changes))
    return caught.value.reason


def reference(data: object, **changes: Any) -> ReferenceChange:
    decoded = decode(REFERENCE, record(envelope(REFERENCE, data, **changes)))
    assert isinstance(decoded, ReferenceChange)
    return decoded


def cloudevent_headers(**changes: bytes | None) -> list[tuple[str, bytes | None]]:
    headers: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": b"evt-ce",
        "ce_source": b"/crm",
        "ce_type": TAG.encode(),
        "ce_time": b"2026-11-23T11:00:00Z",
        "ce_accountid": ACCOUNT.encode(),
        "content-type": b"application/json",
    }
    headers.update({name.replace("content_type", "content-type"): value for name, value in changes.items()})
    return [(name, value) for name, value in headers.items() if value is not None]


def structured(**changes: object) -> dict[str, object]:
    document: dict[str, object] = {
        "specversion": "1.0",
        "id": "evt-ce",
        "source": "/crm",
        "type": TAG,
        "time": "2026-11-23T11:00:00Z",
        "accountid": ACCOUNT,
        "data": {"contact_id": CONTACT, "tag_id": "tag-7"},
    }
    document.update(changes)
    return {name: part for name, part in document.items() if part is not None}


def test_a_plain_envelope_becomes_an_event() -> None:
    decoded = event()
    assert (decoded.account_id, decoded.contact_id, decoded.event_id) == (ACCOUNT, CONTACT, "evt-1")
    assert decoded.source == decoded.event_type == TAG
    assert decoded.occurred_at == datetime(2026, 11, 23, 11, 0, 0, 123_000, tzinfo=UTC)
    assert decoded.occurred_at_source == "event"
    assert decoded.record_at == NOON
    assert decoded.occurrence == TagAdded("tag-7", None)


def test_both_cloudevents_modes_become_the_same_event() -> None:
    binary = event({"contact_id": CONTACT, "tag_id": "tag-7"}, headers=cloudevent_headers())
    by_type = event(structured(), headers=[("content-type", b"application/cloudevents+json; charset=utf-8")])
    by_body = event(structured())
    assert binary == by_type == by_body
    assert (binary.source, binary.event_id) == ("/crm", "evt-ce")


def test_a_cloudevent_without_source_has_its_topic_as_source() -> None:
    assert event(structured(source=None)).source == TAG


def test_a_traceparent_header_is_carried_and_a_malformed_one_is_not() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert event(headers=[("traceparent", trace.encode())]).traceparent == trace
    assert event(structured(traceparent=trace)).traceparent == trace
    assert event(headers=[("traceparent", b"rubbish")]).traceparent is None


def test_a_broken_record_is_in_the_trace_that_a_sound_one_would_be_in() -> None:
    trace, other = (f"00-{digit * 32}-b7ad6b7169203331-01" for digit in "ab")
    for headers in (
        [("ce_traceparent", other), ("Traceparent", trace)],
        [("traceparent", other), ("traceparent", trace)],
    ):
        sent = [(name, text.encode()) for name, text in headers]
        assert open_envelope(b'{"specversion": "1.0", "id": "1"}', sent[1:]).traceparent == trace
        assert traceparent_of(record(b"no JSON", headers=[*sent, ("x", b"\xff")])) == trace


def test_ids_are_written_in_lower_case() -> None:
    decoded = event(envelope(account_id=ACCOUNT.upper(), data={"contact_id": CONTACT.upper()}))
    assert (decoded.account_id, decoded.contact_id) == (ACCOUNT, CONTACT)


def test_without_a_type_the_topic_decides() -> None:
    assert event(envelope(event_type=None)).event_type == TAG  # type: ignore[arg-type]


def test_unknown_fields_are_ignored_and_kept_in_the_data() -> None:
    decoded = event(envelope(data={"contact_id": CONTACT, "color": {"deep": [1]}}, future="field"))
    assert decoded.data is not None
    assert decoded.data["color"] == {"deep": [1]}


def test_the_last_of_duplicate_keys_holds() -> None:
    text = json.dumps(envelope()).replace('"tag-7"', '"first", "tag_id": "last"').encode()
    assert event(text).occurrence == TagAdded("last", None)


def test_null_means_absent() -> None:
    assert event(envelope(data={"contact_id": CONTACT, "tag_id": None, "tag_name": None})).occurrence == TagAdded(
        None, None
    )


def test_a_tag_name_is_stripped_and_folded() -> None:
    occurrence = event(envelope(data={"contact_id": CONTACT, "tag_name": "\u2003STRASSE\u00a0"})).occurrence
    assert occurrence == TagAdded(None, "strasse")


@pytest.mark.parametrize(
    ("topic", "data", "occurrence"),
    [
        ("appointment.booked", {"calendar_id": "c", "service_id": "s"}, Appointment("c", "s")),
        ("form.submitted", {"form_id": "form-123"}, FormSubmission("form-123")),
        ("pipeline.stage.changed", {"pipeline_id": "p", "stage_id": "s"}, StageChange("p", "s")),
    ],
)
def test_each_event_type_tells_what_its_criteria_ask(topic: str, data: dict[str, str], occurrence: object) -> None:
    assert event(envelope(topic, {"contact_id": CONTACT, **data}), topic).occurrence == occurrence


@pytest.mark.parametrize(
    ("amount", "value"),
    [("150.00", "150.00"), (150, "150"), ("0", "0"), ("1e3", "1E+3"), ("123456789012345678901234567890", None)],
)
def test_an_amount_keeps_its_digits(amount: object, value: str | None) -> None:
    assert payment(amount=amount).amount == Decimal(value or str(amount))


def test_an_amount_never_passes_through_a_float() -> None:
    text = json.dumps(envelope(PAYMENT, {"contact_id": CONTACT, "amount": 7})).replace(
        '"amount": 7', '"amount": 0.100000000000000005551115123126'
    )
    occurrence = event(text.encode(), PAYMENT).occurrence
    assert isinstance(occurrence, Payment)
    assert occurrence.amount == Decimal("0.100000000000000005551115123126")


def test_products_come_from_both_fields_and_the_currency_in_upper_case() -> None:
    told = payment(product_id="a", product_ids=["b", "c"], currency="eur", amount=1)
    assert set(told.product_ids) == {"a", "b", "c"}
    assert told.currency == "EUR"


@pytest.mark.parametrize("amount", [True, "", "abc", "NaN", "Infinity", -1, "1e31", "1" * 31, "1_0", " 1", [], {}])
def test_what_is_no_amount_is_of_the_wrong_type(amount: object) -> None:
    assert refusal(envelope(PAYMENT, {"contact_id": CONTACT, "amount": amount}), PAYMENT) == "wrong_type"


def test_a_time_without_offset_is_utc_and_one_with_offset_is_converted() -> None:
    assert event(envelope(timestamp="2026-11-23T11:00:00")).occurred_at == NOON - timedelta(hours=1)
    assert event(envelope(timestamp="2026-11-23T13:00:00+02:00")).occurred_at == NOON - timedelta(hours=1)


def test_finer_than_microseconds_is_truncated() -> None:
    assert event(envelope(timestamp="2026-11-23T11:00:00.9999999Z")).occurred_at.microsecond == 999_999


@pytest.mark.parametrize("timestamp", [None, "2026-11-23T12:00:00.001Z", "9999-12-31T23:59:59Z"])
def test_a_time_that_is_missing_or_after_the_record_is_the_records(timestamp: str | None) -> None:
    decoded = event(envelope(timestamp=timestamp))
    assert (decoded.occurred_at, decoded.occurred_at_source) == (NOON, "record")


def test_a_missing_event_id_is_the_same_hash_for_the_same_payload() -> None:
    one, again = (event(envelope(event_id=None)) for _ in range(2))
    other = event(envelope(event_id=None, data={"contact_id": CONTACT, "tag_id": "tag-8"}))
    assert one.event_id == again.event_id != other.event_id


def test_an_enrollment_start_takes_its_own_time_as_it_is() -> None:
    data = {"enrollment_id": ENROLLMENT.upper(), "workflow_id": WORKFLOW, "contact_id": CONTACT}
    topic = "workflow.enrollment.started"
    explicit = decode(
        topic, record(envelope(topic, {**data, "entered_at": "2027-01-01T00:00:00Z", "trigger_event_id": "t"}))
    )
    assert isinstance(explicit, EnrollmentStart)
    assert explicit.entered_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert (explicit.enrollment_id, explicit.trigger_event_id) == (ENROLLMENT, "t")
    implicit = decode(topic, record(envelope(topic, data)))
    assert isinstance(implicit, EnrollmentStart)
    assert implicit.entered_at == datetime(2026, 11, 23, 11, 0, 0, 123_000, tzinfo=UTC)


def test_an_enrollment_end_needs_only_its_enrollment() -> None:
    topic = "workflow.enrollment.ended"
    decoded = decode(topic, record(envelope(topic, {"enrollment_id": ENROLLMENT, "reason": "left", "contact_id": 7})))
    assert isinstance(decoded, EnrollmentEnd)
    assert decoded.reason == "left"


def test_a_workflow_status_may_leave_the_logic_alone() -> None:
    topic = "workflow.status.changed"
    decoded = decode(topic, record(envelope(topic, {"workflow_id": WORKFLOW, "status": "archived", "name": "Promo"})))
    assert isinstance(decoded, WorkflowStatus)
    assert (decoded.status, decoded.goal_logic, decoded.name) == ("archived", None, "Promo")


def test_a_reference_is_told_with_everything_that_is_known_of_it() -> None:
    told = reference({"kind": "stage", "id": "won", "name": "Won", "parent_id": "sales", "color": "green"})
    assert (told.account_id, told.kind, told.reference_id) == (ACCOUNT, ReferenceKind.STAGE, "won")
    assert (told.name, told.parent_id, told.is_deleted) == ("Won", "sales", False)
    assert (told.source, told.event_id, told.record_at) == (REFERENCE, "evt-1", NOON)
    assert told.occurred_at == datetime(2026, 11, 23, 11, 0, 0, 123_000, tzinfo=UTC)
    assert told.payload == '{"id":"won","kind":"stage","name":"Won","parent_id":"sales"}'


def test_a_reference_needs_no_more_than_kind_and_id() -> None:
    told = reference({"kind": "tag", "id": "tag-7", "name": None, "parent_id": None, "deleted": None})
    assert told == reference({"kind": "tag", "id": "tag-7"})
    assert (told.name, told.parent_id, told.is_deleted) == (None, None, False)


@pytest.mark.parametrize("kind", ["tag", "form", "calendar", "service", "product", "pipeline", "stage"])
def test_a_reference_of_every_kind_may_be_deleted(kind: str) -> None:
    told = reference({"kind": kind, "id": "form-123", "deleted": True})
    assert (told.kind, told.is_deleted) == (ReferenceKind(kind), True)
    assert not reference({"kind": kind, "id": "form-123", "deleted": False}).is_deleted


def test_a_reference_from_a_clock_ahead_or_without_a_time_has_its_records_time() -> None:
    for timestamp in (None, "2026-11-23T12:00:00.001Z"):
        assert reference({"kind": "tag", "id": "tag-7"}, timestamp=timestamp).occurred_at == NOON


def test_a_reference_is_read_from_a_cloudevent_too() -> None:
    data = {"kind": "tag", "id": "tag-7"}
    told = decode(REFERENCE, record(structured(type=REFERENCE, data=data)))
    assert isinstance(told, ReferenceChange)
    assert (told.source, told.event_id, told.reference_id) == ("/crm", "evt-ce", "tag-7")


NOT_JSON = [
    b"", b"nonsense", b"[]", b"7", b'"text"', b"null", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": "\xff"}',
    b'{"a": "\xed\xa0\x80"}', b"\xef\xbb\xbf{}", b"{} {}", b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_JSON)
def test_what_is_not_a_json_object_is_not_json(value: bytes) -> None:
    assert refusal(value) == "not_json"


def test_a_null_value_is_not_json() -> None:
    with pytest.raises(InvalidRecord, match="not_json"):
        decode(TAG, type(record())(value=None))


def test_a_hundred_levels_are_not_too_deep() -> None:
    deep: object = 1
    for _ in range(98):
        deep = [deep]
    assert event(envelope(data={"contact_id": CONTACT, "deep": deep})).contact_id == CONTACT


def test_integers_of_thousands_of_digits_are_json() -> None:
    text = json.dumps(envelope()).replace('"tag-7"', '"tag-7", "big": ' + "9" * 5_000)
    assert event(text.encode()).occurrence == TagAdded("tag-7", None)


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\\udfff x"])
def test_a_forbidden_character_anywhere_is_refused(text: str) -> None:
    plain = json.dumps(envelope(data={"contact_id": CONTACT, "nested": [{"deep": "MARK"}]}))
    assert refusal(plain.replace("MARK", text).encode()) == "forbidden_character"
    assert refusal(plain.replace("deep", text).encode()) == "forbidden_character"


def test_an_escaped_backslash_before_u0000_is_no_forbidden_character() -> None:
    assert event(json.dumps(envelope(data={"contact_id": CONTACT, "tag_id": "\\u0000"})).encode()).contact_id == CONTACT


def test_a_surrogate_pair_is_a_character() -> None:
    assert event(json.dumps(envelope(data={"contact_id": CONTACT, "tag_name": "😀"})).encode()).contact_id == CONTACT


def test_a_forbidden_character_in_a_header_is_refused() -> None:
    assert refusal({}, headers=cloudevent_headers(ce_id=b"a\x00b")) == "forbidden_character"


@pytest.mark.parametrize(
    ("document", "headers"),
    [
        (structured(specversion="0.3"), []),
        (structured(id=None), []),
        (structured(id=""), []),
        (structured(datacontenttype="application/xml"), []),
        (structured(data=None, data_base64="e30="), []),
        ({"contact_id": CONTACT}, cloudevent_headers(ce_specversion=b"2.0")),
        ({"contact_id": CONTACT}, cloudevent_headers(ce_specversion=None)),
        ({"contact_id": CONTACT}, cloudevent_headers(ce_id=None)),
        (b"<xml/>", cloudevent_headers(content_type=b"application/xml")),
        (b"[{}]", [("content-type", b"application/cloudevents-batch+json")]),
        (envelope(), [("content-type", b"application/cloudevents+json")]),
    ],
)
def test_a_cloudevent_that_is_none_is_refused(document: object, headers: list[tuple[str, bytes]]) -> None:
    assert refusal(document, headers=headers) == "bad_cloudevent"


@pytest.mark.parametrize("event_type", ["payment.completed", "", 7, ["contact.tag.added"]])
def test_another_type_contradicts_the_topic(event_type: object) -> None:
    assert refusal(envelope(event_type=event_type)) == "type_contradicts_topic"  # type: ignore[arg-type]


def test_a_missing_account_and_a_missing_contact_have_reasons_of_their_own() -> None:
    assert refusal(envelope(account_id=None, data={})) == "no_account"
    assert refusal(envelope(data={"contact_id": None})) == "no_contact"
    assert refusal({key: part for key, part in envelope().items() if key != "data"}) == "no_contact"
    assert refusal(envelope("workflow.enrollment.started", {}), "workflow.enrollment.started") == "no_contact"


@pytest.mark.parametrize(
    "time",
    ["yesterday", "2026-11-23", "20261123T110000Z", "2026-13-01T00:00:00Z", 1_764_000_000, "", "2026-11-23T11:00:00+2"],
)
def test_a_time_that_is_not_rfc_3339_is_a_bad_time(time: object) -> None:
    assert refusal(envelope(timestamp=time, account_id="no uuid")) == "bad_time"
    assert refusal(envelope(REFERENCE, {"kind": 7}, timestamp=time), REFERENCE) == "bad_time"
    for topic, name in (("workflow.enrollment.started", "entered_at"), ("workflow.enrollment.ended", "ended_at")):
        assert refusal(envelope(topic, {"contact_id": CONTACT, name: time}), topic) == "bad_time"


def test_a_record_without_a_usable_timestamp_is_a_bad_time() -> None:
    assert refusal(envelope(), timestamp=-1) == "bad_time"
    assert refusal(envelope(), timestamp=10**18) == "bad_time"


@pytest.mark.parametrize(
    ("topic", "document"),
    [
        (TAG, envelope(account_id="no uuid")),
        (TAG, envelope(account_id=7)),
        (TAG, envelope(event_id="")),
        (TAG, envelope(event_id="x" * 256)),
        (TAG, envelope(event_id=5)),
        (TAG, envelope(data={"contact_id": "0c000000000040008000000000000001"})),
        (TAG, envelope(data={"contact_id": CONTACT, "tag_id": 7})),
        (TAG, envelope(data={"contact_id": CONTACT, "tag_name": "x" * 256})),
        (TAG, structured(source=7)),
        (PAYMENT, envelope(PAYMENT, {"contact_id": CONTACT, "product_ids": "p"})),
        (PAYMENT, envelope(PAYMENT, {"contact_id": CONTACT, "product_ids": [None]})),
        (PAYMENT, envelope(PAYMENT, {"contact_id": CONTACT, "currency": 978})),
        (PAYMENT, envelope(PAYMENT, {"contact_id": CONTACT, "payment_id": 1})),
        ("workflow.enrollment.started", envelope("workflow.enrollment.started", {"contact_id": CONTACT})),
        ("workflow.enrollment.ended", envelope("workflow.enrollment.ended", {})),
        ("workflow.status.changed", envelope("workflow.status.changed", {"workflow_id": WORKFLOW})),
        ("workflow.status.changed", envelope("workflow.status.changed", [])),
        (
            "workflow.status.changed",
            envelope("workflow.status.changed", {"workflow_id": WORKFLOW, "status": "active", "goal_logic": "most"}),
        ),
        (
            "workflow.status.changed",
            envelope("workflow.status.changed", {"workflow_id": WORKFLOW, "status": "active", "goal_logic": []}),
        ),
    ],
)
def test_anything_else_is_of_the_wrong_type(topic: str, document: dict[str, object]) -> None:
    assert refusal(document, topic) == "wrong_type"


WRONG_FIELDS: list[tuple[str, list[object]]] = [
    ("kind", [None, "", "Tag", "contact", 7, True, [], {}, ["tag"]]),
    ("id", [None, 7, True, [], "x" * 256]),
    ("name", [7, False, [], "x" * 256]),
    ("parent_id", [7, False, {}, "x" * 256]),
    ("deleted", [0, 1, "", "true", [], {}]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG_FIELDS for value in values])
def test_a_reference_with_a_field_that_is_none_is_of_the_wrong_type(name: str, value: object) -> None:
    data: dict[str, object] = {"kind": "tag", "id": "tag-7"}
    assert refusal(envelope(REFERENCE, data | {name: value}), REFERENCE) == "wrong_type"


@pytest.mark.parametrize(
    "document",
    [
        envelope(REFERENCE, {}),
        envelope(REFERENCE, []),
        envelope(REFERENCE, {"id": "tag-7"}),
        envelope(REFERENCE, {"kind": "tag"}),
        envelope(REFERENCE, {"kind": "tag", "id": "tag-7"}, event_id=""),
        envelope(REFERENCE, {"kind": "tag", "id": "tag-7"}, account_id="no uuid"),
    ],
)
def test_a_reference_that_lacks_something_is_of_the_wrong_type(document: dict[str, object]) -> None:
    assert refusal(document, REFERENCE) == "wrong_type"


REASONS = {
    "not_json", "forbidden_character", "bad_cloudevent", "type_contradicts_topic", "no_account", "no_contact", "bad_time",
    "wrong_type",
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("contact_id", "tag_id", "amount", "product_ids", "enrollment_id", "workflow_id", "status", "entered_at")


@given(
    topic=st.sampled_from(READ_TOPICS),
    parts=st.fixed_dictionaries(
        {}, optional={name: JSON for name in ("event_id", "event_type", "account_id", "timestamp")}
    ),
    data=st.dictionaries(st.sampled_from((*FIELDS, "kind", "id", "deleted")), JSON | st.just(CONTACT)) | JSON,
)
def test_any_json_gives_a_fact_or_a_reason(topic: str, parts: dict[str, object], data: object) -> None:
    document = {**envelope(topic), "data": data, **parts}
    reason = None
    try:
        decoded = decode(topic, record(json.dumps(document).encode("utf-8", "surrogatepass"), timestamp=NOON_MS))
    except InvalidRecord as refused:
        reason = refused.reason
    assert reason in REASONS or (reason is None and isinstance(decoded, Event) == (topic in EVENT_TOPICS))


TIMES = [
    "2026-11-23T11:00:00Z",
    "2026-11-23T11:00:00.123",
    "2026-11-23T11:00:00.1234565Z",
    "2026-11-23T13:00:00.9999999+00:00",
    "2026-11-23T12:00:00+0000",
    "2026-11-23T12:00:00-0000",
    "2026-11-23T14:00:00+02:00",
    "2026-11-23T24:00:00Z",
    "2026-11-23 11:00:00z",
    "2026-11-23T13:00:00Z",
    "0001-01-01T00:00:00+10:00",
    "noon",
    None,
]

USUAL = st.fixed_dictionaries(
    {
        "account_id": st.sampled_from([ACCOUNT, ACCOUNT.upper()]),
        "data": st.fixed_dictionaries({"contact_id": st.just(CONTACT)}),
    },
    optional={
        "event_id": st.sampled_from(["e", "", "x" * 256, 7]),
        "event_type": st.sampled_from([TAG, PAYMENT, None]),
        "timestamp": st.sampled_from(TIMES),
        "specversion": st.just("1.0"),
        "extra": JSON,
    },
)


READ_USUAL = {topic: usual_reader(topic) for topic in EVENT_TOPICS}


def outline(topic: str, told: FakeRecord) -> AnyRawOutline | None:
    """The outline of a record; None where it is not usual."""
    usual = READ_USUAL[topic]([told])
    assert len(usual.outlines) == len(usual.records) == 1 - len(usual.others)
    return usual.outlines[0] if usual.outlines else None


documents = st.tuples(USUAL, st.dictionaries(st.sampled_from(FIELDS), JSON))


@given(topic=st.sampled_from(EVENT_TOPICS), told=st.lists(documents, max_size=4))
def test_a_usual_record_is_read_as_any_other(topic: str, told: list[tuple[dict[str, Any], dict[str, object]]]) -> None:
    records = [
        record(
            json.dumps(document | {"data": document["data"] | more}, ensure_ascii=False).encode(
                "utf-8", "surrogatepass"
            )
        )
        for document, more in told
    ]
    usual = READ_USUAL[topic](records)
    assert sorted(map(id, [*usual.records, *usual.others])) == sorted(map(id, records))
    for found, its_outline in zip(usual.records, usual.outlines, strict=True):
        decoded = decode(topic, found)
        assert isinstance(decoded, Event)
        assert (its_outline.account_id, outline_of(its_outline, topic, found).occurred_at) == (
            decoded.account_id,
            decoded.occurred_at,
        )
        assert usual.newest is not None
        assert decoded.occurred_at <= usual.newest
        assert outline_of(its_outline, topic, found).occurrence == decoded.occurrence
        names = decoded.occurrence._fields
        assert [getattr(its_outline.occurrence, name) for name in names] == list(decoded.occurrence)


def test_many_usual_records_are_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    for one_by_one in ("_is_valid", "parse_time", "is_uuid"):
        monkeypatch.delattr(f"goalstream.streams.usual.{one_by_one}")
    for topic in EVENT_TOPICS:
        assert len(READ_USUAL[topic]([record(envelope(topic, {"contact_id": CONTACT}))] * 3).outlines) == 3
    payment = envelope(PAYMENT, {"contact_id": CONTACT, "amount": 7, "product_ids": ["p"]})
    assert len(READ_USUAL[PAYMENT]([record(payment)] * 3).outlines) == 3


def test_an_unusual_record_leaves_its_neighbours_usual() -> None:
    good, bad = record(), record(envelope(data={"contact_id": "nobody"}))
    usual = READ_USUAL[TAG]([good, bad, good])
    assert (usual.records, usual.others) == ([good, good], [bad])


@pytest.mark.parametrize("told_at", ['2026-11-23T10:00:00Z","2026-11-23T10:00:00Z', "2026-11-23T10:00:00-0000"])
def test_times_are_not_taken_for_others_when_many_are_read(told_at: str) -> None:
    records = [record(), record(envelope(timestamp=told_at)), record()]
    assert READ_USUAL[TAG](records).others == [records[1]]


@pytest.mark.parametrize("place", ["envelope", "data"])
def test_the_shortest_record_that_nests_too_deep_is_long_enough_to_be_noticed(place: str) -> None:
    levels = 100 if place == "envelope" else 99
    deep = ',"":' + "[" * levels + "]" * levels
    in_data, in_envelope = (deep, "") if place == "data" else ("", deep)
    value = (
        f'{{"account_id":"{ACCOUNT}","timestamp":"2026-11-23T10:00:00","event_id":"e",'
        f'"data":{{"contact_id":"{CONTACT}"{in_data}}}{in_envelope}}}'
    )
    assert len(value) >= MIN_BYTES_TO_NEST_TOO_DEEP
    assert outline(TAG, record(value.encode())) is None
    with pytest.raises(InvalidRecord, match="not_json"):
        decode(TAG, record(value.encode()))


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\\u0000", b"\\ud800", b"\\uDFFF", b"\\ud83d\\ude00"])
def test_what_may_be_forbidden_is_never_read_in_one_go(text: bytes) -> None:
    value = json.dumps(envelope(data={"contact_id": CONTACT, "unused": "MARK"})).encode().replace(b"MARK", text)
    assert outline(TAG, record(value)) is None


@pytest.mark.parametrize("text", ["\u00e9".encode(), b"\\u00fc", b'\\"\\n', "\U0001f600".encode()])
def test_other_languages_are_usual(text: bytes) -> None:
    value = json.dumps(envelope(data={"contact_id": CONTACT, "tag_name": "MARK"})).encode().replace(b"MARK", text)
    found = outline(TAG, record(value))
    assert found is not None
    decoded = decode(TAG, record(value))
    assert isinstance(decoded, Event)
    assert isinstance(decoded.occurrence, TagAdded)
    assert found.occurrence.folded_name == decoded.occurrence.folded_name


@given(st.binary(max_size=200))
def test_any_bytes_give_a_reason(value: bytes) -> None:
    with pytest.raises(InvalidRecord) as caught:
        decode(TAG, record(value))
    assert caught.value.reason in REASONS

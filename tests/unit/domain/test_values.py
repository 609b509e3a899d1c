"""Values at the edge: amounts, durations, times, texts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.amounts import canonical_amount, parse_amount
from goalstream.domain.durations import format_duration, parse_duration
from goalstream.domain.texts import fold_name, has_forbidden_character, is_uuid
from goalstream.domain.times import from_milliseconds, parse_time


@pytest.mark.parametrize("value", ["150.00", 150, Decimal("150.0"), "1.5e2", "00150"])
def test_one_amount_has_many_forms_and_one_text(value: object) -> None:
    amount = parse_amount(value)
    assert amount is not None
    assert canonical_amount(amount) == "150"


@pytest.mark.parametrize("value", [None, True, 1.5, "", "1_0", " 1", "\u0661", "NaN", Decimal("NaN"), Decimal("Infinity"), -1, "-0.01", "1e31", "1e-31", "1" * 31, "1e99999", "+1", ".", "-", "0x1", "1,5", "\n1", "1\n", "0" * 255 + "1", 10**30, "1." + "0" * 30, [], b"1"])  # fmt: skip
def test_what_is_no_amount_is_none(value: object) -> None:
    assert parse_amount(value) is None


def test_canonical_amounts_have_no_exponent_sign_or_trailing_zeros() -> None:
    assert canonical_amount(Decimal("1E+3")) == "1000"
    assert canonical_amount(Decimal("0.10")) == "0.1"
    assert canonical_amount(Decimal("-0.00")) == "0"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("9" * 30, "9" * 30),
        ("1e30", "1E+30"),
        (Decimal("10E+30"), "10E+30"),
        (Decimal("1.5E+30"), "15E+29"),
        ("9" * 30 + "e30", "9" * 30 + "E+30"),
        ("1e-30", "0." + "0" * 29 + "1"),
        (Decimal("0E+30"), "0"),
        (Decimal("-0E-30"), "0"),
    ],
)
def test_amounts_at_the_edge_are_accepted_and_shown_so_that_they_are_accepted_again(value: object, shown: str) -> None:
    amount = parse_amount(value)
    assert amount is not None
    assert canonical_amount(amount) == shown
    assert parse_amount(shown) == amount


@given(
    digits=st.integers(0, 10**30 - 1) | st.integers(0, 999),
    exponent=st.integers(-30, 30),
    padding=st.integers(0, 5),
)
def test_every_accepted_amount_has_one_text_which_is_accepted(digits: int, exponent: int, padding: int) -> None:
    amount = parse_amount(f"{digits}E{exponent}")
    assert amount is not None
    text = canonical_amount(amount)
    assert parse_amount(text) == amount
    wider = parse_amount(f"{digits}{'0' * padding}E{exponent - padding}")
    assert wider is None or canonical_amount(wider) == text


@pytest.mark.parametrize(
    ("text", "duration", "shown"),
    [
        ("P2W", timedelta(weeks=2), "P14D"),
        ("P7D", timedelta(days=7), "P7D"),
        ("PT36H", timedelta(hours=36), "PT36H"),
        ("P1DT12H", timedelta(hours=36), "PT36H"),
        ("PT90M", timedelta(minutes=90), "PT90M"),
        ("PT61S", timedelta(seconds=61), "PT61S"),
        ("PT0S", timedelta(0), "PT0S"),
    ],
)
def test_durations_are_read_and_shown_in_their_largest_unit(text: str, duration: timedelta, shown: str) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == shown


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1", "7D", "P1M", "P1Y", "P-1D", "PT1.5S", "P1W2D", "P1DT", "p1d", "P\uff11D"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize("text", ["P999999999W", "P999999999DT24H"])
def test_what_no_calendar_can_hold_is_an_overflow(text: str) -> None:
    with pytest.raises(OverflowError):
        parse_duration(text)


@given(seconds=st.integers(0, 3650 * 86_400))
def test_a_duration_that_is_shown_is_the_duration_that_is_read(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T10:00:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23t10:00:00z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23 10:00:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00:00.1234569Z", datetime(2026, 11, 23, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-11-23T10:00:00.5", datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-23T10:00:00-00:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T00:00:00+23:59", datetime(2026, 11, 22, 0, 1, tzinfo=UTC)),
        ("2026-11-23T10:00:00+05:30", datetime(2026, 11, 23, 4, 30, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_rfc_3339_writes_them(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment


def test_a_time_without_an_offset_is_utc_wherever_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "XYZ+05:30")
        time.tzset()
        found = parse_time("2026-11-23T10:00:00")
    time.tzset()
    assert found == datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2026-11-23", "2026-11-23T10:00Z", "2026-11-23T10:00:00,5Z", "2026-02-30T10:00:00Z", "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:60Z", "2026-11-23T10:00:00+2", "2026-11-23T10:00:00+05:99", "2026-11-23T10:00:00+24:00", "2026-11-23T24:00:00Z", "2026-11-23T10:60:00Z", "2026-11-23T10:00:61Z", "0000-01-01T00:00:00Z", "2026-11-23T10:00:00Z\n", "20261123T100000Z", "2026-11-23T10:00:00.Z", "\u0662026-11-23T10:00:00Z"])  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text) is None


def test_a_records_timestamp_becomes_a_moment_if_a_calendar_knows_it() -> None:
    assert from_milliseconds(1_764_000_000_123) == datetime(2025, 11, 24, 16, 0, 0, 123_000, tzinfo=UTC)
    assert from_milliseconds(-1) is None
    assert from_milliseconds(10**18) is None


def test_uuids_have_one_form_in_either_case() -> None:
    assert is_uuid("d1a7c0de-0000-4000-8000-00000000000A")
    assert is_uuid("D1A7C0DE-ffff-0000-FFFF-ffffffffffff")
    for text in (
        "d1a7c0de000040008000000000000001",
        " d1a7c0de-0000-4000-8000-000000000001",
        "d1a7c0de-0000-4000-8000-000000000001\n",
        "d1a7c0de-0000-4000-8000-0000000000011",
        "\uff11" * 8 + "-0000-4000-8000-000000000001",
        "{d1a7c0de-0000-4000-8000-000000000001}",
        "",
        "d1a7c0de-0000-4000-8000-00000000000g",
    ):
        assert not is_uuid(text)


def test_names_are_stripped_and_folded_and_some_characters_forbidden() -> None:
    assert fold_name("\u2003Straße ") == "strasse"
    assert fold_name("a  b") == "a  b"
    assert has_forbidden_character("a\x00")
    assert has_forbidden_character("\udfff")
    assert has_forbidden_character("\ud800 first")
    assert not has_forbidden_character("😀\ue000\ud7ff\x01 ")

"""What appears on the screen: in a pipe, in a narrow terminal, without colours, and when nobody looks any more."""

from __future__ import annotations

import io
import re
from collections import Counter

import pytest

from goalstream.dev.health import Health, health_of
from goalstream.dev.narrator import Kind, Line
from goalstream.dev.options import DevOptions, make_settings, require_loopback
from goalstream.dev.screen import LINES_PER_SECOND, Allowance, Screen, ScreenClosed
from goalstream.errors import OperatorError


class Terminal(io.StringIO):
    """Says that a person is looking."""

    def isatty(self) -> bool:
        return True


def health(*, trouble: str = "") -> Health:
    counts: Counter[str] = Counter({Kind.ACHIEVED: 3, Kind.DEAD_LETTER: 1_200})
    return health_of(counts, [4, 9, 6], events_per_second=39.6, lag_records=2, trouble=trouble)


def show_a_bit(output: io.StringIO) -> str:
    screen = Screen(output)
    screen.title()
    screen.tick("Kafka", "in-process, 13 topics", 0.04, address="127.0.0.1:35811", hint="a hint")
    screen.show(Line(kind=Kind.ACHIEVED, text="Ada: achieved [bold]form[/bold]"), clock="10:00:00", now=0)
    screen.health(health(), clock="10:00:10")
    return output.getvalue()


def test_in_a_pipe_lines_are_plain() -> None:
    text = show_a_bit(io.StringIO())
    assert "\x1b" not in text
    assert "✓ Kafka" in text
    assert "10:00:00 achieved    Ada: achieved [bold]form[/bold]\n" in text
    assert "  ✓ Kafka       in-process, 13 topics     127.0.0.1:35811         0.0 s" in text
    words = "40 events/s, p50 6 ms, p99 9 ms, lag 2, 1,200 dead letters, 3 achieved, 0 exits, 0 duplicates"
    assert f"10:00:10 health      {words}\n" in text


def test_why_the_worker_waits_is_told_with_its_health() -> None:
    output = io.StringIO()
    Screen(output).health(health(trouble="PostgreSQL is away"), clock="10:00:10")
    assert output.getvalue().endswith("10:00:10 not ready   PostgreSQL is away\n")


def test_in_a_terminal_lines_have_colours_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in show_a_bit(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[\d*3[0-7]m", show_a_bit(Terminal()))


def test_a_hint_is_shown_where_there_is_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, is_shown in (("80", True), ("75", False), ("120", True)):
        monkeypatch.setenv("COLUMNS", columns)
        output = io.StringIO()
        Screen(output).tick("Kafka", "x", 0.04, hint="a")
        assert (output.getvalue().rstrip().endswith("   a")) == is_shown


def test_in_a_narrow_terminal_a_tick_takes_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = show_a_bit(io.StringIO())
    assert "✓ Kafka in-process, 13 topics 127.0.0.1:35811 0.0 s\n" in text
    assert "a hint" not in text


def test_an_output_that_knows_no_ticks_gets_question_marks() -> None:
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    Screen(output).tick("Kafka", "in-process", 0.04)
    assert b"? Kafka" in raw.getvalue()


def test_a_closed_output_is_told_apart() -> None:
    output = io.StringIO()
    screen = Screen(output)
    output.close()
    with pytest.raises(ScreenClosed):
        screen.note("anybody?")


def test_of_frequent_lines_only_some_are_shown_and_of_rare_ones_all() -> None:
    allowance = Allowance(LINES_PER_SECOND)
    shown = Counter(
        kind
        for hundredth in range(1_000)
        for kind in (Kind.ACHIEVED, Kind.NO_MATCH, Kind.DEAD_LETTER)
        if allowance.take(kind, hundredth / 100)
    )
    assert shown[Kind.DEAD_LETTER] == 1_000
    assert 40 <= shown[Kind.ACHIEVED] <= 45
    assert 10 <= shown[Kind.NO_MATCH] <= 12


def test_lines_about_somebody_who_is_not_of_the_demo_are_always_shown() -> None:
    output = io.StringIO()
    screen = Screen(output)
    for _ in range(50):
        screen.show(Line(kind=Kind.NO_MATCH, text="contact 1: x", is_yours=True), clock="10:00:00", now=0)
    assert output.getvalue().count("contact 1") == 50


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_may_be_served(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_other_machines_are_refused_in_one_line_with_two_ways_out(host: str) -> None:
    with pytest.raises(OperatorError, match=r"this machine only.*or use") as told:
        require_loopback(host)
    assert "\n" not in str(told.value)


def test_settings_for_real_services_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALSTREAM_HTTP_HOST", "0.0.0.0")
    monkeypatch.setenv("GOALSTREAM_KAFKA_TOPIC_PREFIX", "production.")
    monkeypatch.setenv("GOALSTREAM_METRICS_PORT", "8647")
    monkeypatch.setenv("GOALSTREAM_TOPIC_PARTITIONS", "not even a number")
    settings = make_settings(DevOptions(http_port=8646), kafka="127.0.0.1:1234", database_url="postgresql://x@h/d")
    assert (settings.http_host, settings.kafka_topic_prefix, settings.metrics_port) == ("127.0.0.1", "", 0)
    assert settings.activation_delay_seconds == 0
    assert settings.jwt_secret is not None


def test_every_run_has_a_secret_of_its_own() -> None:
    one, other = (
        make_settings(DevOptions(http_port=8646), kafka="127.0.0.1:1", database_url="postgresql://x@h/d")
        for _ in (1, 2)
    )
    assert one.jwt_secret != other.jwt_secret

"""`goalstream dev` in a terminal: screens, keys, sizes, and a terminal that is as it was before, however it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.screens import TerminalProgram

DEV = [sys.executable, "-m", "goalstream", "dev", "--seed", "11"]
GONE_SECONDS = 30
LIVE = r"^ goalstream dev  \d+:\d\d  "
DECISION = r"^ \d\d:\d\d:\d\d "
COLOUR = r"\x1b\[(?:\d+;)*3\d(?:;\d+)*m"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everything temporary goes; every account may enter it."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def family_of(terminal: TerminalProgram) -> list[psutil.Process]:
    return psutil.Process(terminal.process.pid).children(recursive=True)


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + GONE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {GONE_SECONDS} s: {what}"
        time.sleep(0.02)


def assert_nothing_stays(folder: Path, family: list[psutil.Process]) -> None:
    wait_until(lambda: not any(process.is_running() for process in family), f"{family} are gone")
    wait_until(lambda: not list(folder.iterdir()), f"{folder} is empty")


def goal_row(terminal: TerminalProgram, title: str) -> list[str]:
    """What stands beside a goal."""
    found = re.search(rf"^   {re.escape(title)} +(.+)$", terminal.text, re.MULTILINE)
    assert found, terminal.text
    return found[1].split()


def test_a_tour_of_the_screens_and_keys(folder: Path) -> None:
    programs = folder / "programs"
    programs.mkdir()
    opener = programs / "xdg-open"
    opener.write_text(f'#!/bin/sh\necho "$1" >{programs}/opened\n')
    opener.chmod(0o755)
    environment = {"TMPDIR": str(folder), "PATH": f"{programs}:{os.environ['PATH']}", "DISPLAY": ":0"}
    with TerminalProgram(DEV, columns=80, lines=24, environment=environment) as terminal:
        for line in (
            r"^  goalstream dev   no Docker needed",
            r"^  ✓ Kafka +in-process, \d+ topics +127\.0\.0\.1:\d+ +\d+\.\d s$",
            r"^  ✓ PostgreSQL +\d+\.\d+, throw-away +127\.0\.0\.1:\d+ +\d+\.\d s$",
            r"^  ✓ Schema +\d+ migrations, 5 demo goals \(one per type\) +\d+\.\d s$",
            r"^  ✓ Worker +\d+ partitions +\d+\.\d s$",
            r"^  ✓ First goal  achieved, counted from the start +\d+\.\d s$",
            r"^  Console   http://127\.0\.0\.1:\d+/#token=",
        ):
            terminal.wait_for(line)

        terminal.wait_for(LIVE + r"40 records/s +Console http://127\.0\.0\.1:\d+$")
        terminal.wait_for(r"^ +seen +matched +achieved +dupl\. +rate$")
        terminal.wait_for(r"^ Spring promo  \d+ enrolled$")
        terminal.wait_for(r"^ \d+ events/s   p50 \d+ ms, p99 \d+ ms   lag \d+   \d+ dead letters")
        terminal.wait_for(DECISION + r"\w+ \w+: achieved form \"spring-promo\" in Spring promo \(1 of 3\)$")
        terminal.wait_for(DECISION + r"\w+ \w+: .+ is not ")
        terminal.wait_for(r"^ e send an event  space pause  \+/- rate  r redeliver  o console  \? help  q quit$")
        seen, matched, achieved, *_ = map(int, goal_row(terminal, 'form "spring-promo"')[:4])
        assert seen >= matched >= achieved > 0

        terminal.press("e")
        terminal.wait_for(r"^ » You: achieved form \"spring-promo\" in Spring promo \(1 of 3\)$")
        terminal.press(" ")
        terminal.wait_for(LIVE + "40 records/s  paused")
        terminal.press("e")
        terminal.wait_for(r"^ » You: achieved appointment in \"consultation\" in Spring promo \(2 of 3\)$")
        terminal.press("r")
        terminal.wait_for(r"^ » You: appointment\.booked came again: ignored \(evt_")
        before = goal_row(terminal, 'appointment in "consultation"')
        terminal.press("e")
        terminal.wait_for(r"^ » You: 49 EUR is less than 100 EUR$")
        terminal.press("e")
        terminal.wait_for(r"^ » You: (achieved purchase from 100 EUR|leaves Spring promo)")
        assert goal_row(terminal, 'appointment in "consultation"') == before, "nobody else did anything meanwhile"
        terminal.press("+")
        terminal.wait_for(LIVE + "80 records/s  paused")
        terminal.press("--")
        terminal.wait_for(LIVE + "20 records/s  paused")
        terminal.press("o")
        terminal.wait_for("^ » the console is in your browser$")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=[\w.-]+\n", (programs / "opened").read_text())
        terminal.press("\x1b[A")

        terminal.press("?")
        terminal.wait_for("^  Any key leads back, q ends it.$")
        assert not terminal.is_alternate
        terminal.press("x")
        wait_until(lambda: terminal.is_alternate, "the live screen is back")
        for text in (
            r"In \d+ s you saw [\d,]+ records",
            r"\| \S*goalstream send -",
            r"goalstream goals add [0-9a-f-]{36} tag_added",
            r"goalstream explain --contact [0-9a-f-]{36} --goal [0-9a-f-]{36}",
            r"GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS=host:9092",
            r"docker compose up",
        ):
            assert re.search(text, terminal.written), text

        terminal.press(" ")
        terminal.wait_for(LIVE + r"20 records/s(?!  paused)")
        terminal.resize(160, 50)
        terminal.wait_for(r"^ +seen +matched +achieved +duplicates +rate$")
        terminal.wait_for(DECISION + r"(achieved|no match|exit|duplicate) ")
        assert terminal.text.splitlines()[49].startswith(" e send an event")
        assert re.search("█", terminal.text)
        terminal.resize(60, 20)
        terminal.wait_for(r"^ +seen +matched +achieved +rate$")
        assert "q quit" in terminal.text.splitlines()[19]

        family = family_of(terminal)
        terminal.press("q")
        assert terminal.end() == 0
        assert not terminal.is_alternate
        assert terminal.has_its_settings_back()
        assert "Stopped; nothing stays behind." in terminal.written
        assert "\x1b[?25h" in terminal.written
        assert "Traceback" not in terminal.written
        shutil.rmtree(programs)
        assert_nothing_stays(folder, family)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL", "hang-up"])
def test_the_terminal_is_as_it_was_and_nothing_stays(how: str, folder: Path) -> None:
    with TerminalProgram(DEV, columns=160, lines=50, environment={"TMPDIR": str(folder), "NO_COLOR": "1"}) as terminal:
        terminal.wait_for(LIVE)
        terminal.wait_for(DECISION)
        assert terminal.is_alternate
        assert not terminal.has_its_settings_back()
        family = family_of(terminal)
        if how == "hang-up":
            terminal.close()
            terminal.process.wait(GONE_SECONDS)
        else:
            if how == "SIGINT":
                terminal.press("\x03")
            else:
                terminal.process.send_signal(signal.Signals[how])
            assert terminal.end() == (-signal.SIGKILL if how == "SIGKILL" else 0)
            wait_until(terminal.has_its_settings_back, "the terminal has its settings back")
            wait_until(lambda: not terminal.is_alternate, "the usual screen is back")
            assert "Traceback" not in terminal.written
        assert not re.search(COLOUR, terminal.written), "NO_COLOR is set"
        assert_nothing_stays(folder, family)


def test_it_ends_when_whoever_started_it_is_killed(folder: Path) -> None:
    starter = ["sh", "-c", f"{' '.join(DEV)}; true"]
    with TerminalProgram(starter, columns=80, lines=24, environment={"TMPDIR": str(folder)}) as terminal:
        terminal.wait_for(LIVE)
        family = family_of(terminal)
        assert len(family) > 3
        terminal.process.kill()
        assert_nothing_stays(folder, family)


def test_plain_lines_are_shown_in_a_terminal_that_is_asked_for_them(folder: Path) -> None:
    with TerminalProgram(
        [*DEV, "--plain", "--no-sim"], columns=80, lines=24, environment={"TMPDIR": str(folder)}
    ) as terminal:
        terminal.wait_for("^  Waiting for your events.$")
        assert terminal.has_its_settings_back()
        terminal.press("\x03")
        assert terminal.end() == 0
        assert "\x1b[?1049h" not in terminal.written

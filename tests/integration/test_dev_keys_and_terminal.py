"""A program that takes over the terminal gives it back, and a key that opens a page says what became of it."""

from __future__ import annotations

import signal
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goalstream.dev.keys import open_page
from tests.acceptance.screens import TerminalProgram

GONE_SECONDS = 20

OPENED = """
import os, sys, termios, time
from rich.text import Text
from goalstream.dev.terminal import Terminal, is_interactive
assert is_interactive()
terminal = Terminal()
with terminal.opened():
    terminal.paint([Text("first"), Text("")] + [Text("x" * 40, "red")] * 7 + [Text("last " + "x" * 35)])
    {then}
"""
ASK = """
from goalstream.dev.terminal import is_interactive
print("a person" if is_interactive() else "nobody", flush=True)
"""


def program(then: str) -> TerminalProgram:
    return TerminalProgram([sys.executable, "-c", OPENED.format(then=then)], columns=40, lines=10)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + GONE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {GONE_SECONDS} s: {what}"
        time.sleep(0.02)


def test_a_full_screen_is_painted_without_scrolling_and_keys_are_not_echoed() -> None:
    with program("typed = os.read(0, 9); terminal.paint([Text(repr(typed))]); time.sleep(60)") as terminal:
        terminal.wait_for(r"\Afirst\n\n(x{40}\n){7}last x{35}$")
        terminal.press("\x13")
        terminal.wait_for(r"\Ab'\\x13'\n\n")  # Ctrl-S is a key among others


@pytest.mark.parametrize("then", ["raise ValueError('oh')", "sys.exit(0)", "os.kill(0, 2); time.sleep(60)"])
def test_an_error_or_an_interruption_restores_the_terminal(then: str) -> None:
    with program(then) as terminal:
        terminal.end()
        assert terminal.has_its_settings_back()
        assert not terminal.is_alternate
        assert "\x1b[?1049h" in terminal.written


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_kill_restores_the_terminal(number: signal.Signals) -> None:
    with program("time.sleep(60)") as terminal:
        terminal.wait_for("^first$")
        assert not terminal.has_its_settings_back()
        terminal.process.send_signal(number)
        wait_until(terminal.has_its_settings_back, "the terminal has its settings back")
        wait_until(lambda: not terminal.is_alternate, "the usual screen is back")


def test_settings_that_a_shell_has_made_meanwhile_are_left_alone() -> None:
    """As a shell does when its job was killed, before it edits the next command."""
    as_a_shell = "mode = termios.tcgetattr(0); mode[6][termios.VMIN] = 7; termios.tcsetattr(0, termios.TCSANOW, mode)"
    with program(f"{as_a_shell}; os.kill(os.getpid(), 9)") as terminal:
        terminal.process.wait(GONE_SECONDS)
        wait_until(lambda: "\x1b[?1049l" in terminal.written, "the usual screen is back")
        assert terminal.settings_now()[6][termios.VMIN] == 7


@pytest.mark.parametrize(
    ("command", "variables", "seen"),
    [
        ([sys.executable, "-c", ASK], {}, "a person"),
        ([sys.executable, "-c", ASK], {"TERM": "dumb"}, "nobody"),
        (["sh", "-c", f"{sys.executable} -c '{ASK}' </dev/null"], {}, "nobody"),
        (["sh", "-c", f"{sys.executable} -c '{ASK}' | cat"], {}, "nobody"),
        (["sh", "-mc", f"{sys.executable} -c '{ASK}' & wait"], {}, "nobody"),
    ],
    ids=["terminal", "dumb", "no input", "pipe", "background"],
)
def test_only_a_terminal_in_the_foreground_has_a_person_at_it(
    command: list[str], variables: dict[str, str], seen: str
) -> None:
    with TerminalProgram(command, columns=40, lines=10, environment=variables) as terminal:
        terminal.wait_for(f"^{seen}$")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "the console is in your browser"),
        ("exec sleep 2", "the console is in your browser"),
        ("exit 3", "the browser does not open: ? shows the address to paste"),
        (None, "no browser can be opened from here: ? shows the address to paste"),
    ],
    ids=["opens", "stays", "fails", "missing"],
)
def test_opening_a_page_says_what_became_of_it(
    script: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script is not None:
        (tmp_path / "xdg-open").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "xdg-open").chmod(0o755)
    monkeypatch.setattr("goalstream.dev.keys.OPEN_SECONDS", 0.5)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if script else str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_page("http://127.0.0.1:1/") == said


def test_without_a_desktop_no_browser_takes_over_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xdg-open").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "xdg-open").chmod(0o755)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no browser can be opened from here" in open_page("http://127.0.0.1:1/")

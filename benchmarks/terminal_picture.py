"""The live screen of `goalstream dev` as a picture, from a real run in which somebody presses a key now and then.

python -m benchmarks.terminal_picture docs/pictures/terminal.svg [--seconds 60] [--columns 100] [--lines 30]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from goalstream.dev.demo import Demo
from goalstream.dev.options import DevOptions
from goalstream.dev.screen import Screen
from goalstream.dev.terminal import Terminal
from goalstream.observability.logs import configure_logs

CONSOLE = re.compile(r"http://127\.0\.0\.1:\d+")
INDENTED = re.compile(r'x="([\d.]+)"( y="[\d.]+") textLength="([\d.]+)"([^>]*)>((?:&#160;)+)(?=[^&<]|&[^#])')
CELL_WIDTH = 12.2
KEYS = ((0.75, "e"), (0.9, "e"))
"""What is pressed, and after which share of the time."""

# A picture looks the same wherever it is shown: no font from elsewhere.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
)


class Photographed(Terminal):
    """A terminal of a size that nobody sits at; `lines` is what was painted last."""

    def __init__(self, columns: int, lines: int) -> None:
        self.input_fd, self._keys = os.pipe()
        self._size = os.terminal_size((columns, lines))
        self.lines: list[Text] = []

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        yield

    def size(self) -> os.terminal_size:
        return self._size

    def clear(self) -> None:
        """Does nothing."""

    def paint(self, lines: list[Text]) -> None:
        self.lines = lines

    def press(self, key: str) -> None:
        os.write(self._keys, key.encode())


async def photograph(terminal: Photographed, seconds: float) -> None:
    """Runs for so long."""
    stopped = asyncio.Event()
    configure_logs("console", "error")
    demo = Demo(DevOptions(), Screen(io.StringIO()), terminal=terminal, stop=stopped.set)
    running = asyncio.create_task(demo.run())
    begin = asyncio.get_running_loop().time()
    for share, key in (*KEYS, (1.0, "")):
        left = begin + seconds * share - asyncio.get_running_loop().time()
        await asyncio.wait([running], timeout=max(left, 0))
        if running.done():
            await running
        terminal.press(key)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def picture(lines: list[Text], columns: int) -> str:
    """The lines as SVG."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        line.plain = CONSOLE.sub(lambda found: "http://127.0.0.1:8646".ljust(len(found[0])), line.plain)
        console.print(line, no_wrap=True, overflow="crop")
    svg = console.export_svg(
        title="goalstream dev", theme=SVG_EXPORT_THEME, code_format=FORMAT, unique_id="goalstream-dev"
    )
    return INDENTED.sub(_moved, svg)


def _moved(found: re.Match[str]) -> str:
    """Moves a text by its leading blanks instead of writing them, which some programs leave out."""
    x, y, length, rest, blanks = found.groups()
    moved = blanks.count(";") * CELL_WIDTH
    return f'x="{float(x) + moved:g}"{y} textLength="{float(length) - moved:g}"{rest}>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--lines", type=int, default=30)
    options = parser.parse_args()
    terminal = Photographed(options.columns, options.lines)
    asyncio.run(photograph(terminal, options.seconds))
    options.path.write_text(picture(terminal.lines, options.columns) + "\n", "utf-8")


if __name__ == "__main__":
    main()

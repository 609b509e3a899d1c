"""How long a program is: its lines of code, without blank ones, comments and docstrings."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

_NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)


def count_code_lines(source: str) -> int:
    """Lines that hold some code; a string over several lines counts with those that are not blank."""
    lines = source.splitlines()
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            held.update(range(token.start[0], token.end[0] + 1))
    held.difference_update(_docstring_lines(ast.parse(source)))
    return sum(1 for number in held if lines[number - 1].strip())


def count_in_files(paths: Iterable[Path]) -> int:
    """The same of several files together."""
    return sum(count_code_lines(path.read_text()) for path in paths)


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    """Every string that stands as a statement: those below an attribute are documentation too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)

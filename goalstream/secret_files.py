"""A directory of files that are named like settings, as Docker and Kubernetes mount secrets: what is there, and what is wrong."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def files(directory: Path, *, prefix: str) -> dict[str, Path]:
    """The files that are named like settings, by the setting's name in upper case; others, such as `..data`, do not count."""
    return {path.name.upper(): path for path in sorted(directory.iterdir()) if path.name.upper().startswith(prefix)}


def problems(directory: Path, *, prefix: str, names: Collection[str]) -> list[str]:
    """Everything because of which a setting could be missed without a word; `names` are the settings, in upper case."""
    try:
        entries = files(directory, prefix=prefix)
    except OSError as error:
        return [f"{directory} cannot be read as a directory: {error.strerror}"]
    return [
        problem
        for name, path in entries.items()
        if (problem := f"{path} is named like no setting" if name not in names else _problem(path, directory))
    ]


def _problem(path: Path, directory: Path) -> str:
    try:
        path.read_text("utf-8")
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return f"{path} is not UTF-8"
    return "" if directory.resolve() in path.resolve().parents else f"{path} leads out of the directory"

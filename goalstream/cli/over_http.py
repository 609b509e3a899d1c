"""What commands over HTTP share: ids are looked at before anything is asked, and the API's client is loaded only then."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from goalstream.cli.terminal import err, wide
from goalstream.domain.texts import is_uuid
from goalstream.errors import SettingsError


def require_ids(**ids: str) -> None:
    """Raises SettingsError for arguments that are no UUIDs."""
    problems = [f"{name}: {text} is no UUID" for name, text in ids.items() if not is_uuid(text)]
    if problems:
        raise SettingsError(*problems)


def given(**values: Any) -> dict[str, Any]:
    """The values that were given: a person leaves the others out."""
    return {name: value for name, value in values.items() if value is not None}


def read_newest(path: str, member: str, limit: int, **filters: str | None) -> list[dict[str, Any]]:
    """The first entries of a listing, under that name in each of its pages. Raises as `ask` does."""
    from goalstream.cli.api_client import Api, pages, with_api

    async def read(api: Api) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async for page in pages(api, path, wanted=limit, filters=given(**filters)):
            found += page[member]
            if len(found) >= limit:
                break
        return found[:limit]

    return with_api(read)


def show_list(
    found: Sequence[Mapping[str, Any]], as_json: bool, table: Callable[[Any], Any], noun: str, plural: str = ""
) -> None:
    """Entries as lines of JSON, or as a table and how many they are."""
    if as_json:
        for one in found:
            sys.stdout.write(json.dumps(one) + "\n")
        return
    if found:
        wide.print(table(found))
    err.print(f"{len(found)} {noun if len(found) == 1 else plural or noun + 's'}", markup=False)


def ask(method: str, path: str, **values: Any) -> dict[str, Any]:
    """The document that the API of the settings answers with. Raises what `with_api` and `Api.ask` raise."""
    from goalstream.cli.api_client import with_api

    document: dict[str, Any] = with_api(lambda api: api.ask(method, path, **values)).json()
    return document

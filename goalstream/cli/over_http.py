"""What commands over HTTP share: ids are looked at before anything is asked, and the API's client is loaded only then."""

from __future__ import annotations

from typing import Any

from goalstream.domain.texts import is_uuid
from goalstream.errors import SettingsError


def require_ids(**ids: str) -> None:
    """Raises SettingsError for arguments that are no UUIDs."""
    problems = [f"{name}: {text} is no UUID" for name, text in ids.items() if not is_uuid(text)]
    if problems:
        raise SettingsError(*problems)


def ask(method: str, path: str, **values: Any) -> dict[str, Any]:
    """The document that the API of the settings answers with. Raises what `with_api` and `Api.ask` raise."""
    from goalstream.cli.api_client import with_api

    document: dict[str, Any] = with_api(lambda api: api.ask(method, path, **values)).json()
    return document

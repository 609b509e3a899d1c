"""How API keys look: as a table, as JSON, and one that was just made. Never the key itself but that once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from goalstream.cli.terminal import printable
from goalstream.storage.api_keys import KeyRecord
from goalstream.storage.codecs import encode_json


def table(records: Sequence[KeyRecord]) -> Table:
    """A row for each key."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ID", "ACCOUNT", "NAME", "SCOPES", "STATE", "CREATED", "BY", "EXPIRES", "LAST USED"):
        found.add_column(name, no_wrap=True)
    for record in records:
        cells = (
            record.key_id,
            record.account_id,
            record.name,
            " ".join(record.scopes),
            record.state,
            _moment(record.created_at),
            record.created_by,
            _moment(record.expires_at),
            _moment(record.last_used_at),
        )
        found.add_row(*(Text(printable(cell)) for cell in cells))
    return found


def line(record: KeyRecord, *, key: str | None = None) -> str:
    """A key's record as one line of JSON, with the key itself where it was just made."""
    return encode_json(record.document() | ({} if key is None else {"key": key}))


def sentence(record: KeyRecord) -> str:
    """What a key is good for."""
    end = "for ever" if record.expires_at is None else f"until {_moment(record.expires_at)}"
    return printable(
        f"{record.key_id} ({record.name}) is good for {' '.join(record.scopes)} of account {record.account_id}, {end}"
    )


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")

"""The examples beside the schemas: records as bytes, and what the schemas of their topic say about them.

An example is the value of a record. `<name>.headers.json` beside it holds the record's headers, as texts. An invalid one is named
`<reason>.<what>.json` where goalstream reads its topic, after the reason that its dead letter must have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

from goalstream.streams.topics import READ_TOPICS
from tests.schema_changes import SCHEMAS
from tests.unit.streams.records import FakeRecord

BEYOND = "Beyond the schema: "
"""How the `$comment` of an invalid example begins that a schema cannot refuse."""

_HEADERS = ".headers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example; `reason` is that of the dead letter that it must become, None for a valid one."""

    path: Path
    topic: str
    value: bytes
    headers: Mapping[str, str]
    reason: str | None

    @property
    def record(self) -> FakeRecord:
        """It as a record of its topic."""
        headers = [(name, text.encode()) for name, text in self.headers.items()]
        return FakeRecord(value=self.value, topic=self.topic, headers=list(headers))

    @property
    def is_beyond_the_schema(self) -> bool:
        return f'"$comment": "{BEYOND}'.encode() in self.value

    def __str__(self) -> str:
        return str(self.path.relative_to(SCHEMAS)).removesuffix(".json")


def examples(topic: str, kind: str) -> list[Example]:
    """The examples of a topic, `valid` or `invalid`."""
    folder = SCHEMAS / topic / "examples" / kind
    paths = sorted(path for path in folder.rglob("*.json") if not path.name.endswith(_HEADERS))
    return [
        Example(
            path=path,
            topic=topic,
            value=path.read_bytes(),
            headers=json.loads(beside.read_text("utf-8")) if (beside := _headers_of(path)).exists() else {},
            reason=path.name.split(".", 1)[0] if kind == "invalid" else None,
        )
        for path in paths
    ]


def _headers_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".json") + _HEADERS)


def schema_of(topic: str) -> dict[str, Any]:
    """The schema of a topic in version 1."""
    return dict(json.loads((SCHEMAS / topic / "v1.json").read_text("utf-8")))


class Judge:
    """What the schemas of a topic say about its records: whether they are valid, whatever the codec says."""

    def __init__(self, topic: str) -> None:
        validators = jsonschema_rs.validator_map_for(schema_of(topic), validate_formats=True, offline=True)
        self._value = validators["#"]
        if topic in READ_TOPICS:
            self._headers, self._data = validators["#/$defs/headers"], validators["#/$defs/data"]

    def takes(self, value: bytes | None, headers: Mapping[str, str]) -> bool:
        """Whether a record is valid; in CloudEvents' binary mode headers and value are, each by its own schema."""
        try:
            document = read_json(value or b"")
        except ValueError:
            return False
        is_structured = headers.get("content-type", "").startswith("application/cloudevents+json")
        if any(name.startswith("ce_") for name in headers) and not is_structured:
            return self._headers.is_valid(headers) and self._data.is_valid(document)
        return self._value.is_valid(document)

    def errors(self, document: object) -> Iterator[jsonschema_rs.ValidationError]:
        """Everything that is wrong with a value."""
        return self._value.iter_errors(document)


def read_json(value: bytes) -> Any:
    """JSON with the digits of its numbers. Raises ValueError, also for NaN and lone surrogates, which Python takes for JSON."""
    return _decoder.decode(value)


_decoder = msgspec.json.Decoder(float_hook=Decimal)

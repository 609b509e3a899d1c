"""The contracts: the JSON Schema of every topic, and what in a document breaks it.

A schema says what JSON Schema can say. What is beyond it (how deep a document is nested, how many digits an amount has) the
codec says: a document of a topic that goalstream reads has no problem here if, and only if, a worker takes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from goalstream.errors import InvalidRecord, Problem, SettingsError
from goalstream.streams.codec import decode
from goalstream.streams.envelope import parse_object
from goalstream.streams.ports import Headers
from goalstream.streams.topics import ALL_TOPICS, READ_TOPICS

MAX_MESSAGE_LENGTH = 200
"""Of a sentence about a problem, which may quote whole documents."""


MASK = "the value"
"""What stands for it where a sentence must not quote it."""


class Direction(StrEnum):
    """Whether goalstream reads a topic or publishes on it."""

    READ = "read"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of the schema of a topic; `text` is the file as it is."""

    topic: str
    version: int
    text: str

    @property
    def schema(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    @property
    def title(self) -> str:
        return str(self.schema["title"])

    @property
    def direction(self) -> Direction:
        return Direction.READ if self.topic in READ_TOPICS else Direction.PUBLISHED


def schemas_folder() -> Path:
    """Where the schemas of this release are: in the wheel, or in a checkout."""
    package = Path(__file__).parent
    return next(path for path in (package / "_schemas", package.parent / "schemas") if path.is_dir())


def known_contracts(folder: Path | None = None) -> Sequence[Contract]:
    """All of them, topics in the order of the contract, versions ascending."""
    found = [
        Contract(topic=path.parent.name, version=int(path.stem[1:]), text=path.read_text("utf-8"))
        for path in (folder or schemas_folder()).glob("*/v*.json")
    ]
    return sorted(found, key=lambda contract: (ALL_TOPICS.index(contract.topic), contract.version))


def examples() -> dict[str, dict[str, Any]]:
    """Valid events of every topic that goalstream reads, by topic and name, the complete one first."""
    found: dict[str, dict[str, Any]] = {}
    for topic in READ_TOPICS:
        paths = (schemas_folder() / topic / "examples" / "valid").glob("*.json")
        first = sorted(paths, key=lambda path: (path.stem != "complete", path.stem))
        found[topic] = {path.stem: json.loads(path.read_text("utf-8")) for path in first}
    return found


def find_contract(topic: str, version: int | None = None) -> Contract:
    """A topic's contract in a version, by default the newest. Raises SettingsError."""
    found = [contract for contract in known_contracts() if contract.topic == topic]
    if not found:
        raise SettingsError(f"{topic!r} is none of: {', '.join(ALL_TOPICS)}")
    for contract in reversed(found):
        if version in (None, contract.version):
            return contract
    raise SettingsError(f"{topic} has no version {version}")


def problems_of(line: bytes, topic: str | None = None) -> list[Problem]:
    """What breaks the contract in a document: an event in its envelope, or, of a topic that is published, a value as well.

    The document tells its topic by its type, unless it is given.
    """
    try:
        document = parse_object(line)
    except InvalidRecord as error:
        return [Problem("", str(error))]
    if topic is None:
        where = "type" if "specversion" in document else "event_type"
        topic = document.get(where)
        if topic not in ALL_TOPICS:
            return [Problem(f"/{where}", f"{topic!r:.80} is none of: {', '.join(ALL_TOPICS)}")]
    return problems_in(document, line, topic)


def problems_in(document: Mapping[str, Any], line: bytes, topic: str) -> list[Problem]:
    """What breaks the contract of a topic in a document that is parsed already; `line` is how it is written."""
    if topic in READ_TOPICS:
        return list(_broken(topic, document)) or _refusal(topic, line)
    if "specversion" in document:
        return list(_broken(topic, document.get("data"), "/data"))
    return list(_broken(topic, document))


def _broken(topic: str, value: object, pointer: str = "") -> Iterator[Problem]:
    """What the schema of a topic refuses in a value that stands at a pointer."""
    validator, masked, schema = _validator(topic)
    if validator.is_valid(value):
        return
    for error, unquoted in zip(validator.iter_errors(value), masked.iter_errors(value), strict=True):
        steps = "".join(f"/{_escaped(str(step))}" for step in error.instance_path)
        told = _sentence(error, json.dumps(error.instance, ensure_ascii=False), schema)
        yield Problem(pointer + steps, _short(told), _short(_sentence(unquoted, MASK, schema)))


def _refusal(topic: str, line: bytes) -> list[Problem]:
    """What is beyond the schema, as the dead letter would tell it."""
    try:
        decode(topic, _Line(topic=topic, value=line))
    except InvalidRecord as error:
        return [Problem("", _short(str(error)), f"{error.reason}: {error.detail.partition(': ')[0]}")]
    return []


@lru_cache
def _validator(topic: str) -> tuple[jsonschema_rs.Validator, jsonschema_rs.Validator, dict[str, Any]]:
    """One whose sentences quote what is wrong, one whose do not, and the schema."""
    schema = find_contract(topic).schema
    quoting, masked = (
        jsonschema_rs.validator_for(schema, validate_formats=True, offline=True, mask=mask) for mask in (None, MASK)
    )
    return quoting, masked, schema


def _sentence(error: jsonschema_rs.ValidationError, instance: str, schema: dict[str, Any]) -> str:
    """The library's sentence; instead of a pattern, which few can read, what it stands for."""
    if error.kind.name != "pattern":
        return error.message
    part: Any = schema
    for step in error.schema_path[:-1]:
        part = part[step]
    return f"{instance} is not {part['title']}"


def _short(sentence: str) -> str:
    """A sentence that quotes something long, without the middle of it."""
    if len(sentence) <= MAX_MESSAGE_LENGTH:
        return sentence
    half = MAX_MESSAGE_LENGTH // 2
    return f"{sentence[:half]}…{sentence[-half:]}"


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A document as a record that nobody has sent yet. Its timestamp refuses nothing: a later time is the record's."""

    topic: str
    value: bytes
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    headers: Headers = ()

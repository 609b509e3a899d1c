"""Refuses a change of a schema that breaks somebody: compares `schemas/` with what was released last.

python -m tests.schema_changes              prints what breaks; exit code 1 when something does
python -m tests.schema_changes --release    takes the schemas as released, unless something breaks

What is released stands in `tests/contract/released`. A change that must break somebody is a new version beside the old one.

Of a topic that goalstream reads, everything that was taken must still be taken. Of a topic that it publishes, nothing may be
there that was not allowed before. A new optional member breaks nobody, since unknown members are ignored; a member that is gone
breaks somebody in either direction. What cannot be proved harmless breaks.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema_rs.canonical import Containment

from goalstream.contracts import Direction, known_contracts

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "schemas"
RELEASED = ROOT / "tests" / "contract" / "released"

Schema = dict[str, Any]

BESIDE_THE_VALUE = "headers"
"""The definition that the root of a schema does not refer to, and that producers and consumers depend on all the same."""

PARTS = ("then", "else", "items")
"""Keywords whose schema must be compatible for the whole to be so, as must the members of `properties` and `allOf`."""

NOT_BY_PARTS = {"additionalProperties", "unevaluatedProperties", "patternProperties", "prefixItems", "unevaluatedItems"}
"""Keywords that look at what others left over: with one of them a schema is compared as a whole."""


def breaking_changes(released: Path, schemas: Path) -> list[str]:
    """Everything in the schemas of a folder that breaks somebody who relies on the released ones."""
    now = {(one.topic, one.version): one for one in known_contracts(schemas)}
    found = []
    for before in known_contracts(released):
        name = f"{before.topic}/v{before.version}.json"
        after = now.get((before.topic, before.version))
        if after is None:
            found.append(f"{name}: was removed")
        else:
            found += [f"{name}: {one}" for one in breaking(before.schema, after.schema, before.direction)]
    return found


def breaking(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """What breaks somebody in a schema that follows another: a pointer into a document, and what changed there."""
    if old.get("$schema") != new.get("$schema"):
        return ["another dialect of JSON Schema"]
    before, after = jsonschema_rs.dereference(old, offline=True), jsonschema_rs.dereference(new, offline=True)
    found = list(_changes(_without_definitions(before), _without_definitions(after), "", direction))
    if (headers := before.get("$defs", {}).get(BESIDE_THE_VALUE)) is not None:
        headers_now = after.get("$defs", {}).get(BESIDE_THE_VALUE, True)
        found += _changes(headers, headers_now, BESIDE_THE_VALUE, direction)
    return found


def _without_definitions(schema: Schema) -> Schema:
    return {keyword: part for keyword, part in schema.items() if keyword != "$defs"}


def _changes(old: Any, new: Any, pointer: str, direction: Direction) -> Iterator[str]:
    """The breaking changes between two schemas of what stands at a pointer."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if not _is_kept(old, new, direction):
            yield f"{pointer or '/'}: {_GENERALLY[direction]}"
        return
    own, own_now = dict(old), dict(new)
    if not NOT_BY_PARTS & {*old, *new}:
        yield from _changes_of_parts(own, own_now, pointer, direction)
    if not _is_kept(own, own_now, direction):
        yield f"{pointer or '/'}: {_GENERALLY[direction]}"


def _changes_of_parts(own: Schema, own_now: Schema, pointer: str, direction: Direction) -> Iterator[str]:
    """The breaking changes of the parts of two schemas; what is left of the schemas themselves is still to be compared."""
    properties, properties_now = own.pop("properties", {}), own_now.pop("properties", {})
    for name, part in properties.items():
        where = f"{pointer}/{name}"
        if name not in properties_now:
            yield f"{where}: was removed"
        else:
            yield from _changes(part, properties_now[name], where, direction)
    required, required_now = set(own.pop("required", ())), set(own_now.pop("required", ()))
    if direction is Direction.READ:
        yield from (f"{pointer}/{name}: is required now" for name in sorted(required_now - required))
    else:
        yield from (f"{pointer}/{name}: may be missing now" for name in sorted(required - required_now))
    if own.get("if") == own_now.get("if"):
        for keyword in PARTS:
            if keyword in own and keyword in own_now:
                where = f"{pointer}/*" if keyword == "items" else pointer
                yield from _changes(own.pop(keyword), own_now.pop(keyword), where, direction)
    several, several_now = own.get("allOf", []), own_now.get("allOf", [])
    if several and len(several) == len(several_now):
        del own["allOf"], own_now["allOf"]
        for part, part_now in zip(several, several_now, strict=True):
            yield from _changes(part, part_now, pointer, direction)


def _is_kept(old: Any, new: Any, direction: Direction) -> bool:
    """Whether it is proved that the new schema takes all that the old took (read), or allows no more (published)."""
    before, after = (jsonschema_rs.canonicalize(part, validate_formats=True, offline=True) for part in (old, new))
    proof = after.covers(before) if direction is Direction.READ else before.covers(after)
    return proof is Containment.YES


_GENERALLY = {Direction.READ: "takes less than before", Direction.PUBLISHED: "allows more than before"}


def release(schemas: Path, released: Path) -> None:
    """Takes the schemas of a folder as released."""
    for contract in known_contracts(schemas):
        target = released / contract.topic / f"v{contract.version}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(schemas / contract.topic / target.name, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="take the schemas as released")
    options = parser.parse_args()
    found = breaking_changes(RELEASED, SCHEMAS)
    for change in found:
        sys.stdout.write(f"{change}\n")
    if found:
        sys.exit(1)
    if options.release:
        release(SCHEMAS, RELEASED)
    sys.stdout.write(f"{len(known_contracts(RELEASED))} released schemas: nothing breaks\n")


if __name__ == "__main__":
    main()

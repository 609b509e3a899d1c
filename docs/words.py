"""Words for what the code says: sentences, lists and tables in Markdown, and what settings, parameters and schemas may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows below a head."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in line)} |\n" for line in lines
    )


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Names, each with its meaning below it: readable on a phone too."""
    return "\n".join(f"{name}\n: {meaning.replace(chr(10), chr(10) + '  ')}\n" for name, meaning in rows if meaning)


def sentence(text: str) -> str:
    """With a capital, unless it begins with a name, and a full stop."""
    text = " ".join(text.split())
    if not text:
        return ""
    first = text.split()[0]
    is_name = not re.fullmatch(r"[a-z]+('s|-[a-z]+)?[,;:]?", first)
    return (text if is_name else text[0].upper() + text[1:]) + ("" if text[-1] in ".!?:" else ".")


def kind_of_setting(field: FieldInfo) -> str:
    """What a setting may be."""
    kind: Any = field.annotation
    options = [one for one in get_args(kind) if one is not type(None)]
    if str(get_origin(kind)).endswith("Literal"):
        return " or ".join(f"`{one}`" for one in options)
    kind = options[0] if options else kind
    kind = getattr(kind, "__origin__", kind)  # of what is annotated
    name = {str: "text", int: "integer", float: "number", bool: "true or false", SecretStr: "secret"}[kind]
    bounds = [
        f"{mark} {getattr(one, attribute)}"
        for one in field.metadata
        for attribute, mark in _BOUNDS.items()
        if hasattr(one, attribute)
    ]
    return ", ".join([name, *bounds])


def default_of_setting(field: FieldInfo) -> str:
    """What a setting is that is not there; empty where it has no default."""
    value = field.default
    if value is None or value is PydanticUndefined or value == "":
        return ""
    return f"; by default `{value.get_secret_value() if isinstance(value, SecretStr) else value}`"


def parameter(one: Any) -> str:
    """How an argument or an option of a command is written."""
    if one.param_type_name == "argument":
        return f"`{one.name.upper()}{'…' if one.nargs == -1 else ''}`"
    return ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))


def without_parameter(one: Any) -> str:
    """What holds of a parameter that is not given."""
    if one.required:
        return " *Needed.*"
    default = one.default() if callable(one.default) else one.default
    if default in (None, "", ()) or default == []:
        return ""
    if isinstance(default, bool):
        return f" *By default `{one.opts[0]}`.*" if default else ""
    shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else default
    return f" *By default `{shown}`.*"


def kind_of_schema(schema: dict[str, Any], others: dict[str, Any]) -> str:
    """What a value may be in words; `others` are what a schema may refer to, by name."""
    if "$ref" in schema:
        other = others[schema["$ref"].rpartition("/")[2]]
        return kind_of_schema(other, others) if "enum" in other else str(other.get("title", ""))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{one}`" for one in schema["enum"] if one is not None)
    if schema.get("format") == "uuid":
        return "a UUID"
    if "anyOf" in schema:
        return " or ".join(kind_of_schema(one, others) for one in schema["anyOf"] if one.get("type") != "null")
    kind = schema.get("format") or schema.get("type") or ""
    return kind if isinstance(kind, str) else " or ".join(one for one in kind if one != "null")

"""Expressions: JMESPath over JSON documents, with functions of our own, and bounds: they and the documents are written by others.

Numbers are int or Decimal, never float. Whatever an expression asks for ends in a result or in a ValueError, after bounded work.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import TYPES_MAP, Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from goalstream.domain.amounts import parse_amount
from goalstream.domain.documents import as_document
from goalstream.domain.texts import is_uuid
from goalstream.domain.values import value

MOST_CHARACTERS = 500

MOST_LEVELS = 50
"""How deep the parts of an expression may be nested."""

MOST_WORK = 100_000
"""Of all expressions about one document, in steps and parts looked at: a fifth of a second at the most."""

MOST_WORDS = 200
"""Characters of a sentence about a problem, which may quote whole documents."""

_WITHOUT_DECIMALS = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)
_WITH_THREE = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
_MOST_UNITS = 10**24
"""More than any currency has, and less than a decimal would round."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@value
class Expression:
    """An expression that can be asked."""

    text: str
    parsed: Any


class Work:
    """What is left of the work that one document may make."""

    def __init__(self, most: int = MOST_WORK) -> None:
        self._left = most

    def spend(self, units: int) -> None:
        """Raises ValueError where nothing is left."""
        self._left -= units
        if self._left < 0:
            raise ValueError("takes too much work: ask for a smaller part of the body")

    def weigh(self, part: object) -> None:
        """Spends as much as there is in a value, each time that it is in there."""
        parts = [part]
        while parts:
            match parts.pop():
                case str() as text:
                    self.spend(1 + len(text) // 16)
                case list() as items:
                    self.spend(1 + len(items))
                    parts += items
                case dict() as members:
                    self.spend(1 + len(members))
                    parts += members.keys()
                    parts += members.values()
                case _:
                    self.spend(1)


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Expression:
    """The expression that a text is. Raises ValueError: what is wrong with it, in a sentence."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"has more than {MOST_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a literal that is no JSON is only warned of
            parsed = jmespath.compile(text).parsed
    except RecursionError:
        raise ValueError(f"is nested deeper than {MOST_LEVELS}") from None
    except Warning:
        raise ValueError("has a literal in backticks that is no JSON") from None
    except ValueError as error:
        raise ValueError(f"is no JMESPath: {_first_line(error)}") from None
    for node in _nodes(parsed):
        if node["type"] == "function_expression":
            _check_call(node)
        elif node["type"] == "literal":
            node["value"] = as_document(node["value"], "a literal")
    return Expression(text=text, parsed=parsed)


def ask(expression: Expression, document: object, work: Work) -> Any:
    """What an expression finds in a document, as JSON has it; None where it is not there.

    Raises ValueError, whose sentence quotes no value of the document: it is kept where personal data must not be.
    """
    try:
        found = _Interpreter(work).visit(expression.parsed, document)
        work.weigh(found)
        return as_document(found, "the result")
    except JMESPathTypeError as error:
        raise ValueError(_type_problem(error)) from None
    except ValueError as error:
        raise ValueError(_first_line(error)) from None
    except Exception as error:  # noqa: BLE001 - the library trips over types that do not go together, in many ways
        told = _first_line(error) if isinstance(error, TypeError) else type(error).__name__
        raise ValueError(f"cannot be worked out: {told}") from None


def is_true(found: object) -> bool:
    """What counts as true: everything but null, false, and what is empty."""
    return found is not None and found is not False and found not in ("", [], {})


class _Functions(Functions):  # type: ignore[misc] # the library has no types
    """The functions of JMESPath for numbers that are decimals, and ours."""

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        allowed, parts = super()._get_allowed_pytypes(types)
        of_parts = [(*names, "Decimal") if "float" in names else names for names in parts]
        return ([*allowed, "Decimal"] if "float" in allowed else allowed), of_parts

    def _convert_to_jmespath_type(self, name: str) -> str:
        return "number" if name == "Decimal" else str(super()._convert_to_jmespath_type(name))

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_type(self, part: object) -> str | None:
        return "number" if isinstance(part, Decimal) else super()._func_type(part)

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, part: object) -> str:
        return str(part) if isinstance(part, Decimal) else str(super()._func_to_string(part))

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, part: object) -> int | Decimal | None:
        if isinstance(part, str):
            negative = part.startswith("-")
            amount = parse_amount(part.removeprefix("-"))
            return None if amount is None else -amount if negative else amount
        return part if isinstance(part, int | Decimal) and not isinstance(part, bool) else None

    @signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_avg(self, numbers: list[int | Decimal]) -> Decimal | None:
        return Decimal(sum(numbers)) / len(numbers) if numbers else None

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_uuid(self, text: object) -> str | None:
        """The text where it is a UUID, as ids of contacts are."""
        return text if isinstance(text, str) and is_uuid(text) else None

    @signature({"types": []}, {"types": []})  # type: ignore[untyped-decorator]
    def _func_minor_units(self, amount: object, currency: object) -> str | None:
        """The amount of so many of a currency's smallest unit, as who takes payments counts them (ISK and UGX in hundredths)."""
        if amount is None:
            return None
        if isinstance(amount, bool) or not isinstance(amount, int) or abs(amount) >= _MOST_UNITS:
            raise ValueError("minor_units: the amount is no whole number")
        code = currency.upper() if isinstance(currency, str) else ""
        decimals = 0 if code in _WITHOUT_DECIMALS else 3 if code in _WITH_THREE else 2
        return str(Decimal(amount).scaleb(-decimals))

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_from_unix(self, seconds: object) -> str | None:
        """The time, as RFC 3339, of seconds since 1970."""
        if seconds is None:
            return None
        if isinstance(seconds, bool) or not isinstance(seconds, int | Decimal):
            raise ValueError("from_unix: is no number of seconds")
        try:
            moment = _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
        except OverflowError:
            raise ValueError("from_unix: is a time that no calendar knows") from None
        return moment.isoformat().replace("+00:00", "Z")


_OPTIONS = Options(custom_functions=_Functions())


class _Interpreter(TreeInterpreter):  # type: ignore[misc] # the library has no types
    """Works an expression out, and spends on every step, on what is compared, and on what is made of other values.

    A value may hold another one many times; it then weighs many times as much, as it takes as long to compare or to write.
    """

    def __init__(self, work: Work) -> None:
        super().__init__(_OPTIONS)
        self._work = work

    def visit(self, node: Any, *arguments: Any, **options: Any) -> Any:
        self._work.spend(1)
        return super().visit(node, *arguments, **options)

    def visit_function_expression(self, node: Any, document: Any) -> Any:
        arguments = [self.visit(child, document) for child in node["children"]]
        self._work.weigh(arguments)
        return self._weighed(self._functions.call_function(node["value"], arguments))

    def visit_comparator(self, node: Any, document: Any) -> Any:
        sides = [self.visit(child, document) for child in node["children"]]
        self._work.weigh(sides)
        literals = [{"type": "literal", "value": side} for side in sides]
        return super().visit_comparator({**node, "children": literals}, document)

    def visit_multi_select_list(self, node: Any, document: Any) -> Any:
        return self._weighed(super().visit_multi_select_list(node, document))

    def visit_multi_select_dict(self, node: Any, document: Any) -> Any:
        return self._weighed(super().visit_multi_select_dict(node, document))

    def visit_flatten(self, node: Any, document: Any) -> Any:
        return self._counted(super().visit_flatten(node, document))

    def visit_slice(self, node: Any, document: Any) -> Any:
        return self._counted(super().visit_slice(node, document))

    def _weighed(self, made: Any) -> Any:
        self._work.weigh(made)
        return made

    def _counted(self, made: list[Any] | None) -> list[Any] | None:
        self._work.spend(len(made or ()))
        return made


def _nodes(parsed: Any) -> Iterator[Any]:
    """All parts of an expression. Raises ValueError where they are nested too deep."""
    level = [parsed]
    for _ in range(MOST_LEVELS):
        yield from level
        level = [child for node in level for child in node.get("children", ()) if isinstance(child, dict)]
        if not level:
            return
    raise ValueError(f"is nested deeper than {MOST_LEVELS}")


def _check_call(node: Any) -> None:
    """Raises ValueError for a function that there is not, or that takes another number of arguments."""
    name, given = node["value"], len(node["children"])
    known = _Functions.FUNCTION_TABLE.get(name)
    if known is None:
        raise ValueError(f"has a function {name}, which there is not: {', '.join(sorted(_Functions.FUNCTION_TABLE))}")
    wanted = known["signature"]
    is_variadic = wanted[-1].get("variadic", False)
    if given < len(wanted) or (given > len(wanted) and not is_variadic):
        raise ValueError(f"has {name} with {given} arguments instead of {len(wanted)}")


def _type_problem(error: JMESPathTypeError) -> str:
    """The library's own sentence quotes the value."""
    received = "number" if error.actual_type == "Decimal" else TYPES_MAP.get(error.actual_type, error.actual_type)
    return f"{error.function_name}() takes {' or '.join(error.expected_types)}, and got {received}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":")[:MOST_WORDS]

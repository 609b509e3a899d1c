"""Amounts of money: decimals from their own digits, never through a float."""

from __future__ import annotations

import re
from decimal import Decimal

from goalstream.domain.texts import MAX_TEXT_LENGTH

MAX_DIGITS = 30
"""Most significant digits of an amount; PostgreSQL's numeric takes far more, a currency far less."""

MAX_EXPONENT = 30

# As programs write amounts: within all the limits above, whatever the digits are.
_USUAL = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII).fullmatch
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,4})?", re.ASCII).fullmatch


def parse_amount(value: object) -> Decimal | None:
    """The amount that a JSON number (int or Decimal) or string stands for.

    None when it is none: not a decimal number, longer than a text may be, negative, more than 30 digits, or an exponent
    beyond ±30.
    """
    if type(value) is str and _USUAL(value):
        return Decimal(value)
    match value:
        case bool():
            return None
        case int() | Decimal():
            amount = Decimal(value)
        case str() if len(value) <= MAX_TEXT_LENGTH and _NUMBER(value):
            amount = Decimal(value)
        case _:
            return None
    if not amount.is_finite() or amount < 0:
        return None
    _, digits, exponent = amount.as_tuple()
    if len(digits) > MAX_DIGITS or not isinstance(exponent, int) or abs(exponent) > MAX_EXPONENT:
        return None
    return amount


def is_amount(value: object) -> bool:
    """Whether `parse_amount` finds one; cheaper where it need not be known."""
    return (type(value) is str and _USUAL(value) is not None) or parse_amount(value) is not None


def canonical_amount(amount: Decimal) -> str:
    """The one text of an amount: plain digits, no trailing zeros (`150.00` and `1.5E+2` are both `150`).

    Where that takes more than 30 digits, as few of them as `parse_amount` allows: `1E+30`.
    """
    text = format(amount.copy_abs() if amount == 0 else amount, "f")
    if "." in text:
        return text.rstrip("0").rstrip(".")
    if len(text) <= MAX_DIGITS:
        return text
    exponent = min(len(text) - len(text.rstrip("0")), MAX_EXPONENT)
    return f"{text[:-exponent]}E+{exponent}"

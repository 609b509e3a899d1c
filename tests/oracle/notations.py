"""Many ways to write the same thing: amounts, names, times, ids, as producers really do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from random import Random

from tests.oracle.history import Digits

_BLANKS = ["", " ", "  ", "\t", "\u00a0", "\u2003"]


def amount(chance: Random, value: Decimal) -> object:
    """`"150.00"`, `150`, `150.0`, `1.5e2`: a text or a number, always the same amount."""
    plain = format(value.normalize(), "f")
    exponent = f"{value.normalize():E}"
    padded = plain + ("0" if "." in plain else ".00")
    texts = [plain, padded, exponent, exponent.lower()]
    return chance.choice([*texts, *map(Digits, texts)])


def name(chance: Random, text: str) -> str:
    """A tag's name in odd case and between blanks."""
    written = chance.choice([text, text.upper(), text.lower(), text.swapcase(), text.casefold()])
    return chance.choice(_BLANKS) + written + chance.choice(_BLANKS)


def time(chance: Random, moment: datetime) -> str:
    """A moment in one of the forms of RFC 3339; without an offset it is UTC."""
    style = chance.randrange(8)
    if style == 0:
        return moment.replace(tzinfo=None).isoformat()
    if style == 1:
        return moment.astimezone(timezone(timedelta(minutes=chance.choice([-570, -300, 60, 345])))).isoformat()
    if style == 2:
        return moment.strftime("%Y-%m-%dt%H:%M:%S.%f") + f"{chance.randrange(1_000):03d}z"
    return moment.isoformat().replace("+00:00", "Z" if style > 3 else "+00:00")


def uuid(chance: Random, text: str) -> str:
    """In either case, mostly lower."""
    return text.upper() if chance.random() < 0.1 else text

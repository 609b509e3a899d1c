"""Values: classes whose instances never change. The type checker holds that, and nothing at run time.

A frozen dataclass sets every field through `object.__setattr__`, which costs 70 ns each: a dozen values of ten fields are made
for every achievement, and that was a tenth of the time it took.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_Value = TypeVar("_Value")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[_Value]) -> type[_Value]:
    """A dataclass with slots, keyword-only fields, equality and a hash."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(cls)

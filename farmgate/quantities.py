"""Durations and sizes as people write them in files, and as the code holds them.

Rules:
1. A duration always says its unit: `90s`, `10m`, `2h`, `1d`, or several: `1h30m`. A bare number is refused.
2. A size is in bytes, or says its unit: `512m`, `2g` (powers of 1024, as containers count them).
3. Values that already have their type pass: the models are also read back from rows.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION: Final = r"(?=.)(?:[0-9]{1,6}d)?(?:[0-9]{1,6}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,6}s)?"
_SIZES: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE: Final = r"([0-9]{1,15})([kmgt]?)(?:i?b)?"


def duration(text: str) -> timedelta:
    """Read a duration. Raises ValueError with what to write instead."""
    if not re.fullmatch(_DURATION, text):
        raise ValueError(f"{text!r} is not a duration: write a number and its unit, such as 90s, 10m, 2h or 1h30m")
    parts = re.findall(r"([0-9]+)([dhms])", text)
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def show_duration(span: timedelta) -> str:
    """A whole-second duration as it would be written: `1h30m`."""
    left, parts = int(span.total_seconds()), []
    for unit, seconds in _UNITS.items():
        number, left = divmod(left, seconds)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def size_bytes(text: str) -> int:
    """Read a size in bytes. Raises ValueError with what to write instead."""
    found = re.fullmatch(_SIZE, text.lower())
    if not found:
        raise ValueError(f"{text!r} is not a size: write a number and its unit, such as 512m or 2g")
    return int(found[1]) * _SIZES[found[2]]


def _read_duration(value: object) -> object:
    if isinstance(value, bool | int | float):
        raise ValueError(f"{value} has no unit: write {value}s, {value}m or {value}h")
    return duration(value) if isinstance(value, str) else value


def _read_size(value: object) -> object:
    return size_bytes(value) if isinstance(value, str) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$", "examples": ["90s", "10m", "2h", "1h30m"]}),
]
"""A timedelta, written as in rule 1."""

SizeBytes = Annotated[
    int,
    BeforeValidator(_read_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]{1,15}([kKmMgGtT]?)([iI]?[bB])?$", "examples": ["512m", "2g"]},
                {"type": "integer", "minimum": 0},
            ]
        }
    ),
]
"""Bytes, written as in rule 2."""

"""Reads the user's own instance types, or changes to packaged ones.

Values are numbers in the unit of the field's name, or text with a unit (``16GiB``, ``10Gbps``); they carry
the mark ``user``. A new row needs ``vcpus`` and ``ram_bytes``, and ``gpu_bytes`` if it has a ``gpu``; rules
give the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mmesim.catalog.table import VALUE_FIELDS, Row
from mmesim.errors import Problem, alternatives
from mmesim.units import parse_bytes, parse_rate_bps

_FIELDS = (*VALUE_FIELDS, "note")


def new_row() -> Row:
    """A row of which nothing is known but that no document lists it."""
    row = Row()
    row.set("mme_gpu_listed", False, "user")
    return row


def apply(row: Row, name: str, given: Mapping[str, object]) -> list[Problem]:
    """Writes the user's values for type `name` into `row`; returns what is wrong with them."""
    row.source = "; ".join(part for part in (row.source, "the user's own values") if part)
    problems = [problem for field, value in given.items() if (problem := _write(row, name, field, value))]
    if row.values["gpu"] is None and row.values["gpu_count"] is None:
        for field in ("gpu_count", "gpu_bytes", "gpu_nominal_bytes"):
            row.set(field, 0, "user")
    return problems


def _write(row: Row, name: str, field: str, value: object) -> Problem | None:
    path = f"instance_types.{name}.{field}"
    if field not in _FIELDS:
        return Problem("unknown field", path=path, hint=alternatives(field, _FIELDS, most=len(_FIELDS)))
    try:
        parsed = _reader(field)(value)
    except (ValueError, OverflowError) as error:
        message, _, hint = str(error).partition(": ")
        return Problem(message, path=path, hint=hint)
    if field == "note":
        row.note = parsed
    else:
        row.set(field, parsed, "user")
    return None


def _reader(field: str) -> Callable[[object], Any]:
    """The function that reads a value of `field`; it raises ValueError("what is wrong: what to write")."""
    if field.endswith("_bytes"):
        return lambda value: int(_quantity(value, parse_bytes, "16GiB"))
    if field.endswith("_bps"):
        return lambda value: _quantity(value, parse_rate_bps, "10Gbps or 500MB/s")
    if field.endswith("per_hour"):
        return lambda value: _quantity(value, float, "0.94")
    known = {"vcpus": _count, "gpu_count": _count, "disk_kind": _disk_kind, "mme_gpu_listed": _flag}
    return known.get(field, _text)


def _quantity(value: object, parse: Callable[[str], float], example: str) -> float:
    hint = f"write a number above 0, e.g. {example}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a number: {hint}")
    number = parse(value) if isinstance(value, str) else value
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{value!r} is out of range: {hint}")
    return float(number)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is not a count: write a whole number of 1 or more")
    return value


def _disk_kind(value: object) -> str:
    if value not in ("nvme", "ebs"):
        raise ValueError(f"{value!r} is not a kind of disk: write nvme or ebs")
    return str(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false: write true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not text: write a name, e.g. T4")
    return value.strip()

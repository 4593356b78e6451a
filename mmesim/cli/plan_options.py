"""The options of `mmesim plan` that are settings of the scenario's `plan` section."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from mmesim.errors import InputError, Problem

_RANGE = re.compile(r"([\d.eE+-]+?)([A-Za-z%]*)\.\.([\d.eE+-]+?)([A-Za-z%]*)(?:/([\d.]+))?(,log)?\Z")
"""``30..90``, ``1ms..20ms``, ``30..90/5``, ``1..100,log``."""


def as_settings(*, instance_types: str | None, instances: str | None, choose: Sequence[str] | None,
                tune: Sequence[str] | None, **others: str | int | None) -> list[str]:
    """Each option as ``--set`` takes it; `others` are settings as they are. Raises InputError."""
    given: dict[str, Any] = {}
    if instance_types is not None:
        given["plan.instance_types"] = [name.strip() for name in instance_types.split(",")]
    if instances is not None:
        given["plan.instances"] = _fleet(instances)
    if choose:
        given["plan.choose"] = dict(map(_choice, choose))
    if tune:
        given["plan.tune"] = dict(map(_tune, tune))
    given |= {f"plan.{name}": value for name, value in others.items()}
    return [f"{path}={json.dumps(value)}" for path, value in given.items() if value is not None]


def _fleet(text: str) -> dict[str, int]:
    low, dots, high = text.partition("..")
    if not dots or not low.isdecimal() or not high.isdecimal():
        raise InputError(Problem("is not a range of instances", file=f"--instances {text}", hint="e.g. 1..12"))
    return {"min": int(low), "max": int(high)}


def _choice(text: str) -> tuple[str, list[Any]]:
    from mmesim.planner.runs.axes import axis
    from mmesim.yamldoc import parse_value
    path, values = axis(text, "--choose")
    return path, [parse_value(value, f"--choose {text}") for value in values]


def _tune(text: str) -> tuple[str, dict[str, Any]]:
    path, equals, written = text.partition("=")
    match = _RANGE.match(written.strip())
    if not equals or match is None:
        raise InputError(Problem("is not a setting and its range", file=f"--tune {text}",
                                 hint="write --tune path.to.setting=30..90, with a unit: 1ms..20ms; /5: steps; ,log"))
    low, unit, high, unit_of_high, step, log = match.groups()
    if unit and unit_of_high != unit:
        raise InputError(Problem(f"has the units {unit!r} and {unit_of_high!r}", file=f"--tune {text}",
                                 hint="write both ends with one unit"))
    try:
        return path.strip(), {"low": float(low), "high": float(high), "step": float(step) if step else None,
                              "log": bool(log), "unit": unit_of_high}
    except ValueError:
        raise InputError(Problem("is not a range of numbers", file=f"--tune {text}", hint="e.g. 30..90")) from None

"""The options of `mmesim plan` that are settings of the scenario's `plan` section."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mmesim.errors import InputError, Problem


def as_settings(*, instance_types: str | None, instances: str | None, choose: Sequence[str] | None,
                tune: Sequence[str] | None, **others: str | int | None) -> list[str]:
    """Each option as ``--set`` takes it; `others` are settings as they are. Raises InputError."""
    given: dict[str, Any] = {}
    if instance_types is not None:
        given["plan.instance_types"] = [name.strip() for name in instance_types.split(",")]
    if instances is not None:
        given["plan.instances"] = _fleet(instances)
    if choose:
        given["plan.choose"] = _choices(choose)
    if tune:
        given["plan.tune"] = dict(map(_tune, tune))
    given |= {f"plan.{name}": value for name, value in others.items()}
    return [f"{path}={json.dumps(value)}" for path, value in given.items() if value is not None]


def _fleet(text: str) -> dict[str, int]:
    low, dots, high = text.partition("..")
    if not dots or not low.isdecimal() or not high.isdecimal():
        raise InputError(Problem("is not a range of instances", file=f"--instances {text}", hint="e.g. 1..12"))
    return {"min": int(low), "max": int(high)}


def _choices(texts: Sequence[str]) -> dict[str, list[Any]]:
    from mmesim.planner.runs.axes import axes
    from mmesim.yamldoc import parse_value
    return {axis.path: [parse_value(value, f"--choose {axis.path}") for value in axis.values]
            for axis in axes(texts, "--choose")}


def _tune(text: str) -> tuple[str, dict[str, Any]]:
    from mmesim.planner.runs.axes import bounds
    origin = f"--tune {text}"
    path, equals, written = text.partition("=")
    span, comma, kind = written.strip().partition(",")
    if not equals or (comma and kind != "log"):
        raise InputError(Problem("is not a setting and its range", file=origin,
                                 hint="write --tune path.to.setting=30..90, with a unit: 1ms..20ms; /5: steps; ,log"))
    low, high, unit = bounds(span, origin)
    step = span.partition("/")[2].removesuffix(unit)
    return path.strip(), {"low": float(low), "high": float(high), "step": float(step) if step else None,
                          "log": kind == "log", "unit": unit}

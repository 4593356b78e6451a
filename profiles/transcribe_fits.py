"""Profiles of the models in the table: fitted by `mmesim profile fit`'s own code, sizes by rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transcribe_data import RULES, Data, K, Profile, Row
from transcribe_rules import Rules
from transcribe_series import FRAMEWORKS
from transcribe_sizes import Sizes
from transcribe_tables import Measured
from transcribe_yaml import HEAD, number, with_rules

from mmesim.calibrate.serving.fitting import ModelFit, fit_model, fittable
from mmesim.calibrate.serving.groups import Group
from mmesim.calibrate.serving.written import fitted_numbers
from mmesim.parallel import side_by_side
from mmesim.profile.write import profile_yaml

ALONE = {"gpu_share": K(1.0, "rule", RULES["rule-share-any"]),
         "host_cpu.per_request": K("1ms", "rule", RULES["rule-binary"]),
         "host_cpu.per_item": K("0ms", "rule", RULES["rule-binary"])}
"""Where no row was taken under load."""


def fitted(data: Data, rules: Rules, told: Mapping[str, Profile], measured: Iterable[Measured]) -> dict[str, str]:
    """Name -> YAML text. The fits run side by side; the same rows give the same text."""
    wanted, sizes = list(measured), Sizes(data, rules, told)
    fits = side_by_side(fit_model, [_group(one) for one in wanted])
    return {one.name: _text(one, found, sizes) for one, found in zip(wanted, fits, strict=True)}


def _group(one: Measured) -> Group:
    (group,), _ = fittable(one.points)
    return group


def _text(one: Measured, found: ModelFit, sizes: Sizes) -> str:
    numbers, told, backend = fitted_numbers(found), sizes.told(one), one.row["framework_backend"]
    if one.estimated:
        latency = numbers["latency"]
        numbers["latency"] = {**latency, "basis": "estimated", "note": one.estimated}
    texts = {"name": one.name, "model": one.series.title, "task": one.series.task, "input": one.series.item,
             "backend": backend, "precision": one.row["precision"] or "unknown", "gpu": one.row["gpu"],
             "framework": FRAMEWORKS.get(backend, "tensorflow"),
             "note": " ".join(filter(None, (_device(one.row), one.note, told.note if told else "")))}
    data: dict[str, Any] = {**texts, **numbers}
    instances = int(numbers["instance_count"]["value"])
    for name, known in {**_alone(one, found, numbers), **sizes.numbers(one, instances)}.items():
        group, _, leaf = name.rpartition(".")
        into = data.setdefault(group, {}) if group else data
        into[leaf] = number(known)
    return profile_yaml(HEAD.format(**texts), with_rules(data))


def _device(row: Row) -> str:
    """Which variant of the GPU it was."""
    return f"Measured on {row['gpu_detail']}." if row["gpu_detail"] not in ("", row["gpu"]) else ""


def _alone(one: Measured, found: ModelFit, numbers: Mapping[str, Any]) -> dict[str, K]:
    """What rules say where no fit does."""
    if found.fit:
        return {}
    bare = "overhead" not in numbers or numbers["overhead"] is None
    return ALONE | ({"overhead": K("0ms", "rule", RULES["rule-bare"])} if bare else {})

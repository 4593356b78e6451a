"""The objective's targets: what each of them is about, what a run has there, and whether that is within the limit.

Every target is an upper limit. One for all requests names a number of the summary. One for models holds for each
matching model with requests enough, so its value is that of the worst of them; models with fewer are not judged, for
their numbers are chance.

Latency targets are met by the completions' quantiles; because failures have no latency, the *attainment* stands beside
them: completions within the target over all invocations that ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Tier
from mmesim.results.sketch import count_within
from mmesim.units import NS_PER_MS

if TYPE_CHECKING:
    from pandas import DataFrame

    from mmesim.scenario.objective import Objective

KEYS = {"p50_ms": "latency.all.p50", "p99_ms": "latency.all.p99", "warm_p50_ms": "latency.warm.p50",
        "warm_p99_ms": "latency.warm.p99", "error_rate": "requests.error_rate",
        "cold_start_ratio": "cache.cold_start_ratio", "cost_per_hour": "cost.per_hour"}
"""Target for all requests -> path in the summary."""
OF_EACH = ("p99_ms", "error_rate", "cold_start_ratio")
"""Targets for models."""

Columns = Mapping[str, NDArray[Any]]
"""One value a model in each (`model_columns`)."""


@dataclass(frozen=True, slots=True)
class Target:
    """One limit of the objective."""

    name: str
    """As in the scenario: ``p99_ms``, ``models.bert-*.p99_ms``."""
    limit: float
    unit: str
    """``ms``, ``ratio`` or ``USD/h``."""
    key: str = ""
    """Path in the summary; empty for a target that each model has to meet."""
    pattern: str = ""
    """Shell pattern on model names."""
    column: str = ""
    """Of `OF_EACH`; empty for a target for all requests."""
    at_least: int = 0
    """Models with fewer requests are not judged."""

    @property
    def is_per_model(self) -> bool:
        """True when each matching model has to meet it."""
        return bool(self.column)


def asked(objective: Objective) -> tuple[Target, ...]:
    """All targets that are set, in the order of the settings."""
    whole = [Target(name, getattr(objective, name), _unit(name), key) for name, key in KEYS.items()
             if getattr(objective, name) is not None]
    each = [Target(f"models.{pattern}.{name}", getattr(targets, name), _unit(name), "", pattern, name, targets.at_least)
            for pattern, targets in objective.models.items() for name in OF_EACH if getattr(targets, name) is not None]
    return *whole, *each


def measured(target: Target, values: Mapping[str, float | None], models: Columns) -> float | None:
    """A target's value in a run: of `values` by metric key, or of the worst of `models`.

    None where it does not exist: an unknown price, no request answered, no model with requests enough. Infinite where
    some model with requests enough answered none of them.
    """
    if not target.is_per_model:
        return values.get(target.key)
    _, found = of_each(target, models)
    return float(found.max()) if len(found) else None


def of_each(target: Target, models: Columns) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Names and values of the models that a target for models is judged by."""
    judged = models["invocations"] >= target.at_least
    judged &= np.array([fnmatchcase(name, target.pattern) for name in models["model"]], bool)
    return models["model"][judged], _of_model(target.column, {name: column[judged] for name, column in models.items()})


def _of_model(column: str, models: Columns) -> NDArray[np.float64]:
    """What no request was answered for has no latency that could be in time, and counts as cold."""
    completions, failed = models["completions"], models["failed"]
    if column == "p99_ms":
        return np.where(completions > 0, models["p99_ms"], math.inf)
    if column == "error_rate":
        return np.asarray(failed / np.maximum(completions + failed, 1))
    return np.where(completions > 0, models["cold_starts"] / np.maximum(completions, 1), 1.0)


def model_columns(models: DataFrame) -> dict[str, NDArray[Any]]:
    """The table of models (:func:`mmesim.results.tables.model_table`) as comparisons, plans and targets want it."""
    cold = models["cold_from_disk"] + models["cold_from_s3"]
    return {"model": models["model"].to_numpy(np.str_), "invocations": models["Invocations"].to_numpy(np.int64),
            "hit_ratio": models["ModelCacheHit"].to_numpy(float), "mean_ms": models["latency_mean_ms"].to_numpy(float),
            "p99_ms": models["latency_p99_ms"].to_numpy(float), "cold_starts": cold.to_numpy(np.int64),
            "loads": models["loads"].to_numpy(np.int64), "completions": models["completions"].to_numpy(np.int64),
            "failed": models["failed"].to_numpy(np.int64)}


def number_at(summary: Mapping[str, Any], key: str) -> float | None:
    """The number at a dotted path of a summary; None where it does not exist."""
    value: Any = summary
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value is None else float(value)


def attainment(target: Target, sketch: NDArray[np.int64], failed: int) -> float | None:
    """Requests that were answered within a latency target's limit, over all that ended; None when none did, and for
    other targets. A target for hits is about the answered hits alone."""
    if target.unit != "ms" or target.is_per_model:
        return None
    is_warm = target.key.startswith("latency.warm")
    counts = sketch[Tier.GPU] if is_warm else sketch.sum(axis=0)
    ended = int(counts.sum()) + (0 if is_warm else failed)
    return count_within(counts, target.limit * NS_PER_MS) / ended if ended else None


def judge(objective: Objective, summary: Mapping[str, Any], sketch: NDArray[np.int64],
          models: DataFrame) -> dict[str, Any]:
    """{"met": all targets met or None without targets, "targets": {name: {target, value, met[, attainment]}}}; of a
    target for models also {model: the worst, judged, missed: how many models}."""
    columns = model_columns(models)
    targets = {target.name: _of_models(target, columns) if target.is_per_model else _of_all(target, summary, sketch)
               for target in asked(objective)}
    return {"met": all(each["met"] for each in targets.values()) if targets else None, "targets": targets}


def _of_all(target: Target, summary: Mapping[str, Any], sketch: NDArray[np.int64]) -> dict[str, Any]:
    value = number_at(summary, target.key)
    judged = {"target": target.limit, "value": value, "met": value is not None and value <= target.limit}
    if target.unit == "ms":
        judged["attainment"] = attainment(target, sketch, summary["requests"]["failed"])
    return judged


def _of_models(target: Target, models: Columns) -> dict[str, Any]:
    """Nothing to judge is nothing missed."""
    names, values = of_each(target, models)
    worst = int(values.argmax()) if len(values) else None
    missed = int((values > target.limit).sum())
    return {"target": target.limit, "value": None if worst is None else float(values[worst]), "met": missed == 0,
            "model": None if worst is None else str(names[worst]), "judged": len(values), "missed": missed}


def _unit(name: str) -> str:
    return "ms" if name.endswith("_ms") else "USD/h" if name == "cost_per_hour" else "ratio"

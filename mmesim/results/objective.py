"""Judges a summary by the scenario's objective.

Latency targets are met by the completions' quantiles; because failures have no latency, the *attainment* stands beside
them: completions within the target over all invocations that ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.results.sketch import count_within
from mmesim.units import NS_PER_MS

if TYPE_CHECKING:
    from mmesim.scenario.objective import Objective


def judge(objective: Objective, summary: dict[str, Any], sketch: NDArray[np.int64]) -> dict[str, Any]:
    """{"met": all targets met or None without targets, "targets": {name: {target, value, met[, attainment]}}}."""
    values = {"p50_ms": summary["latency"]["all"]["p50"], "p99_ms": summary["latency"]["all"]["p99"],
              "error_rate": summary["requests"]["error_rate"],
              "cold_start_ratio": summary["cache"]["cold_start_ratio"], "cost_per_hour": summary["cost"]["per_hour"]}
    targets = {}
    for name, value in values.items():
        target = getattr(objective, name)
        if target is not None:
            targets[name] = {"target": target, "value": value, "met": value is not None and value <= target}
            if name.endswith("_ms"):
                targets[name]["attainment"] = _attainment(target, summary["requests"], sketch)
    return {"met": all(each["met"] for each in targets.values()) if targets else None, "targets": targets}


def _attainment(target_ms: float, requests: dict[str, Any], sketch: NDArray[np.int64]) -> float | None:
    ended = requests["completions"] + requests["failed"]
    return count_within(sketch.sum(axis=0), target_ms * NS_PER_MS) / ended if ended else None

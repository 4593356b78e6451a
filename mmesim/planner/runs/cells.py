"""One cell of a comparison: the numbers of one variant with one seed, and their store on disk.

A cell is small (numbers, tables of models and intervals, a sparse latency sketch) and stored as soon as it is there,
under a digest of all that it depends on (:mod:`mmesim.planner.runs.digest`). A comparison that was stopped, or is
asked for again with more variants, finds what it has.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Tier
from mmesim.dataplane.counters import N_TIERS, SKETCH_BUCKETS
from mmesim.results.comparison import METRICS
from mmesim.results.objective import Columns, Target, asked, attainment, measured, model_columns, number_at
from mmesim.results.series import FRACTIONS
from mmesim.results.sketch import interpolated_ns
from mmesim.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from pandas import DataFrame

    from mmesim.results.run import Run
    from mmesim.scenario.objective import Objective

KEPT = tuple(dict.fromkeys((
    *(metric.key for metric in METRICS), "latency.warm.p50", "latency.warm.p90", "latency.warm.p99",
    "cache.cold_start_ratio", "instances.min", "instances.max",
    *(f"use.{part}.{level}" for part in ("gpu", "gpu_memory", "host_memory", "cpu", "disk")
      for level in ("mean", "peak")))))
"""Numbers of the summary that a cell has: what is compared, what targets are about, what a plan explains itself by."""
FACTS = ("values", "invocations", "failed", "wall_s", "spill_wishes")
"""Fields of a cell that are plain numbers."""


@dataclass(frozen=True)
class Cell:
    """What is kept of one run."""

    values: Mapping[str, float | None]
    """Metric key -> value; None where it does not exist."""
    invocations: int
    failed: int
    wall_s: float
    spill_wishes: int
    """How often the router wished for a further copy of a busy model."""
    sketch: NDArray[np.int64]
    """(tiers, buckets)."""
    models: Columns
    series: Columns

    def save(self, path: Path) -> None:
        """Write the cell; whoever looks sees all of it or nothing."""
        bucket = np.flatnonzero(self.sketch.any(axis=0))
        facts = {name: getattr(self, name) for name in FACTS} | {"values": dict(self.values)}
        arrays = {f"{part}:{name}": column for part in ("models", "series")
                  for name, column in getattr(self, part).items()}
        _save(path, facts, bucket=bucket, counts=self.sketch[:, bucket], **arrays)

    @classmethod
    def load(cls, path: Path) -> Cell | None:
        """The cell in a file; None when there is none, or none that can be read, or one with other numbers."""
        if (found := _load(path)) is None or found[0].keys() != set(FACTS):
            return None
        facts, arrays = found
        sketch = np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64)
        sketch[:, arrays["bucket"]] = arrays["counts"]
        parts: dict[str, dict[str, NDArray[Any]]] = {"models": {}, "series": {}}
        for name, array in arrays.items():
            part, _, column = name.partition(":")
            if column:
                parts[part][column] = array
        return cls(**facts, sketch=sketch, models=parts["models"], series=parts["series"])


def cell_of(run: Run) -> Cell:
    """What a comparison keeps of a run."""
    summary = run.summary
    sketch = np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64)
    sketch[:, run.details["latency_sketch"]["bucket"]] = run.details["latency_sketch"]["count_by_tier"]
    own = {"slo_attainment": None, "load_s": load_s(run.lanes, summary["run"]["measured_from_s"]),
           **_quantiles_ms("latency.all.", sketch.sum(axis=0)), **_quantiles_ms("latency.warm.", sketch[Tier.GPU])}
    values = {key: own[key] if key in own else number_at(summary, key) for key in KEPT}
    requests = summary["requests"]
    return Cell(values=values, invocations=requests["invocations"], failed=requests["failed"],
                wall_s=run.timing["wall_s"], spill_wishes=summary["residency"]["spill_wishes"], sketch=sketch,
                models=model_columns(run.models), series=_series(run.metrics))


def _quantiles_ms(prefix: str, counts: NDArray[np.int64]) -> dict[str, float | None]:
    """Interpolated: two runs that hardly differ must not differ by a whole bucket."""
    names = [name for name in FRACTIONS if prefix + name in KEPT]
    found = interpolated_ns(counts, [FRACTIONS[name] for name in names])
    return {prefix + name: None if value is None else value / NS_PER_MS
            for name, value in zip(names, found, strict=True)}


# ---- the objective, of which a cell knows nothing: another one needs no other run


def met_of(objective: Objective, cell: Cell) -> bool | None:
    """Whether the run met every target; None without any. What no model had requests enough for is met."""
    targets = asked(objective)
    return all(_met(target, cell) for target in targets) if targets else None


def _met(target: Target, cell: Cell) -> bool:
    value = measured(target, cell.values, cell.models)
    return target.is_per_model if value is None else value <= target.limit


def with_attainment(objective: Objective, cell: Cell) -> Cell:
    """The cell with its ``slo_attainment``: of the p99 target, if there is one."""
    found = [attainment(target, cell.sketch, cell.failed) for target in asked(objective) if target.name == "p99_ms"]
    return replace(cell, values={**cell.values, "slo_attainment": found[0]}) if found else cell


def load_s(lanes: DataFrame, since_s: float) -> float:
    """Seconds that load threads were busy: from a load's start to READY, over the loads begun in the measured time.

    Loads that failed, or were still under way at the end, have no READY and do not count.
    """
    counted = (lanes["load_ns"] >= since_s * NS_PER_S) & (lanes["ready_ns"] >= 0)
    return float((lanes["ready_ns"] - lanes["load_ns"])[counted].sum()) / NS_PER_S


def _series(metrics: DataFrame) -> Columns:
    loads = metrics["loads_from_disk"] + metrics["loads_from_s3"]
    return {"t_s": metrics["start_s"].to_numpy(float), "interval_s": (metrics["end_s"] - metrics["start_s"]).to_numpy(),
            "invocations": metrics["Invocations"].to_numpy(np.int64),
            "hit_ratio": metrics["ModelCacheHit"].to_numpy(float), "loads": loads.to_numpy(np.int64),
            "unloads": metrics["unloads"].to_numpy(np.int64), "instances": metrics["instances_serving"].to_numpy(float),
            "p99_ms": metrics["latency_p99_ms"].to_numpy(float)}


# ---- files


def save_numbers(path: Path, numbers: Mapping[str, float | None]) -> None:
    """A cell of numbers alone."""
    _save(path, numbers)


def load_numbers(path: Path) -> dict[str, Any] | None:
    """The numbers in a file; None when there is none that can be read."""
    found = _load(path)
    return found[0] if found else None


def _save(path: Path, facts: Mapping[str, Any], **arrays: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, facts=np.array(json.dumps(facts)), **arrays)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _load(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, BadZipFile, EOFError):
        return None
    return json.loads(str(arrays.pop("facts"))), arrays

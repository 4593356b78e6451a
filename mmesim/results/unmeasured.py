"""What a live run's observer could not see is absent from its results, never shown as a measured 0.

A client knows its requests. It does not know the servers' use, memory and number, nor loads and evictions, unless
somebody told it; of a bare server not even whether the model was there. ``summary["live"]["not_measured"]`` names what
is missing; its numbers are null in the summary, NaN or left out in the tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.dataplane.counters import Reason
from mmesim.results.lanes import Count
from mmesim.results.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame


class Part(StrEnum):
    """A part of the results; its value is the name of the summary's section, where it is one."""

    CACHE = "cache"
    """Whether a request found its model loaded, on the disk or in S3."""
    TIME = "time"
    """Where a request's time went."""
    TIME_WITHIN = "time within the server"
    """The same, but for the wait for a load (as ``load``), the server (as ``compute``) and the rest (``overhead``)."""
    RESIDENCY = "residency"
    """Loads, unloads, downloads."""
    USE = "use"
    """Use of GPU, CPU, memory and disk."""
    INSTANCES = "instances"
    """How many there were, and what they cost."""
    BATCHES = "batches"
    """How large they were."""


TOLD = (Reason.LOAD, Reason.COMPUTE, Reason.OVERHEAD)
"""What is known of a request's time under TIME_WITHIN."""
_QUANTILE = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms")
_COLUMNS: dict[Part, tuple[str, ...]] = {
    Part.CACHE: ("ModelCacheHit", "cold_from_disk", "cold_from_s3", "cold_ratio",
                 *(f"{kind}_{name}" for kind in ("warm", "cold") for name in _QUANTILE)),
    Part.TIME: ("ModelLoadingWaitTime", "ModelLatency", "OverheadLatency",
                *(f"time_{reason.name.lower()}_ms" for reason in Reason)),
    Part.TIME_WITHIN: tuple(f"time_{reason.name.lower()}_ms" for reason in Reason if reason not in TOLD),
    Part.RESIDENCY: ("loads", "evictions", "reloads", "copies_mean", "download_bytes", "LoadedModelCount",
                     *(count.name.lower() for count in Count)),
    Part.USE: ("GPUUtilization", "GPUMemoryUtilization", "CPUUtilization", "MemoryUtilization", "DiskUtilization",
               "running_batches", "device_used_bytes", "host_used_bytes", "disk_used_bytes", "gpu_bytes", "host_bytes"),
    Part.INSTANCES: ("instances_serving", "instances_running", "instances_desired", "InvocationsPerInstance",
                     "cost_per_hour"),
    Part.BATCHES: ("batch_items_mean", "batches"),
}
"""Columns of metrics, instances and models; a column of that name in any of them is meant."""
_TARGETS = {Part.CACHE: ("cold_start_ratio", "warm_p50_ms", "warm_p99_ms"), Part.INSTANCES: ("cost_per_hour",)}


def without(run: Run, unknown: Collection[Part], facts: Mapping[str, Any]) -> Run:
    """The run with what is `unknown` taken out, and `facts` of the observer under ``summary["live"]``."""
    parts = [part for part in Part if part in unknown]
    columns = [name for part in parts for name in _COLUMNS[part]]
    summary = _summary(run.summary, parts)
    summary["live"] = {**facts, "not_measured": [str(part) for part in parts]}
    return replace(run, summary=summary, metrics=_emptied(run.metrics, columns), models=_emptied(run.models, columns),
                   instances=_emptied(run.instances, columns))


def measured(summary: Mapping[str, Any], part: Part) -> bool:
    """Whether the results have this part; a simulated run has all."""
    return part not in summary.get("live", {}).get("not_measured", ())


def _emptied(table: DataFrame, columns: Collection[str]) -> DataFrame:
    return table.assign(**{name: np.nan for name in columns if name in table})


def _blank(value: Any) -> Any:
    """The same shape with every number gone."""
    if isinstance(value, Mapping):
        return {key: _blank(item) for key, item in value.items()}
    return value if isinstance(value, str) else None


def _summary(summary: Mapping[str, Any], parts: Collection[Part]) -> dict[str, Any]:
    less = dict(summary)
    if Part.CACHE in parts:
        kinds = ("warm", "cold", "cold_disk", "cold_s3")
        less["cache"] = _blank(less["cache"])
        less["latency"] = {**less["latency"], **{kind: _blank(less["latency"][kind]) for kind in kinds}}
    if Part.TIME in parts:
        less["time"] = _blank(less["time"])
    if Part.TIME_WITHIN in parts:
        kept = {reason.name.lower() for reason in TOLD}
        less["time"] = {name: each if name in kept else _blank(each) for name, each in less["time"].items()}
    if Part.RESIDENCY in parts:
        less["residency"] = _blank(less["residency"])
        less["models"] = {**less["models"], "copies_mean": None}
    if Part.USE in parts:
        less["use"] = {"unit": less["use"]["unit"]}
    if Part.INSTANCES in parts:
        less["instances"] = {**_blank(less["instances"]), "ended": {}}
        less["cost"] = {**_blank(less["cost"]), "note": "not measured"}
    unknown = [name for part in parts for name in _TARGETS.get(part, ())]
    return {**less, "objective": _objective(less["objective"], unknown)}


def _objective(objective: Mapping[str, Any], unknown: Collection[str]) -> dict[str, Any]:
    """Judged by the targets whose values are known."""
    targets = {name: each for name, each in objective["targets"].items() if name.rpartition(".")[2] not in unknown}
    return {"met": all(each["met"] for each in targets.values()) if targets else None, "targets": targets,
            **({"not_judged": sorted(set(objective["targets"]) - set(targets))}
               if len(targets) < len(objective["targets"]) else {})}

"""Rows into columns: metrics.parquet, instances.parquet, models.parquet.

Columns that CloudWatch publishes for an endpoint have its names and its units (times in µs, utilisation in percent;
CPUUtilization counts 100 for each vCPU). Averages over instances weigh each by its time in service. Source:
SageMaker Developer Guide, "Monitor Amazon SageMaker AI with Amazon CloudWatch".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Failure, Tier
from mmesim.dataplane.api import ONE_Q16
from mmesim.dataplane.counters import ENDPOINT_COUNTERS, INSTANCE_COUNTERS, Reason
from mmesim.results.fleet import overlaps_ns
from mmesim.results.lanes import Count
from mmesim.results.series import FRACTIONS, LEVELS, Row
from mmesim.results.sketch import quantiles_ns
from mmesim.results.types import InstanceLife, Phase
from mmesim.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from pandas import DataFrame

    from mmesim.scenario.build import Build

FAILURES = tuple(failure for failure in Failure if failure is not Failure.NONE)
OUTSIDE_MODEL = (Reason.DOWNLOAD, Reason.EXTRACT, Reason.ROOM, Reason.LOAD, Reason.STALL, Reason.OVERHEAD)
"""Reasons that CloudWatch counts as OverheadLatency rather than as the container's ModelLatency."""


def ratio(part: Any, whole: Any) -> Any:
    """part / whole, elementwise; NaN where whole is 0."""
    whole = np.asarray(whole, float)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)


def endpoint_counters(rows: Sequence[Row]) -> NDArray[np.void]:
    """(rows,) of ENDPOINT_COUNTERS."""
    flat = np.array([row.endpoint for row in rows], np.int64).reshape(len(rows), -1)
    return flat.view(ENDPOINT_COUNTERS).reshape(len(rows)) if len(rows) else np.zeros(0, ENDPOINT_COUNTERS)


# ---- a row and instance


def instance_table(build: Build, rows: Sequence[Row], lives: Sequence[InstanceLife]) -> DataFrame:
    """One row for each row of the series and each instance that was there."""
    import pandas as pd

    table = pd.DataFrame(_instance_columns(rows))
    start_ns, end_ns, slot = (table[name].to_numpy() for name in ("start_ns", "end_ns", "slot"))
    number, zone = np.full(len(table), -1), np.full(len(table), -1)
    serving_ns, billed_ns = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    for life in lives:
        here = (slot == life.slot) & (overlaps_ns(start_ns, end_ns, life.launched_ns, life.ended_ns) > 0)
        number[here], zone[here] = life.number, life.zone
        serving_ns[here] += overlaps_ns(start_ns[here], end_ns[here], life.joined_ns, life.ended_ns)
        billed_ns[here] += overlaps_ns(start_ns[here], end_ns[here], life.launched_ns, life.ended_ns)
    table["instance"], table["zone"] = number, zone
    table["serving_s"], table["billed_s"] = serving_ns / NS_PER_S, billed_ns / NS_PER_S
    _utilisation(table, build, serving_ns)
    table["start_s"], table["end_s"] = start_ns / NS_PER_S, end_ns / NS_PER_S
    first = ["start_s", "end_s", "warmup", "instance", "slot", "zone", "phase"]
    dropped = ["start_ns", "end_ns", "device_busy", "cpu_busy", "device_jobs_ns", "ready"]
    return table[[*first, *(name for name in table.columns if name not in (*first, *dropped))]]


def _instance_columns(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Sums and levels of every slot in which something was, row by row."""
    kept = [np.flatnonzero((row.levels["phase"] != Phase.NONE) | row.instances.any(axis=1)) for row in rows]
    sizes = [len(slots) for slots in kept]
    columns: dict[str, NDArray[Any]] = {
        "start_ns": np.repeat([row.since_ns for row in rows], sizes).astype(np.int64),
        "end_ns": np.repeat([row.until_ns for row in rows], sizes).astype(np.int64),
        "warmup": np.repeat([row.warmup for row in rows], sizes).astype(bool),
        "slot": _joined([slots.astype(np.int64) for slots in kept])}
    for k, name in enumerate(INSTANCE_COUNTERS.names or ()):
        columns[name] = _joined([row.instances[slots, k] for row, slots in zip(rows, kept, strict=True)])
    for name in LEVELS.names or ():
        columns[name] = _joined([row.levels[name][slots] for row, slots in zip(rows, kept, strict=True)])
    return columns


def _joined(parts: list[NDArray[Any]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _utilisation(table: DataFrame, build: Build, serving_ns: NDArray[np.int64]) -> None:
    """CloudWatch's utilisation of each instance, in percent; NaN when it did not serve, levels also when it is gone."""
    kind = build.instance_type
    there = table["phase"].isin((Phase.SERVING, Phase.DRAINING)) & (serving_ns > 0)
    served = np.where(there, 1.0, np.nan)
    table["LoadedModelCount"] = served * table["ready"]
    table["CPUUtilization"] = 100 * ratio(table["cpu_busy"] / ONE_Q16, serving_ns)
    table["MemoryUtilization"] = 100 * served * table["host_used_bytes"] / kind.ram_bytes
    table["DiskUtilization"] = 100 * served * table["disk_used_bytes"] / kind.disk_bytes
    if build.endpoint.instance.has_gpu:
        table["GPUUtilization"] = 100 * ratio(table["device_busy"] / ONE_Q16, serving_ns)
        table["GPUMemoryUtilization"] = 100 * served * table["device_used_bytes"] / kind.gpu_bytes
        table["running_batches"] = ratio(table["device_jobs_ns"], serving_ns)


# ---- a row


def metrics_table(build: Build, rows: Sequence[Row], instances: DataFrame) -> DataFrame:
    """One row for each row of the series: the endpoint as a whole."""
    import pandas as pd

    sums = endpoint_counters(rows)
    length_ns = np.array([row.until_ns - row.since_ns for row in rows], np.int64)
    columns: dict[str, Any] = {
        "start_s": np.array([row.since_ns for row in rows]) / NS_PER_S,
        "end_s": np.array([row.until_ns for row in rows]) / NS_PER_S,
        "warmup": np.array([row.warmup for row in rows], bool),
        **_request_columns(sums), **_latency_columns(rows, sums), **_time_columns(sums),
        "concurrency": ratio(sums["in_flight_ns"], length_ns),
        "batch_items_mean": ratio(sums["batch_items"], sums["batches"]),
        **_count_columns(rows),
        "download_bytes": np.array([row.network_bytes for row in rows], np.int64),
        "instances_running": np.array([row.running for row in rows], np.int64),
        "instances_desired": np.array([row.desired for row in rows], np.int64),
    }
    table = pd.DataFrame(columns)
    return _with_instances(table, build, instances)


def _request_columns(sums: NDArray[np.void]) -> dict[str, Any]:
    failures = {failure.name.lower(): sums["failures"][:, failure] for failure in FAILURES}
    by_status = {status: sum(sums["failures"][:, f] for f in FAILURES if f.http_status == status)
                 for status in (400, 424, 429, 503)}
    return {
        "Invocations": sums["invocations"], "retries": sums["retries"], "completions": sums["completions"],
        "failed": sums["failures"].sum(axis=1), **failures,
        "Invocation4XXErrors": by_status[400] + by_status[424] + by_status[429],
        "Invocation5XXErrors": by_status[503], "InvocationModelErrors": by_status[424],
        "ModelCacheHit": ratio(sums["tiers"][:, Tier.GPU], cache_lookups(sums)),
        "cold_from_disk": sums["tiers"][:, Tier.DISK], "cold_from_s3": sums["tiers"][:, Tier.S3]}


def cache_lookups(sums: NDArray[np.void]) -> Any:
    """Invocations for which it is known whether a loaded copy was there: answered ones, and those that failed because
    the model did not come in time, or could not be loaded."""
    failures = sums["failures"]
    return sums["completions"] + failures[..., Failure.MODEL_NOT_READY] + failures[..., Failure.LOAD_FAILED]


def _latency_columns(rows: Sequence[Row], sums: NDArray[np.void]) -> dict[str, Any]:
    columns = {"latency_mean_ms": ratio(sums["latency_ns"], sums["completions"]) / NS_PER_MS}
    for kind, prefix in (("all", "latency"), ("warm", "warm"), ("cold", "cold")):
        for k, name in enumerate(FRACTIONS):
            values = [row.quantiles_ns[kind][k] for row in rows]
            columns[f"{prefix}_{name}_ms"] = np.array([np.nan if v is None else v / NS_PER_MS for v in values])
    return columns


def _time_columns(sums: NDArray[np.void]) -> dict[str, Any]:
    """Where the time of an average completion went."""
    outside_ns = sums["reasons_ns"][:, OUTSIDE_MODEL].sum(axis=1)
    parts = {f"time_{reason.name.lower()}_ms": ratio(sums["reasons_ns"][:, reason], sums["completions"]) / NS_PER_MS
             for reason in Reason}
    return {"ModelLoadingWaitTime": ratio(sums["loading_wait_ns"], sums["completions"]) / 1e3,
            "ModelLatency": ratio(sums["latency_ns"] - outside_ns, sums["completions"]) / 1e3,
            "OverheadLatency": ratio(outside_ns, sums["completions"]) / 1e3, **parts}


def _count_columns(rows: Sequence[Row]) -> dict[str, Any]:
    return {count.name.lower(): np.array([row.counts[count] for row in rows], np.int64) for count in Count}


def _with_instances(table: DataFrame, build: Build, instances: DataFrame) -> DataFrame:
    """Add means over instances, weighted by time in service, and the cost."""
    import pandas as pd

    length_s = table["end_s"] - table["start_s"]
    weight = instances["serving_s"]
    by_row = instances["start_s"]
    served_s = weight.groupby(by_row).sum().reindex(table["start_s"], fill_value=0.0).to_numpy()
    table["instances_serving"] = served_s / length_s
    table["InvocationsPerInstance"] = ratio(table["Invocations"], table["instances_serving"])
    for name in ("GPUUtilization", "GPUMemoryUtilization", "CPUUtilization", "MemoryUtilization", "DiskUtilization",
                 "LoadedModelCount"):
        if name in instances:
            known_s = weight.where(instances[name].notna(), 0.0)
            products = pd.DataFrame({"value": instances[name].fillna(0.0) * known_s, "weight": known_s})
            sums = products.groupby(by_row).sum().reindex(table["start_s"], fill_value=0.0)
            table[name] = ratio(sums["value"].to_numpy(), sums["weight"].to_numpy())
    billed_s = instances["billed_s"].groupby(by_row).sum().reindex(table["start_s"], fill_value=0.0).to_numpy()
    price = build.instance_type.price_per_hour
    table["cost_per_hour"] = np.nan if price is None else billed_s / length_s * price
    return table


# ---- a model


def model_table(build: Build, counters: NDArray[np.void], sketches: NDArray[np.integer], lanes: DataFrame,
                since_ns: int, until_ns: int) -> DataFrame:
    """One row a model: requests, latency, and its stays in memory, over the measured time."""
    import pandas as pd

    quantiles = [quantiles_ns(sketch, tuple(FRACTIONS.values())) for sketch in sketches]
    waited = counters["tiers"][:, Tier.DISK] + counters["tiers"][:, Tier.S3]
    columns: dict[str, Any] = {
        "model": [model.spec.name for model in build.models],
        "Invocations": counters["invocations"], "completions": counters["completions"],
        "failed": counters["failures"],
        "ModelCacheHit": ratio(counters["tiers"][:, Tier.GPU], counters["completions"]),
        "cold_from_disk": counters["tiers"][:, Tier.DISK], "cold_from_s3": counters["tiers"][:, Tier.S3],
        "cold_ratio": ratio(waited, counters["completions"]),
        "latency_mean_ms": ratio(counters["latency_ns"], counters["completions"]) / NS_PER_MS}
    for k, name in enumerate(FRACTIONS):
        columns[f"latency_{name}_ms"] = [np.nan if row[k] is None else row[k] / NS_PER_MS for row in quantiles]
    columns["batch_items_mean"] = ratio(counters["batch_items"], counters["batches"])
    columns["gpu_bytes"] = [model.actual_gpu_bytes for model in build.models]
    columns["host_bytes"] = [model.actual_host_bytes for model in build.models]
    table = pd.DataFrame(columns)
    return table.assign(**_stays(lanes, len(table), since_ns, until_ns))


def _stays(lanes: DataFrame, n_models: int, since_ns: int, until_ns: int) -> dict[str, NDArray[Any]]:
    """Loads, evictions, reloads and mean number of READY copies of each model within the window."""
    model, load_ns = lanes["model"].to_numpy(np.int64), lanes["load_ns"].to_numpy(np.int64)
    unload_ns = lanes["unload_ns"].to_numpy(np.int64)
    loaded = (load_ns >= since_ns) & (load_ns < until_ns)
    for_room = lanes["reason"].str.startswith("evicted").to_numpy(bool)
    evicted = for_room & (unload_ns >= since_ns) & (unload_ns < until_ns)
    ready_ns = lanes["ready_ns"].to_numpy(np.int64)
    until = np.where(unload_ns >= 0, unload_ns, lanes["end_ns"].to_numpy(np.int64))
    held_ns = np.where(ready_ns >= 0, overlaps_ns(ready_ns, until, since_ns, until_ns), 0)
    return {"loads": np.bincount(model[loaded], minlength=n_models),
            "evictions": np.bincount(model[evicted], minlength=n_models),
            "reloads": np.bincount(model[loaded & lanes["reload"].to_numpy(bool)], minlength=n_models),
            "copies_mean": np.bincount(model, held_ns, minlength=n_models) / max(until_ns - since_ns, 1)}

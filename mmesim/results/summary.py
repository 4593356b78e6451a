"""The summary of a run: one nested dict, ready for JSON, the same bytes for the same scenario and seed.

It covers the measured time, i.e. the run without its warm-up. Counts are exact; other numbers are rounded to six
significant digits. A number that does not exist (a ratio of nothing, an unknown price) is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim import __version__
from mmesim.core.types import Tier
from mmesim.dataplane.counters import ENDPOINT_COUNTERS, Reason
from mmesim.results.fleet import HOURS_PER_MONTH, billed_ns, cost_of, serving_levels, serving_ns
from mmesim.results.invariants import Totals, little_error
from mmesim.results.lanes import THRASH_WINDOW_NS, Count
from mmesim.results.objective import judge
from mmesim.results.series import FRACTIONS, Row
from mmesim.results.sketch import RELATIVE_ERROR, largest_ns, quantiles_ns
from mmesim.results.tables import FAILURES, cache_lookups, endpoint_counters
from mmesim.results.types import InstanceLife
from mmesim.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from pandas import DataFrame

    from mmesim.scenario.build import Build


@dataclass(frozen=True)
class Measured:
    """The measured part of a run, from which the summary is made."""

    build: Build
    rows: Sequence[Row]
    """Rows of the measured time."""
    sketch: NDArray[np.int64]
    """(tiers, buckets) of the measured time."""
    since_ns: int
    until_ns: int
    lives: Sequence[InstanceLife]
    unload_reasons: Mapping[str, int]
    partial: bool
    totals: Totals

    @property
    def counters(self) -> NDArray[np.void]:
        """0-d array of ENDPOINT_COUNTERS."""
        return total_of(self.rows)

    @property
    def length_ns(self) -> int:
        return self.until_ns - self.since_ns


def total_of(rows: Sequence[Row]) -> NDArray[np.void]:
    """0-d array of ENDPOINT_COUNTERS summed over rows."""
    flat = endpoint_counters(rows).view(np.int64).reshape(len(rows), -1).sum(axis=0)
    return flat.view(ENDPOINT_COUNTERS).reshape(())


def summarise(measured: Measured, instances: DataFrame, models: DataFrame) -> dict[str, Any]:
    """The whole summary."""
    summary: dict[str, Any] = {
        "name": measured.build.scenario.name, "description": measured.build.scenario.description,
        "run": _run(measured), "requests": _requests(measured), "cache": _cache(measured),
        "latency": _latency(measured), "time": _time(measured), "residency": _residency(measured),
        "use": _use(measured, instances), "instances": _instances(measured), "cost": _cost(measured),
        "models": _models(models)}
    summary["objective"] = judge(measured.build.scenario.objective, summary, measured.sketch, models)
    summary["invariants"] = {"conservation": "holds", "little_relative_error": little_error(measured.totals)}
    return rounded(summary)


def rounded(value: Any) -> Any:
    """Six significant digits for floats, None for what is not finite, plain Python types throughout."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if isinstance(value, (bool, np.bool_)) or value is None or isinstance(value, str):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _per(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _run(m: Measured) -> dict[str, Any]:
    return {"seed": m.build.seed, "mmesim": __version__, "instance_type": m.build.instance_type.name,
            "models": len(m.build.models), "measured_from_s": m.since_ns / NS_PER_S, "ended_s": m.until_ns / NS_PER_S,
            "measured_s": m.length_ns / NS_PER_S, "partial": m.partial}


def _requests(m: Measured) -> dict[str, Any]:
    end = m.counters
    invocations, failed = int(end["invocations"]), int(end["failures"].sum())
    kinds = {failure.name.lower(): {"count": int(end["failures"][failure]), "http_status": failure.http_status}
             for failure in FAILURES if end["failures"][failure]}
    return {"invocations": invocations, "retries": int(end["retries"]),
            "first_attempts": invocations - int(end["retries"]), "rate_rps": _per(invocations, m.length_ns / NS_PER_S),
            "completions": int(end["completions"]), "failed": failed,
            "error_rate": _per(failed, int(end["completions"]) + failed), "failures": kinds,
            "in_flight_at_end": m.totals.in_flight, "concurrency_mean": _per(int(end["in_flight_ns"]), m.length_ns),
            "batch_items_mean": _per(int(end["batch_items"]), int(end["batches"]))}


def _cache(m: Measured) -> dict[str, Any]:
    """Hits and requests that waited. One that failed because the model did not come is a miss."""
    end = m.counters
    lookups, hits = int(cache_lookups(end)), int(end["tiers"][Tier.GPU])
    return {"hit_ratio": _per(hits, lookups), "cold_start_ratio": _per(lookups - hits, lookups), "hits": hits,
            "cold_starts": {"disk": int(end["tiers"][Tier.DISK]), "s3": int(end["tiers"][Tier.S3]),
                            "failed": lookups - int(end["completions"])},
            "loading_wait_mean_ms": _per(int(end["loading_wait_ns"]) / NS_PER_MS, int(end["completions"]) - hits)}


def _latency(m: Measured) -> dict[str, Any]:
    cold = m.sketch[Tier.DISK] + m.sketch[Tier.S3]
    by_tier_ns = m.counters["tier_latency_ns"]
    kinds = {"all": (m.sketch.sum(axis=0), int(by_tier_ns.sum())), "warm": (m.sketch[Tier.GPU], int(by_tier_ns[0])),
             "cold": (cold, int(by_tier_ns[1:].sum())),
             "cold_disk": (m.sketch[Tier.DISK], int(by_tier_ns[Tier.DISK])),
             "cold_s3": (m.sketch[Tier.S3], int(by_tier_ns[Tier.S3]))}
    return {"unit": "ms", "relative_error": RELATIVE_ERROR,
            **{kind: _distribution(counts, total_ns) for kind, (counts, total_ns) in kinds.items()}}


def _distribution(counts: NDArray[np.int64], total_ns: int) -> dict[str, Any]:
    values_ns = [*quantiles_ns(counts, tuple(FRACTIONS.values())), largest_ns(counts)]
    names = (*FRACTIONS, "max")
    in_ms = {name: None if ns is None else ns / NS_PER_MS for name, ns in zip(names, values_ns, strict=True)}
    n = int(counts.sum())
    return {"count": n, "mean": _per(total_ns / NS_PER_MS, n), **in_ms}


def _time(m: Measured) -> dict[str, Any]:
    """Where the time of an average completion went."""
    end = m.counters
    n, total_ns = int(end["completions"]), int(end["latency_ns"])
    return {reason.name.lower(): {"mean_ms": _per(int(end["reasons_ns"][reason]) / NS_PER_MS, n),
                                  "share": _per(int(end["reasons_ns"][reason]), total_ns)} for reason in Reason}


def _residency(m: Measured) -> dict[str, Any]:
    counts = np.array([row.counts for row in m.rows], np.int64).reshape(-1, len(Count)).sum(axis=0)
    minutes = m.length_ns / NS_PER_S / 60
    loads = int(counts[Count.LOADS_FROM_DISK] + counts[Count.LOADS_FROM_S3])
    instance_minutes = serving_ns(m.lives, m.since_ns, m.until_ns) / NS_PER_S / 60
    return {"loads": loads, **{count.name.lower(): int(counts[count]) for count in Count},
            "unload_reasons": dict(sorted(m.unload_reasons.items())),
            "download_bytes": sum(row.network_bytes for row in m.rows),
            "thrash": {"reload_window_s": THRASH_WINDOW_NS / NS_PER_S,
                       "reload_share": _per(int(counts[Count.RELOADS]), loads),
                       "unloads_per_minute": _per(int(counts[Count.UNLOADS]), minutes),
                       "unloads_per_instance_minute": _per(int(counts[Count.UNLOADS]), instance_minutes)}}


def _use(m: Measured, instances: DataFrame) -> dict[str, Any]:
    """Mean over instance time in service; peak of any instance in any interval. Percent of one instance's capacity."""
    here = instances[~instances["warmup"]] if m.since_ns else instances
    scale = {"GPUUtilization": 1.0, "GPUMemoryUtilization": 1.0, "CPUUtilization": m.build.instance_type.vcpus,
             "MemoryUtilization": 1.0, "DiskUtilization": 1.0}
    names = {"gpu": "GPUUtilization", "gpu_memory": "GPUMemoryUtilization", "cpu": "CPUUtilization",
             "host_memory": "MemoryUtilization", "disk": "DiskUtilization"}
    use: dict[str, Any] = {"unit": "%"}
    for name, metric in names.items():
        if metric in here:
            use[name] = {"mean": _mean(here, metric) / scale[metric], "peak": float(here[metric].max()) / scale[metric]}
    return {**use, "loaded_models_per_instance": _mean(here, "LoadedModelCount")}


def _mean(here: DataFrame, metric: str) -> float:
    """Mean over instance time in service; NaN when nothing served."""
    served_s = here["serving_s"].where(here[metric].notna(), 0.0)
    return float((here[metric].fillna(0.0) * served_s).sum()) / float(served_s.sum()) if served_s.any() else math.nan


def _instances(m: Measured) -> dict[str, Any]:
    fewest, most = serving_levels(m.lives, m.since_ns, m.until_ns)
    within = [life for life in m.lives if life.joined_ns is not None and m.since_ns < life.joined_ns <= m.until_ns]
    ended = [life.reason for life in m.lives if life.ended_ns is not None and m.since_ns < life.ended_ns <= m.until_ns]
    return {"mean": _per(serving_ns(m.lives, m.since_ns, m.until_ns), m.length_ns), "min": fewest, "max": most,
            "billed_hours": billed_ns(m.lives, m.since_ns, m.until_ns) / NS_PER_S / 3600, "joined": len(within),
            "ended": {reason: ended.count(reason) for reason in sorted(set(ended))}}


def _cost(m: Measured) -> dict[str, Any]:
    price = m.build.instance_type.price_per_hour
    total = cost_of(billed_ns(m.lives, m.since_ns, m.until_ns), price)
    hours = m.length_ns / NS_PER_S / 3600
    per_hour = None if total is None else _per(total, hours)
    n = int(m.counters["invocations"])
    cost = {"currency": "USD", "price_per_instance_hour": price, "total": total, "per_hour": per_hour,
            "per_month": None if per_hour is None else per_hour * HOURS_PER_MONTH,
            "per_million_invocations": None if total is None else _per(total * 1e6, n)}
    note = f"no price known for {m.build.instance_type.name}; give price_per_hour under instance_types"
    return {**cost, "note": note} if price is None else cost


def _models(models: DataFrame) -> dict[str, Any]:
    asked_for = int((models["Invocations"] > 0).sum())
    return {"asked_for": asked_for, "never_asked_for": len(models) - asked_for,
            "copies_mean": float(models["copies_mean"].sum())}

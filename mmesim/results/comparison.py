"""What a comparison returns: variants of one scenario under the same random numbers, and what can be said of them.

A *variant* is a scenario with some settings changed; every variant ran with the same seeds, so differences are paired
(common random numbers: Law, Simulation Modeling and Analysis, 5th ed., section 11.2). The baseline is the first
variant; the bound is no variant but what no demand-loading policy of one cache can pass (`bound`). No number stands
here without its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a run that is compared."""

    key: str
    """Dotted path in the summary, e.g. ``latency.all.p99``."""
    title: str
    """``p99 latency``."""
    unit: str
    """``ms``, ``ratio`` (kept as a fraction, shown in percent), ``%`` (kept in percent), ``USD/h``, ``""``."""
    better: int
    """-1: less is better, +1: more is better, 0: neither."""


METRICS: tuple[Metric, ...] = (
    Metric("cache.hit_ratio", "hit ratio", "ratio", +1),
    Metric("latency.all.mean", "mean latency", "ms", -1),
    Metric("latency.all.p50", "p50 latency", "ms", -1),
    Metric("latency.all.p90", "p90 latency", "ms", -1),
    Metric("latency.all.p99", "p99 latency", "ms", -1),
    Metric("latency.all.p99_9", "p99.9 latency", "ms", -1),
    Metric("latency.cold.mean", "mean latency of cold starts", "ms", -1),
    Metric("requests.error_rate", "error rate", "ratio", -1),
    Metric("slo_attainment", "SLO attainment", "ratio", +1),
    Metric("cache.cold_starts.disk", "cold starts from disk", "", -1),
    Metric("cache.cold_starts.s3", "cold starts from S3", "", -1),
    Metric("cache.cold_starts.failed", "cold starts that failed", "", -1),
    Metric("residency.loads", "loads", "", -1),
    Metric("load_s", "time spent loading", "s", -1),
    Metric("residency.thrash.unloads_per_minute", "unloads per minute", "", -1),
    Metric("use.gpu.mean", "GPU utilisation", "%", 0),
    Metric("use.gpu_memory.mean", "GPU memory in use", "%", 0),
    Metric("instances.mean", "instances", "", -1),
    Metric("cost.per_hour", "cost per hour", "USD/h", -1),
    Metric("cost.per_million_invocations", "cost per million requests", "USD", -1),
)
"""What is compared; a metric that no variant has (no price, no objective) is left out of a comparison."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds and its confidence interval (Student's t)."""

    mean: float
    low: float
    high: float
    n: int
    """Seeds it rests on; with one seed `low` and `high` are infinite."""

    @property
    def excludes_zero(self) -> bool:
        """True when the sign is known at the comparison's confidence."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Variant:
    """One column of the comparison."""

    name: str
    """Short and unique: ``gdsf``, ``gdsf, 4 instances``."""
    settings: Mapping[str, Any]
    """Setting path -> value as written; empty for the scenario as it stands."""
    values: Mapping[str, Interval]
    """Metric key -> mean over seeds."""
    differences: Mapping[str, Interval]
    """Metric key -> paired difference to the baseline (this minus baseline), in the metric's unit; empty for it."""
    relative: Mapping[str, Interval]
    """Metric key -> the same as a fraction of the baseline's mean (the paired ratio of each seed, minus 1);
    absent where the baseline is 0."""
    sketch: NDArray[np.int64]
    """(tiers, buckets) latency sketch of the completions, all seeds together (:mod:`mmesim.results.sketch`)."""
    regret: Mapping[str, Interval] = field(default_factory=dict)
    """Bound key (`Bound.values`) -> distance to the bound that holds for this variant (`Bound.exceptions`): hit ratio
    in points as a fraction, loads and load_s as a fraction above the bound; absent where none holds."""
    met_objective: bool | None = None
    """True: each seed met it; None: the scenario has none."""


@dataclass(frozen=True)
class Bound:
    """The best possible row: the offline optimum's bound for the measured requests (PFOO-U), mean over seeds."""

    name: str
    values: Mapping[str, Interval]
    """``cache.hit_ratio`` (upper bound), ``residency.loads`` and ``load_s`` (lower bounds)."""
    note: str
    """What it leaves out, in one sentence."""
    exceptions: Sequence[str] = ()
    """Sentences: which variants it does not bind and why, and where no distance in loads is shown."""


@dataclass(frozen=True)
class Comparison:
    """The whole comparison, a value; the report is a function of it."""

    name: str
    command: str
    """How to make it again."""
    scenario: Mapping[str, Any]
    """The scenario as resolved (``model_dump``) without the changes."""
    confidence: float
    """E.g. 0.95."""
    seeds: Sequence[int]
    metrics: Sequence[Metric]
    """Those of `METRICS` that exist here."""
    ranked_by: str
    """Key of the metric that orders the variants (the objective's)."""
    variants: Sequence[Variant]
    """Baseline first, then from best to worst by `ranked_by`."""
    bound: Bound | None
    verdicts: Sequence[str]
    """Plain words: what can be said, and what cannot be told apart."""
    cells: DataFrame
    """variant, seed, and one column a metric key: every single run."""
    models: DataFrame
    """variant, model, invocations, hit_ratio, mean_ms, p99_ms, cold_starts, loads: means over seeds, one row each."""
    series: DataFrame
    """variant, t_s (start of the interval), interval_s, invocations, hit_ratio, loads, unloads, instances, p99_ms:
    means over seeds, one row an interval."""
    curve: DataFrame
    """variant (or the bound's name), memory_fraction (1 = as in the scenario), memory_bytes (of one instance),
    hit_ratio, low, high; empty when no curve was asked for."""
    timing: Mapping[str, Any] = field(default_factory=dict)
    """wall_s, processes, requests, requests_per_s: what differs from machine to machine."""

    @property
    def baseline(self) -> Variant:
        return self.variants[0]

    def metric(self, key: str) -> Metric:
        """The metric of this key, which is in `metrics`."""
        return next(metric for metric in self.metrics if metric.key == key)

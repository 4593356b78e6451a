"""A comparison as `mmesim compare` could give, made from random generators: for tests of what is drawn from it.

The numbers hang together as real ones do: a variant that keeps the right models has more hits, and from those follow
its latencies, loads and cold starts; all variants of a seed share that seed's luck, so differences are known better
than levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from mmesim.core.types import Tier
from mmesim.dataplane.counters import SKETCH_BUCKETS
from mmesim.results.comparison import METRICS, Bound, Comparison, Interval, Variant
from mmesim.results.sketch import EDGES_NS, quantile_ns

NAMES = ("as it stands", "gdsf", "sieve", "s3fifo, min_uses=1", "lru, least_outstanding, spill_outstanding=3",
         "gdsf, cost=aggregate_delay, half_life=10min, 4 instances", "fixed ttl 10min", "random eviction")
REQUESTS, HOURS, PRICE = 400_000, 2.0, 1.26


def interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and Student's t interval."""
    values = np.asarray(samples, float)
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = float(student.ppf((1 + confidence) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


class Made:
    """One variant of the example: its runs, models, series and sketch."""

    def __init__(self, k: int, seeds: Sequence[int], models: int, luck: NDArray[np.float64], priced: bool) -> None:
        self.rng = np.random.default_rng([k, 7])
        self.k, self.seeds, self.luck, self.priced = k, seeds, luck, priced
        self.hit_ratio = min(0.97, 0.86 + (0.0 if k == 0 else 0.055 - 0.018 * k + 0.01 * self.rng.normal()))
        self.hit_ratio = max(self.hit_ratio, 0.55)
        self.instances = 3 + (k % 3 == 2) + (k % 5 == 4)
        self.cold_ms = 2200 * (1 + 0.1 * self.rng.normal())
        self.weight = 1 / np.arange(1, models + 1) ** 0.9
        self.weight /= self.weight.sum()
        self.sketch = self._sketch(len(seeds))
        self.rows = [self._run(j, seed) for j, seed in enumerate(seeds)]

    def _sketch(self, seeds: int) -> NDArray[np.int64]:
        n = min(40_000, REQUESTS) * seeds
        cold = int(n * (1 - self.hit_ratio))
        parts = {Tier.GPU: self.rng.lognormal(math.log(14), 0.55, n - cold),
                 Tier.DISK: self.rng.lognormal(math.log(self.cold_ms), 0.4, int(cold * 0.8)),
                 Tier.S3: self.rng.lognormal(math.log(6 * self.cold_ms), 0.5, cold - int(cold * 0.8))}
        sketch = np.zeros((len(Tier), SKETCH_BUCKETS), np.int64)
        for tier, values_ms in parts.items():
            bucket = np.searchsorted(EDGES_NS, values_ms * 1e6, side="right") - 1
            sketch[tier] = np.bincount(np.minimum(bucket, SKETCH_BUCKETS - 1), minlength=SKETCH_BUCKETS)
        return sketch

    def _run(self, j: int, seed: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.k, seed])
        hits = float(np.clip(self.hit_ratio + 0.012 * self.luck[j] + 0.003 * rng.normal(), 0, 0.999))
        cold = (1 - hits) * REQUESTS
        everything, stretch = self.sketch.sum(axis=0), (1 - 0.08 * self.luck[j]) * (1 + 0.015 * rng.normal())
        row: dict[str, Any] = {"seed": seed, "cache.hit_ratio": hits}
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)):
            row[f"latency.all.{name}"] = quantile_ns(everything, q) / 1e6 * (stretch if q > 0.6 else 1)
        row["latency.cold.mean"] = 1.9 * self.cold_ms * stretch
        row["latency.all.mean"] = 16 * hits + (1 - hits) * row["latency.cold.mean"]
        row["requests.error_rate"] = max(0.0, 0.02 * (1 - hits) * (1 + 0.2 * rng.normal()))
        row["slo_attainment"] = 0.3 + 0.7 * hits
        row["cache.cold_starts.disk"], row["cache.cold_starts.s3"] = round(0.8 * cold), round(0.18 * cold)
        row["cache.cold_starts.failed"] = round(0.02 * cold)
        row["residency.loads"] = round(0.4 * cold)
        row["load_s"] = row["residency.loads"] * self.cold_ms / 1e3
        row["residency.thrash.unloads_per_minute"] = row["residency.loads"] / HOURS / 60
        row["use.gpu.mean"] = 40 + 30 * (3 / self.instances - 1) + rng.normal()
        row["instances.mean"] = float(self.instances)
        row["cost.per_hour"] = self.instances * PRICE if self.priced else None
        row["cost.per_million_invocations"] = None if not self.priced else row["cost.per_hour"] * HOURS / REQUESTS * 1e6
        return {each.key: 50 + rng.normal() for each in METRICS} | row

    def models(self, name: str) -> pd.DataFrame:
        """Per model: the popular ones hit more; each policy favours others."""
        n = len(self.weight)
        taste = self.rng.normal(0, 0.6, n)
        missed = np.clip((1 - self.hit_ratio) * (self.weight * n + 0.2) ** -0.35 * np.exp(taste), 0, 1)
        invocations = np.round(self.weight * REQUESTS, 1)
        return pd.DataFrame({
            "variant": name, "model": [f"model-{i:04}" for i in range(n)], "invocations": invocations,
            "hit_ratio": 1 - missed, "mean_ms": 15 + missed * 1.9 * self.cold_ms,
            "p99_ms": 60 + 2 * self.cold_ms * missed,
            "cold_starts": missed * invocations, "loads": 0.4 * missed * invocations})

    def series(self, name: str, rows: int = 120) -> pd.DataFrame:
        """Two simulated hours with a surge, one row a minute."""
        at = np.arange(rows) * 60.0
        surge = 1 + 1.5 * np.exp(-((at - 4200) / 500) ** 2)
        hits = np.clip(self.hit_ratio - 0.06 * (surge - 1) + 0.01 * self.rng.normal(size=rows), 0, 1)
        hits *= 1 - np.exp(-(at + 60) / 240)
        loads = 0.4 * (1 - hits) * REQUESTS / rows * surge
        return pd.DataFrame({
            "variant": name, "t_s": at, "interval_s": 60.0, "invocations": REQUESTS / rows * surge, "hit_ratio": hits,
            "loads": loads, "unloads": np.maximum(loads - 900 * np.exp(-at / 200), 0),
            "instances": self.instances + np.where((at > 4300) & (at < 5600), 1.0, 0.0),
            "p99_ms": self.cold_ms * (3 + 2 * (surge - 1)) * np.exp(0.1 * self.rng.normal(size=rows))})


def names_of(variants: int) -> list[str]:
    """Short and long ones."""
    return [NAMES[k] if k < len(NAMES) else f"{NAMES[k % len(NAMES)]}, max_models={8 * k}" for k in range(variants)]


def example(variants: int = 8, seeds: int = 5, models: int = 200, curve: bool = True, priced: bool = True,
            bounded: bool = True, missing: Sequence[str] = ()) -> Comparison:
    """A comparison of so many variants; the metrics `missing` are those that no variant has."""
    numbers = list(range(1, seeds + 1))
    luck = np.random.default_rng(5).normal(size=seeds)
    names = names_of(variants)
    made = {name: Made(k, numbers, models, luck, priced) for k, name in enumerate(names)}
    metrics = [each for each in METRICS if each.key not in missing and made[names[0]].rows[0][each.key] is not None]
    keys = [each.key for each in metrics]
    best = Bound("offline optimum (PFOO-U)", {key: interval([value * (1 + 0.002 * x) for x in luck]) for key, value in (
        ("cache.hit_ratio", 0.945), ("residency.loads", 7800.0), ("load_s", 15200.0))},
        "One cache of the memory of all instances together, models loaded on demand only.")
    ranked = "latency.all.p99" if "latency.all.p99" not in missing else metrics[0].key
    order = names[:1] + sorted(names[1:], key=lambda name: made[name].rows[0][ranked])
    base = made[names[0]]
    results = [_variant(name, made[name], base, keys, best if bounded else None) for name in order]
    cells = pd.DataFrame([{"variant": name, **row} for name in order for row in made[name].rows])
    return Comparison(
        name="three-instances-long-tail", command="mmesim compare long-tail.yaml --policies lru,gdsf,sieve --seeds 5",
        scenario={"name": "long-tail", "warmup": 600.0, "duration": 7200.0,
                  "objective": {"p50_ms": None, "p99_ms": 9000.0, "error_rate": 0.01, "cold_start_ratio": None,
                                "cost_per_hour": None}},
        confidence=0.95, seeds=numbers, metrics=metrics, ranked_by=ranked, variants=results,
        bound=best if bounded else None,
        verdicts=["gdsf has 19 % less p99 latency than as it stands (95 % interval 17 % to 21 %).",
                  "gdsf and sieve cannot be told apart in p99 latency with these seeds."],
        cells=cells[["variant", "seed", *keys]],
        models=pd.concat([made[name].models(name) for name in order], ignore_index=True),
        series=pd.concat([made[name].series(name) for name in order], ignore_index=True),
        curve=_curve(made, best if bounded else None) if curve else pd.DataFrame(
            columns=["variant", "memory_fraction", "memory_bytes", "hit_ratio", "low", "high"]),
        timing={"wall_s": 41.2, "processes": 2, "requests": REQUESTS * variants * seeds, "requests_per_s": 390_000.0})


def _variant(name: str, made: Made, base: Made, keys: Sequence[str], bound: Bound | None) -> Variant:
    def differences(of: Any) -> dict[str, Interval]:
        return {} if made is base else {key: interval([of(row[key], other[key]) for row, other in zip(
            made.rows, base.rows, strict=True)]) for key in keys}

    regret = {} if bound is None else {key: interval([
        best.mean - row[key] if key == "cache.hit_ratio" else row[key] / best.mean - 1 for row in made.rows])
        for key, best in bound.values.items() if key in keys}
    return Variant(name, {} if made is base else {"endpoint.eviction": name},
                   {key: interval([row[key] for row in made.rows]) for key in keys},
                   differences(lambda mine, theirs: mine - theirs), differences(lambda mine, theirs: mine / theirs - 1),
                   made.sketch, regret, all(row["latency.all.p99"] <= 9000 for row in made.rows))


def _curve(made: dict[str, Made], bound: Bound | None) -> pd.DataFrame:
    rows = []
    for name, hit_ratio in [*((name, each.hit_ratio) for name, each in made.items()),
                            *([(bound.name, bound.values["cache.hit_ratio"].mean)] if bound else [])]:
        for fraction in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0):
            value = 1 - (1 - hit_ratio) ** (fraction ** 0.8)
            rows.append((name, fraction, round(fraction * 24 * 2**30), value, value - 0.008, value + 0.008))
    return pd.DataFrame(rows, columns=["variant", "memory_fraction", "memory_bytes", "hit_ratio", "low", "high"])

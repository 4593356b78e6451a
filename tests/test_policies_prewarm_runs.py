"""Where pre-warming beats doing nothing, and where it does not: pairs of runs on equal seeds.

One GPU that holds 46 of the models, LRU eviction. A policy is better when it is so with every seed. The figures stand
in docs/policies-built-in/prewarm.md (`pytest -rP` prints them).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.paired_runs import paired

SEEDS = (1, 2, 3)
HITS, LOADS, MEAN = "cache.hit_ratio", "residency.loads", "latency.all.mean"
SCENARIO = """
name: prewarm
duration: {duration}
warmup: {warmup}
endpoint: {{instance_type: ml.g4dn.2xlarge, instances: 1}}
models: [{{profile: resnet50-pytorch-t4, count: {models}, name: "m-{{i:03}}"}}]
workload: {workload}
"""
NONE: dict[str, tuple[str, ...]] = {"none": ()}


def hybrid(**values: str) -> tuple[str, ...]:
    return ("endpoint.prewarm={use: hybrid_histogram" + "".join(f", {k}: {v}" for k, v in values.items()) + "}",)


def forecast(**values: str) -> tuple[str, ...]:
    return ("endpoint.prewarm={use: forecast, season: 1h" + "".join(f", {k}: {v}" for k, v in values.items()) + "}",)


def trace(folder: Path, rows: list[tuple[float, int]]) -> str:
    """A trace file of (second, model), of which each run keeps another nine tenths."""
    lines = (f"{at:.3f},m-{model:03}\n" for at, model in sorted(rows))
    (folder / "trace.csv").write_text("timestamp_s,model\n" + "".join(lines))
    return "{trace: trace.csv, trace_options: {kind: requests, map: name, thin: 0.9}}"


def regular(folder: Path) -> str:
    """100 models, each asked for every 10 to 60 min with 5 % jitter: room for 46."""
    rng, rows = np.random.default_rng(1), []
    for model in range(100):
        period_s = rng.uniform(600, 3600)
        at = rng.uniform(0, period_s)
        while at < 12 * 3600:
            rows.append((at, model))
            at += period_s * (1 + 0.05 * rng.standard_normal())
    return SCENARIO.format(duration="12h", warmup="6h", models=100, workload=trace(folder, rows))


def halves(folder: Path) -> str:
    """40 models in the first 20 min of each hour, 40 others in the 20 min from half past: room for 46."""
    rng = np.random.default_rng(2)
    rows = [(1800.0 * half + 1200 * at, 40 * (half % 2) + model) for half in range(20) for model in range(40)
            for at in rng.random(rng.poisson(6))]
    return SCENARIO.format(duration="10h", warmup="4h", models=80, workload=trace(folder, rows))


def poisson(models: int) -> str:
    """Nothing to be learnt but rates."""
    workload = "{arrivals: {use: poisson, rate_rps: 0.3}, popularity: {use: zipf, s: 1.0}}"
    return SCENARIO.format(duration="8h", warmup="4h", models=models, workload=workload)


def test_regular_models_in_tight_memory(tmp_path: Path) -> None:
    """Each model leaves right after use and is back in time, so that far fewer need to be there at once."""
    found = paired(tmp_path, regular(tmp_path), {**NONE, "hybrid": hybrid(), "displacing": hybrid(displace="true"),
                                                 "interarrival": hybrid(reading="interarrival")}, SEEDS, HITS, LOADS)
    for name in ("hybrid", "displacing", "interarrival"):
        assert (found[name][HITS] > found["none"][HITS] + 0.1).all()


def test_ample_memory_and_nothing_to_learn(tmp_path: Path) -> None:
    """All models fit. Doing nothing keeps them all; the histogram unloads what has been idle for longer than 99 % of
    its idle times so far, and what its 5th percentile lets go."""
    found = paired(tmp_path, poisson(40), {**NONE, "hybrid": hybrid()}, SEEDS, HITS, LOADS)
    assert (found["hybrid"][HITS] < found["none"][HITS]).all()
    assert (found["hybrid"][LOADS] > found["none"][LOADS]).all()


def test_a_season_is_known_the_second_time(tmp_path: Path) -> None:
    """Each half hour the models that come are loaded before their first request. Without displacing there is no room
    for them: those of the other half are still there."""
    found = paired(tmp_path, halves(tmp_path), {**NONE, "forecast": forecast(), "hybrid": hybrid(),
                                                "displacing": forecast(displace="true")}, SEEDS, HITS, LOADS)
    assert (found["displacing"][HITS] > found["none"][HITS] + 0.05).all()


def test_no_season_in_tight_memory(tmp_path: Path) -> None:
    """80 models, room for 46, Poisson: a forecast knows rates only, and LRU knows them nearly as well. Loads ahead
    of need cost more than they save."""
    found = paired(tmp_path, poisson(80), {**NONE, "forecast": forecast(), "displacing": forecast(displace="true"),
                                           "hybrid": hybrid()}, SEEDS, HITS, LOADS)
    assert (found["displacing"][LOADS] > found["none"][LOADS]).all()

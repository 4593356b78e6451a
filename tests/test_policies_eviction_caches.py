"""The policies in the simulator decide as in a plain cache simulator, request for request; and TTL against theory.

*Caches.* The reduced world of `one_cache.py` (one instance, instant loads), a piece of a block trace with sizes, and
the same rules written down plainly in `plain_caches.py`. *TTL*: Poisson requests of rate L, load time D, keep-alive
tau; with n = L·D + exp(L·tau) requests a cycle, loads per request are 1/n and the copy is resident for a share
(exp(L·tau) - 1)/n of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sqrt
from pathlib import Path

import numpy as np
import plain_caches as plain
import pytest
from one_cache import GAP_NS, hits, one_cache
from policy_cache import cache_run
from real_traces import block_requests, genai_requests

from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

MIB = 1 << 20
N = 6_000
CAPACITY = 16 * MIB
T_999 = 3.850
"""Student's t, 20 degrees of freedom, two-sided 99.9 %."""

RULES: dict[str, tuple[dict[str, object], Callable[[list[int], list[int]], plain.Rule]]] = {
    "fifo": ({}, lambda requests, sizes: plain.Fifo()),
    "lru": ({}, lambda requests, sizes: plain.Lru()),
    "lfu": ({}, lambda requests, sizes: plain.Greedy(ages=False)),
    "lfu_da": ({}, lambda requests, sizes: plain.Greedy()),
    "gdsf": ({"frequency": "count", "cost": "uniform"}, lambda requests, sizes: plain.Greedy([1e6 / s for s in sizes])),
    "sieve": ({}, lambda requests, sizes: plain.Sieve()),
    "s3fifo": ({}, lambda requests, sizes: plain.S3Fifo(sizes, CAPACITY)),
    "s3fifo fill": ({"fill_main": True}, lambda requests, sizes: plain.S3Fifo(sizes, CAPACITY, True)),
    "belady": ({}, lambda requests, sizes: plain.Belady(requests)),
}


@pytest.fixture(scope="module")
def blocks(shared_data: Path) -> tuple[np.ndarray, list[int]]:
    """The first requests of the block trace, and the objects' sizes."""
    return block_requests(shared_data, rows=N)


@pytest.mark.data
@pytest.mark.parametrize("rule", RULES)
def test_counts_are_those_of_the_plain_rule(blocks, tmp_path: Path, rule: str) -> None:  # type: ignore[no-untyped-def]
    requests, sizes = blocks
    params, make = RULES[rule]
    name = rule.split(maxsplit=1)[0]
    expected = plain.plain_hits(requests.tolist(), sizes, CAPACITY, make(requests.tolist(), sizes))
    assert hits(one_cache(tmp_path, sizes, CAPACITY, requests, name, **params)) == expected
    assert cache_run(name, requests.tolist(), CAPACITY, sizes, gap_ns=GAP_NS, **params).hits == expected
    lru = plain.plain_hits(requests.tolist(), sizes, CAPACITY, plain.Lru())
    assert (expected == lru) == (rule == "lru"), "the piece of the trace tells the rules apart"


WORLD = """
seed: {seed}
{duration}
endpoint:
  instance_type: one-cache
  eviction: {{gpu: {policy}}}
  server:
    {{gpu_memory_threshold: 1.0, host_memory_threshold: 1.0, disk_threshold: 1.0, idle_gpu_bytes: 0B,
     host_base_bytes: 0B, unload_poll: 0s, unload_time: 0s, frontend_overhead: 0s, load_time_cv: 0, load_threads: 1,
     load_timeout: 600s}}
  storage:
    {{s3_first_byte: 0s, s3_connection_rate: 1000000GB/s, s3_prefix_rate: 1000000000, extract_rate: 1000000GB/s,
     disk_read_rate: 1000000GB/s, host_to_device_rate: 1000000GB/s, network_credit: 0s}}
  metrics: {{period: 3660d, publish_delay: 0s}}
instance_types:
  one-cache: {{vcpus: 8, ram_bytes: 1000TiB, gpu: T4, gpu_count: 1, gpu_bytes: {gpu_mib}MiB,
              gpu_nominal_bytes: {gpu_mib}MiB, disk_bytes: 1000TiB, disk_kind: nvme, disk_read_bps: 1000000GB/s,
              disk_write_bps: 1000000GB/s, network_baseline_bps: 1000000GB/s, network_burst_bps: 1000000GB/s,
              price_per_hour: 1.0}}
models:
  - {{profile: resnet50-pytorch-t4, name: "m{{i}}", count: {n_models}, gpu_bytes: 100MiB, artifact_bytes: 1B,
     disk_bytes: 1B, host_bytes: 0B, load_time: {load}s}}
workload: {workload}
checks: {{intended_overload: true}}
output: {{interval: 3660d, journal: false, trace: false, report: false}}
"""
BASE_MIB = 800
"""Room for the framework's base memory, which the first copy brings along: 775.6 MiB, and less than a copy to spare."""


def simulated(folder: Path, **values: object) -> dict:  # type: ignore[type-arg]
    """The summary of a run of that scenario, as `mmesim run` computes it."""
    path = folder / "world.yaml"
    path.write_text(WORLD.format(**{"seed": 0, "duration": "", "load": 0, "n_models": 1, **values}))
    return dict(simulate(build(load_scenario(str(path)))).summary)


@pytest.mark.data
@pytest.mark.parametrize(("policy", "expected"), [("lru", 13154), ("sieve", 13187)])
def test_a_scenario_file_can_say_all_that(shared_data: Path, tmp_path: Path, policy: str, expected: int) -> None:
    """GenAI by base model, eight copies fit: the order of the trace's requests, one a second, loads in no time."""
    requests = genai_requests(shared_data).tolist()
    n_models = max(requests) + 1
    rows = [f"{k + 1},m{model}" for k, model in enumerate(requests)]
    (tmp_path / "trace.csv").write_text("\n".join(["timestamp_s,model", *rows]) + "\n")
    summary = simulated(tmp_path, policy=policy, gpu_mib=BASE_MIB + 8 * 100, n_models=n_models,
                        workload="{trace: trace.csv, trace_options: {map: name}}")
    rule = plain.Lru() if policy == "lru" else plain.Sieve()
    assert plain.plain_hits(requests, [1] * n_models, 8, rule) == expected
    assert round(summary["cache"]["hits"]) == expected


def agrees(oracle: float, samples: list[float]) -> None:
    """The oracle is inside the 99.9 % interval of the runs' mean, and that is no wider than 12 %."""
    mean, half = float(np.mean(samples)), T_999 * float(np.std(samples, ddof=1)) / sqrt(len(samples))
    assert abs(mean - oracle) <= half, (mean, half, oracle)
    assert half <= 0.12 * oracle, (mean, half, oracle)


@pytest.mark.parametrize(("rate", "load", "keep", "n"), [
    (1 / 600, 30, 600, 1000), (1 / 60, 30, 120, 2500), (0.2, 10, 5, 1500), (1, 20, 2, 8000)])
def test_keep_alive_meets_the_closed_form(tmp_path: Path, rate: float, load: float, keep: float, n: int) -> None:
    per_cycle = rate * load + exp(rate * keep)
    runs = [simulated(tmp_path, seed=seed, duration=f"duration: {n / rate:.0f}s", load=load, gpu_mib=2048,
                      policy=f"{{use: ttl, keep_alive: {keep}s}}",
                      workload=f"{{arrivals: {{use: poisson, rate_rps: {rate!r}}}}}") for seed in range(21)]
    agrees(1 / per_cycle, [run["residency"]["loads"] / run["requests"]["invocations"] for run in runs])
    agrees((exp(rate * keep) - 1) / per_cycle, [run["models"]["copies_mean"] for run in runs])
    agrees((load + rate * load ** 2 / 2) / per_cycle, [run["time"]["load"]["mean_ms"] / 1e3 for run in runs])

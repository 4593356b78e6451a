"""Bounds where loads take time: against exhaustive search, against PFOO-U where loads take none, and against what runs
of the simulator really reach."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bounds import requests_of

from mmesim.planner.bounds import RequestBound, bound_curve, bound_of, no_bound_because
from mmesim.planner.bounds.delayed import Delayed
from mmesim.planner.bounds.dual import peak
from mmesim.planner.bounds.offline import Requests, pfoo_upper
from mmesim.policies import registry
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario
from mmesim.sim.run import simulate


def test_peak_of_two_lines() -> None:
    """value = min(2 price, 3 + price / 2): without the price, slopes 1 and -1/2; they meet at price 2."""
    assert peak(lambda price: min((2 * price, 2.0), (3 + price / 2, 0.5))) == pytest.approx(2.0)
    assert peak(lambda price: (5.0, 0.0)) == 5.0, "there is room for all"


Case = tuple[Requests, np.ndarray, np.ndarray, int]


def _case(models: list[int], seed: int, longest_s: float) -> Case:
    """(requests, load times, sizes, capacity)."""
    rng = np.random.default_rng(seed)
    requests = requests_of(models, np.cumsum(rng.exponential(1.0, len(models))), since_s=float(rng.choice([0.0, 2.0])))
    n = requests.n_models
    return requests, rng.uniform(0, longest_s, n), rng.integers(1, 4, n).astype(float), int(rng.integers(1, 6))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.integers(0, 2 ** 32 - 1))
def test_loads_in_no_time_are_pfoo(models: list[int], seed: int) -> None:
    """Loads: equal to PFOO-U, which sorts, where the dual searches. Hits: at least, as first loads may come late."""
    requests, _, size, capacity = _case(models, seed, 0.0)
    delayed, none, fits = Delayed(requests, np.zeros(requests.n_models)), np.zeros(requests.n_models), size <= capacity
    value = np.random.default_rng(seed).uniform(0.5, 2.0, requests.n_models)
    counted = requests.model[requests.first:]
    saved = value[counted].sum() - delayed.load_cost(size, capacity, fits, none, value)
    assert saved == pytest.approx(pfoo_upper(requests, size, capacity, value), rel=1e-6, abs=1e-6)
    assert delayed.prompt_hits(size, capacity, fits) >= pfoo_upper(requests, size, capacity) - 1e-6


def _kept(requests: Requests, size: np.ndarray, capacity: int) -> list[np.ndarray]:
    """All ways to keep models over intervals (rows of `order`, the first of a model is none) that fit at any time."""
    order, begins = requests.rows
    model = requests.model[order]
    interval = np.flatnonzero(np.isin(np.arange(len(order)), begins, invert=True))
    ways = []
    for choice in product((False, True), repeat=len(interval)):
        kept = np.zeros(len(order), bool)
        kept[interval] = choice
        rows = np.flatnonzero(kept)
        begin, end, taken = requests.t_s[order[rows - 1]], requests.t_s[order[rows]], size[model[rows]]
        if all(taken[(begin <= t) & (t < end)].sum() <= capacity for t in begin if t >= requests.since_s) and \
                taken[(begin <= requests.since_s) & (requests.since_s < end)].sum() <= capacity:
            ways.append(kept)
    return ways


def _misses(requests: Requests, load_s: np.ndarray, kept: np.ndarray) -> int:
    """Counted requests that no READY copy serves if a load begins wherever no copy was kept."""
    order, _ = requests.rows
    ready_s, misses = -np.inf, 0
    for row, position in enumerate(order.tolist()):
        t = requests.t_s[position]
        if not kept[row]:
            ready_s = t + load_s[requests.model[position]]
            waits = True
        else:
            waits = t < ready_s
        misses += waits and position >= requests.first
    return misses


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=11), st.integers(0, 2 ** 32 - 1))
def test_no_schedule_passes(models: list[int], seed: int) -> None:
    """Every way to keep models that fits: its hits, with delayed ones left out, and its loads."""
    requests, load_s, size, capacity = _case(models, seed, 3.0)
    delayed, one, fits = Delayed(requests, load_s), np.ones(requests.n_models), size <= capacity
    prompt, late = delayed.prompt_hits(size, capacity, fits), delayed.late_hits(size, capacity, fits)
    foreseen = delayed.foreseen_hits(size, capacity, fits)
    loads = delayed.load_cost(size, capacity, fits, 0 * one, one)
    fewer = delayed.load_cost(size, capacity, fits, 2 * one, one)
    order, _ = requests.rows
    for kept in _kept(requests, size, capacity):
        hits = requests.counted - _misses(requests, load_s, kept)
        assert hits <= min(prompt, late, foreseen) + 1e-6
        assert int((~kept[order >= requests.first]).sum()) >= max(loads, fewer) - 1e-6
    assert fewer <= loads + 1e-6


def test_a_wait_can_beat_instant_loads() -> None:
    """Room for one model, loads of 10 s: A is hit while it serves its first request, then B loads and is hit. PFOO-U
    says 1.5; the bounds that know of waits allow for both hits."""
    requests, one = requests_of("abab", [0, 1, 10.05, 22]), np.ones(2)
    delayed = Delayed(requests, 10 * one)
    assert pfoo_upper(requests, one, 1) == pytest.approx(1.5)
    assert delayed.prompt_hits(one, 1.0, one > 0) == pytest.approx(2)
    assert delayed.late_hits(one, 1.0, one > 0) == pytest.approx(2)


def test_waiting_shares_loads() -> None:
    """a b a b, a second apart, room for one: at once, 4 loads less the 1.5 that PFOO-U saves; if requests may wait for
    1 s, loads are needed for the same four requests still; for 2 s, one load of each model serves both."""
    requests, one = requests_of("abab"), np.ones(2)
    delayed = Delayed(requests, np.zeros(2))
    costs = [delayed.load_cost(one, 1.0, one > 0, wait * one, one) for wait in (0.0, 1.0, 2.0)]
    assert costs[0] == pytest.approx(2.5)
    assert costs[2] == 2
    assert costs[2] <= costs[1] <= costs[0]


# ---- runs of the simulator


SCENARIO = """
duration: {duration}s
seed: {seed}
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: {instances}
  eviction: {{gpu: {eviction}}}
  routing: {{use: least_outstanding, blind: {blind}, spill_outstanding: 0}}
  placement: {placement}
  server: {{load_threads: {threads}, load_time_cv: {spread}}}
models:
  - {{profile: bert-base-tensorrt-t4, count: {large}, name: "large-{{i}}", gpu_bytes: {gib}GiB, load_time: {load}s}}
  - {{profile: resnet50-pytorch-t4, count: {small}, name: "small-{{i}}", gpu_bytes: 1GiB}}
workload:
  arrivals: {{use: poisson, rate_rps: {rate}}}
  popularity: {{use: zipf, s: {skew}}}
  sessions: {{repeat: {repeat}}}
checks: {{intended_overload: true}}
output: {{interval: 60s, journal: false, trace: false, report: false}}
"""


def scenario(folder: Path, seed: int, eviction: str = "lru", *overrides: str) -> Scenario:
    """A random small scenario: one to three instances, too many models, idle or overloaded."""
    rng = np.random.default_rng(seed)
    path = folder / "random.yaml"
    path.write_text(SCENARIO.format(
        seed=seed, eviction=eviction, duration=rng.integers(120, 500), instances=rng.integers(1, 4),
        blind=rng.choice(["true", "false"]), placement=rng.choice(["least_loaded", "hash"]),
        threads=rng.choice([1, 2, 4]), spread=rng.choice([0, 0.2, 0.5]), large=rng.integers(2, 16),
        small=rng.integers(1, 16), gib=rng.integers(2, 7), load=round(10 ** rng.uniform(-1, 1.3), 2),
        rate=round(10 ** rng.uniform(-1, 1), 2), skew=round(rng.uniform(0, 1.5), 2), repeat=rng.choice([0, 0.3, 0.8])))
    return load_scenario(str(path), overrides)


def _bound(asked: Scenario, scale: float = 1.0) -> RequestBound:
    bound = bound_of(build(asked), scale)
    assert bound is not None
    return bound


@pytest.mark.parametrize("eviction", registry.known("eviction"))
def test_no_run_passes(tmp_path: Path, eviction: str) -> None:
    """Hits and loads of runs with each eviction policy, loads that take their time, queues and all."""
    for seed in range(8):
        asked = scenario(tmp_path, seed, eviction)
        bound, summary = _bound(asked), simulate(build(asked)).summary
        hits, requests = summary["cache"]["hits"], bound.requests
        assert requests == summary["requests"]["first_attempts"]
        assert hits <= bound.hit_ratio * requests + 1e-6, seed
        assert bound.hit_ratio <= bound.late_hit_ratio + 1e-9 <= bound.foreseen_hit_ratio + 2e-9, seed
        if not summary["requests"]["failed"]:
            under_way = summary["requests"]["in_flight_at_end"]
            assert summary["residency"]["loads"] >= bound.loads - under_way - 1e-6, seed


def test_more_memory_never_bounds_lower(tmp_path: Path) -> None:
    """The curve is the single bounds, in order; with memory for nothing there is no hit and each request a load."""
    asked = scenario(tmp_path, 3)
    curve = bound_curve(build(asked), [0.0, 0.25, 0.5, 1.0, 2.0])
    assert curve == [_bound(asked, scale) for scale in (0.0, 0.25, 0.5, 1.0, 2.0)]
    ratios, loads = [b.hit_ratio for b in curve], [b.prompt_loads for b in curve]
    assert ratios == sorted(ratios)
    assert loads == sorted(loads, reverse=True)
    assert (ratios[0], loads[0]) == (0, curve[0].requests)
    assert ratios[0] < ratios[-1]


def test_pool_is_the_most_there_can_be(tmp_path: Path) -> None:
    """The initial ones where nothing scales, else the largest bound."""
    some = "endpoint.instances={initial: 2, min: 1, max: 5}"
    scaling = "endpoint.autoscaling=[{use: scheduled, actions: [{at: 1m, max: 7}]}]"
    for pooled, overrides in ((3, ["endpoint.instances=3"]), (2, [some]), (7, [some, scaling])):
        assert _bound(scenario(tmp_path, 1, "lru", *overrides)).instances == pooled


def test_fetches_count_once_if_files_stay(tmp_path: Path) -> None:
    """With files kept on the disk each model asked for is fetched once; without, at every load."""
    kept = scenario(tmp_path, 4)
    bound, built = _bound(kept), build(kept)
    fetch_s = np.array([model.spec.reload_s3_s - model.spec.reload_disk_s for model in built.models])
    assert built.arrivals is not None
    asked: set[int] = set()
    while (chunk := built.arrivals.next_chunk()) is not None:
        asked |= set(chunk.model.tolist())
    assert bound.return_s - bound.load_s == pytest.approx(fetch_s[sorted(asked)].sum())
    deleted = _bound(scenario(tmp_path, 4, "lru", "endpoint.server.keep_on_disk=false"))
    assert deleted.load_s == pytest.approx(bound.load_s)
    assert deleted.return_s > bound.return_s
    assert deleted.hit_ratio == deleted.late_hit_ratio == bound.late_hit_ratio


def test_every_request_of_a_model_that_cannot_load_is_a_miss(tmp_path: Path) -> None:
    """It is no use to wait for it: as if it fitted nowhere."""
    asked = scenario(tmp_path, 5, "lru", "models.0.fails_to_load=true", "models.1.fails_to_load=true")
    assert _bound(asked).foreseen_hit_ratio == 0


def test_without_requests_known_beforehand_there_is_none() -> None:
    built = build(load_scenario("scenarios/load-test.yaml"))
    assert bound_of(built) is None
    assert "closed-loop" in (no_bound_because(built) or "")

"""Where a routing policy beats the default, `least_outstanding`, and where it does not: pairs of runs on equal seeds.

Mean latencies of small simulations; a policy is better when it is so with every seed, by a margin. The figures stand in
docs/policies-built-in/routing.md. For routers among warm copies the data plane runs alone, with copies where a case
wants them (times in ms); for those that load models it is a whole scenario (times in s).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from reference.lab import UNIT_NS, Bench, finish, poisson, service

from mmesim.core.policy import RoutingPolicy
from mmesim.core.residency import ResidencyTable
from mmesim.dataplane.api import ONE_Q16, ServiceSpec
from mmesim.policies.routing.join_idle_warm import JoinIdleWarm
from mmesim.policies.routing.least_outstanding import LeastOutstanding
from mmesim.policies.routing.power_of_two import PowerOfTwo
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate
from tests.dataplane_world import residency

SEEDS = (1, 2, 3, 4)
PROFILE = Path(__file__).parent.parent / "profiles" / "jasper-17s-onnx-t4.yaml"


def told(name: str, default: Sequence[float], policy: Sequence[float]) -> None:
    """For `pytest -rP`: the figures of the docs."""
    print(f"{name}: {np.mean(default):.2f}, {np.mean(policy):.2f}; {np.round(default, 2)} {np.round(policy, 2)}")


# ---- among warm copies


def warm(routing: RoutingPolicy, services: Sequence[ServiceSpec], where: Sequence[int], rates: Sequence[float],
         seed: int) -> float:
    """Mean sojourn in ms of requests for model 1, whose copies are everywhere; those of model 0 are on `where`.

    Four instances; Poisson streams of these rates per ms, exponential work.
    """
    rng, n = np.random.default_rng([7, seed]), 20_000
    model = np.asarray(rng.random(n) < rates[1] / sum(rates), np.int64)
    plane = Bench(services, routing=routing).make(table(where), poisson(rng, sum(rates), n, model=model), seed)
    ok = finish(plane, n).ok
    return float(ok["latency_ns"][ok["model"] == 1].mean()) / UNIT_NS


def table(where: Sequence[int]) -> ResidencyTable:
    """Model 0 READY there, model 1 on all of four instances."""
    return residency(2, 4, [(i, 0) for i in where] + [(i, 1) for i in range(4)])


LONG_QUEUE = [service(share_q16=ONE_Q16 // 16, max_queue=40), service(share_q16=ONE_Q16 // 2)]
"""Model 0 wants 1/16 of the device and has one execution instance: at 1.5 requests a ms its queue is full, 40 in
flight, and hardly disturbs model 1."""
BUSY_DEVICE = [service(instance_count=8, max_queue=40), service()]
"""Up to eight requests of model 0 share the device with model 1."""


@pytest.mark.parametrize("policy", [PowerOfTwo, JoinIdleWarm])
def test_a_long_queue_that_keeps_nobody_busy_misleads_the_default(policy: type[RoutingPolicy]) -> None:
    """Instances 0 and 1 have 40 requests in flight that wait in a queue of their own. The default sees 40, and sends
    model 1 to 2 and 3 alone, 0.95 of their capacity, until 40 are in flight there too. A sample of two is 0 and 1 one
    time in six, which brings 2 and 3 to 0.79; the queue of the model's own copies does not mislead at all."""
    default, other = ([warm(each(spill_outstanding=0), LONG_QUEUE, [0, 1], [3.0, 1.9], seed) for seed in SEEDS]
                      for each in (LeastOutstanding, policy))
    told(f"long queue, {policy.__name__}", default, other)
    assert all(it < 0.6 * usual for it, usual in zip(other, default, strict=True))


def test_two_choices_of_equal_servers_are_worse_than_all() -> None:
    """Nothing misleads: four equal servers at 0.9, and who looks at all four finds shorter queues than who looks at
    two (oracles: 3.45 ms against 2.6 for about as many)."""
    default, other = ([warm(each(spill_outstanding=0), [service()] * 2, [], [0.0, 3.6], seed) for seed in SEEDS]
                      for each in (LeastOutstanding, PowerOfTwo))
    told("equal servers", default, other)
    assert all(it > 1.1 * usual for it, usual in zip(other, default, strict=True))


def test_an_idle_copy_on_a_busy_device_is_a_bad_choice() -> None:
    """The device of 0 and 1 is shared with up to eight requests of model 0: an idle copy there runs at a fraction of
    the speed. The default counts them and keeps away."""
    default, other = ([warm(each(spill_outstanding=0), BUSY_DEVICE, [0, 1], [1.9, 1.2], seed) for seed in SEEDS]
                      for each in (LeastOutstanding, JoinIdleWarm))
    told("busy device", default, other)
    assert all(it > 1.3 * usual for it, usual in zip(other, default, strict=True))


# ---- with loads

SCENARIO = """
name: routing
duration: 40m
warmup: 10m
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 4}
models:
  - {profile: two-seconds.yaml, artifact_bytes: 400MiB, disk_bytes: 430MiB, max_batch_size: 1}
workload: {arrivals: {use: poisson}, popularity: {use: zipf}}
checks: {intended_overload: true}
output: {journal: false, trace: false, report: false}
"""
"""Requests of two seconds, whatever the batch; four T4."""


def latencies_s(folder: Path, routing: str, settings: str) -> list[float]:
    """Mean latency in seconds, seed by seed."""
    profile = re.sub(r"infer: [\d.]+ms", "infer: 2s", PROFILE.read_text(encoding="utf-8"))
    (folder / "two-seconds.yaml").write_text(profile.replace("jasper-17s-onnx-t4", "two-seconds"))
    (folder / "routing.yaml").write_text(SCENARIO)
    means = []
    for seed in SEEDS:
        given = [*settings.split(), f"endpoint.routing={routing}", f"seed={seed}"]
        summary = simulate(build(load_scenario(str(folder / "routing.yaml"), given))).summary
        means.append(summary["latency"]["all"]["mean"] / 1000)
    return means


ROOMY = "models.0.count=3 models.0.gpu_bytes=1GiB models.0.load_time=2s workload.arrivals.rate_rps=0.55 " \
        "workload.popularity.s=2"
"""Every instance could hold all three models; the first one alone keeps a copy busy to 0.8."""
TIGHT = "models.0.count=12 models.0.gpu_bytes=5GiB models.0.load_time=10s workload.arrivals.rate_rps=0.8 " \
        "workload.popularity.s=0.6"
"""Room for two models on each instance: 8 of 12."""
FULL = "models.0.count=8 models.0.gpu_bytes=5GiB models.0.load_time=10s workload.arrivals.rate_rps=1.2 " \
       "workload.popularity.s=1"
"""Room for 8 of 8, if each has one copy."""
BATCHES = FULL.replace("rate_rps=1.2", "rate_rps=4") + " models.0.max_batch_size=8"
"""Batches of up to 8 take as long as one request."""


def test_bounded_loads_give_a_hot_model_copies_before_it_queues(tmp_path: Path) -> None:
    """Memory is ample. The default wishes for another copy at 16 requests in flight, which a copy at 0.8 seldom sees:
    it stays alone. With `ch_bl` the second of two requests in flight goes to the next instance on the ring, and the
    copies it leaves behind stay."""
    default, other = (latencies_s(tmp_path, use, ROOMY) for use in ("least_outstanding", "ch_bl"))
    told("roomy, ch_bl", default, other)
    assert all(it < 0.7 * usual for it, usual in zip(other, default, strict=True))


def test_bounded_loads_tear_a_tight_memory_apart(tmp_path: Path) -> None:
    """Each request beyond an instance's share loads a copy that somebody else has to leave for, 10 s for a request of
    2 s; the default would rather wait."""
    default, other = (latencies_s(tmp_path, use, TIGHT) for use in ("least_outstanding", "ch_bl"))
    told("tight, ch_bl", default, other)
    assert all(it > 1.5 * usual for it, usual in zip(other, default, strict=True))


def test_waiting_is_weighed_against_loading(tmp_path: Path) -> None:
    """The hottest model alone would keep 0.88 of a copy busy. The default lets 16 requests of 2 s wait before it wishes
    for a second copy; least expected completion loads one when the work in flight is longer than the load of 10 s."""
    default, other = (latencies_s(tmp_path, use, FULL) for use in ("least_outstanding", "least_expected_completion"))
    told("full, least_expected_completion", default, other)
    assert all(it < 0.8 * usual for it, usual in zip(other, default, strict=True))


def test_batches_make_the_expectation_wrong(tmp_path: Path) -> None:
    """Eight requests in a batch take 2 s, but are expected to take 16: the router loads copies nobody needs, and
    evicts others for them. Weighing loads four times mends it."""
    default, other, wary = (latencies_s(tmp_path, use, BATCHES) for use in (
        "least_outstanding", "least_expected_completion", "{use: least_expected_completion, cold_weight: 4}"))
    told("batches, least_expected_completion", default, other)
    told("batches, cold_weight 4", default, wary)
    assert all(it > 1.5 * usual for it, usual in zip(other, default, strict=True))
    assert all(it < 0.7 * eager for it, eager in zip(wary, other, strict=True))

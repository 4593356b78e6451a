"""The data plane against queueing theory: waiting, sharing, loss.

Numbers are closed forms: M/M/1, Erlang B and C, Pollaczek-Khinchine, the insensitive processor-sharing queue with
state-dependent speed (Cohen 1979), open product-form networks (BCMP 1975). Sixteen replications of 30 000 requests, the
first tenth left out; at loads up to 0.8 the 99.9 % interval of a mean is then a few per cent wide.
"""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from reference.lab import (
    UNIT_NS,
    Bench,
    Law,
    agrees,
    deterministic,
    erlang4,
    exponential,
    hyperexponential4,
    lognormal,
    poisson,
    replicate,
    service,
)

from mmesim.core.types import Failure
from mmesim.dataplane.api import ONE_Q16
from mmesim.dataplane.counters import Reason
from mmesim.policies.admission.queue_limit import QueueLimit

N = 30_000
MANY = 100_000
"""Execution instances enough for nobody to wait."""


def erlang_b(c: int, a: float) -> float:
    """Blocking of M/G/c/c."""
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    return blocked


def wait_mmc(c: int, a: float) -> float:
    """Mean waiting time of M/M/c in mean services."""
    blocked = erlang_b(c, a)
    return blocked / (1 - a / c * (1 - blocked)) / (c - a)


def mean_in_system(a: float, speed: list[float]) -> tuple[float, float]:
    """Mean number and P(full) where n jobs are served at total speed `speed[n - 1]`, at most len(speed) jobs."""
    weights = np.cumprod([1.0, *(a / f for f in speed)])
    p = weights / weights.sum()
    return float(p @ np.arange(len(p))), float(p[-1])


@pytest.mark.parametrize("rho", [0.5, 0.7])
def test_mm1_mean_and_quantiles(rho: float) -> None:
    def experiment(rng: np.random.Generator, seed: int) -> list[float]:
        sojourn = Bench().run(poisson(rng, rho, N)).sojourn
        return [sojourn.mean(), *np.quantile(sojourn, [0.5, 0.9, 0.99])]

    found = replicate(experiment)
    agrees(1 / (1 - rho), found[0])
    for quantile, values in zip((0.5, 0.9, 0.99), found[1:], strict=True):
        agrees(-log(1 - quantile) / (1 - rho), values)


def test_the_comparison_can_fail() -> None:
    """Deterministic service is not taken for exponential."""
    found = replicate(lambda rng, seed: Bench().run(poisson(rng, 0.5, N, deterministic)).sojourn.mean())
    with pytest.raises(AssertionError, match="in theory"):
        agrees(2.0, found[0])


@pytest.mark.parametrize(("c", "a"), [(2, 1.5), (4, 3.2), (8, 6.4), (32, 28.8)])
def test_mmc(c: int, a: float) -> None:
    """Execution instances that want 1/c of the device each do not slow each other down."""
    bench = Bench([service(instance_count=c, share_q16=ONE_Q16 // c)])
    found = replicate(lambda rng, seed: bench.run(poisson(rng, a, N)).sojourn.mean())
    agrees(1 + wait_mmc(c, a), found[0])


@pytest.mark.parametrize(("law", "cs2"), [(deterministic, 0), (erlang4, 0.25), (hyperexponential4, 4)])
@pytest.mark.parametrize("rho", [0.5, 0.7])
def test_mg1_pollaczek_khinchine(law: Law, cs2: float, rho: float) -> None:
    found = replicate(lambda rng, seed: Bench().run(poisson(rng, rho, N, law)).sojourn.mean())
    agrees(1 + rho / (1 - rho) * (1 + cs2) / 2, found[0])


@pytest.mark.parametrize("law", [deterministic, exponential, lognormal(4)])
@pytest.mark.parametrize("rho", [0.5, 0.7])
def test_processor_sharing_is_insensitive(law: Law, rho: float) -> None:
    bench = Bench([service(instance_count=MANY)])
    found = replicate(lambda rng, seed: bench.run(poisson(rng, rho, N, law)).sojourn.mean())
    agrees(1 / (1 - rho), found[0])


def test_processor_sharing_is_fair_to_every_size() -> None:
    """E[sojourn | size x] = x / (1 - rho)."""
    bench, rho = Bench([service(instance_count=MANY)]), 0.6

    def experiment(rng: np.random.Generator, seed: int) -> list[float]:
        arrivals = poisson(rng, rho, N)
        ran = bench.run(arrivals)
        size = arrivals.work_q16[ran.ok["serial"]] / ONE_Q16
        return [float((ran.sojourn[part] / size[part]).mean()) for part in ((size < 0.5) & (size > 0.05), size > 2)]

    for values in replicate(experiment):
        agrees(1 / (1 - rho), values)


@pytest.mark.parametrize("law", [deterministic, exponential, lognormal(4)])
@pytest.mark.parametrize(("lanes", "a"), [(2, 1.2), (4, 3.2)])
def test_sharing_with_several_lanes_is_insensitive(law: Law, lanes: int, a: float) -> None:
    """Batches that want 1/k of the device: n of them are served at min(n, k)."""
    bench = Bench([service(instance_count=MANY, share_q16=ONE_Q16 // lanes)])
    found = replicate(lambda rng, seed: bench.run(poisson(rng, a, N, law)).sojourn.mean())
    agrees(1 + wait_mmc(lanes, a), found[0])


@pytest.mark.parametrize("law", [deterministic, exponential, lognormal(4)])
def test_interference_is_insensitive(law: Law) -> None:
    """At most 8 jobs, each wants 1/4 of the device, and k = 0.1 of interference with each other one."""
    k, most, a = 0.1, 8, 2.2
    speed = [min(n, 4) / (1 + k * (n - 1)) for n in range(1, most + 1)]
    number, full = mean_in_system(a, speed)
    bench = Bench([service(instance_count=most, share_q16=ONE_Q16 // 4)], admission=QueueLimit(per_endpoint=most),
                  interference_q16=round(k * ONE_Q16))

    def experiment(rng: np.random.Generator, seed: int) -> list[float]:
        ran = bench.run(poisson(rng, a, N, law))
        return [ran.sojourn.mean(), ran.share_failed(Failure.THROTTLED)]

    sojourn, refused = replicate(experiment)
    agrees(number / (a * (1 - full)), sojourn)
    agrees(full, refused)


@pytest.mark.parametrize("law", [deterministic, exponential, lognormal(4)])
@pytest.mark.parametrize(("c", "a"), [(2, 1.0), (4, 3.2), (10, 8.0)])
def test_erlang_b_is_insensitive(law: Law, c: int, a: float) -> None:
    bench = Bench([service(instance_count=c, share_q16=ONE_Q16 // c)], admission=QueueLimit(per_endpoint=c))
    found = replicate(lambda rng, seed: bench.run(poisson(rng, a, N, law)).share_failed(Failure.THROTTLED))
    agrees(erlang_b(c, a), found[0])


@pytest.mark.parametrize(("c", "places", "a"), [(1, 5, 0.8), (1, 10, 1.2), (2, 4, 1.6), (4, 8, 3.6)])
def test_finite_queue(c: int, places: int, a: float) -> None:
    """M/M/c/K: Triton's queue limit is K - c."""
    number, full = mean_in_system(a, [min(n, c) for n in range(1, places + 1)])
    bench = Bench([service(instance_count=c, share_q16=ONE_Q16 // c, max_queue=places - c)])

    def experiment(rng: np.random.Generator, seed: int) -> list[float]:
        ran = bench.run(poisson(rng, a, N))
        return [ran.sojourn.mean(), ran.share_failed(Failure.QUEUE_FULL)]

    sojourn, refused = replicate(experiment)
    agrees(number / (a * (1 - full)), sojourn)
    agrees(full, refused)


def test_infinite_server() -> None:
    """M/G/inf by 64 executions of 1/64 each, of which about 20 are busy: nobody waits, nobody is slowed down."""
    bench = Bench([service(instance_count=64, share_q16=ONE_Q16 // 64)])

    def experiment(rng: np.random.Generator, seed: int) -> float:
        ran = bench.run(poisson(rng, 20.0, N, lognormal(4)))
        assert not ran.records["reasons_ns"][:, [Reason.QUEUE, Reason.CONTENTION]].any()
        return ran.in_flight_ns / ran.until_ns

    agrees(20.0, replicate(experiment)[0])


@pytest.mark.parametrize("law", [deterministic, exponential, lognormal(4)])
def test_host_stage_and_device_in_series(law: Law) -> None:
    """Open product form: a fifth of the requests first share one vCPU (2 units each), all share the device."""
    bench = Bench([service(instance_count=MANY), service(instance_count=MANY, cpu_ns=2 * UNIT_NS)])

    def experiment(rng: np.random.Generator, seed: int) -> float:
        model = (rng.random(N) < 0.2).astype(np.int64)
        return bench.run(poisson(rng, 0.5, N, law, model)).sojourn.mean()

    agrees(0.2 * 2 / (1 - 0.2) + 1 / (1 - 0.5), replicate(experiment)[0])


# ---- without chance, to the nanosecond


def test_two_jobs_share() -> None:
    assert Bench([service(instance_count=4)]).latencies([0, 0.5]) == [1.5, 1.5]


def test_three_sizes_share() -> None:
    """A third of the device is 21845/65536 of it, 15 ppm too little."""
    lag = 65536 / 21845 - 3
    assert Bench([service(instance_count=4)]).latencies([0, 0, 0], [1, 2, 3]) == pytest.approx(
        [3 + lag, 5 + lag, 6 + lag], abs=1e-6)


def test_shares_below_the_device_do_not_slow() -> None:
    halves = Bench([service(instance_count=4, share_q16=ONE_Q16 // 2)])
    assert halves.latencies([0, 0]) == [1, 1]
    assert halves.latencies([0, 0, 0, 0]) == [2, 2, 2, 2]

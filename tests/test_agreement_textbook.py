"""The kernel gives the latencies of a textbook SimPy model wherever no two things happen at one instant.

The textbook computes in floats, the kernel in integers: nanoseconds, and speeds in fractions of 65536. Each test says
which roundings are left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reference.cases import TICK_NS, Case, Service
from reference.driver import run_case
from reference.textbook import TextbookModel, run_textbook

from mmesim.dataplane.api import ONE_Q16
from mmesim.dataplane.plane import KernelPlane


def latencies_ns(log: list[Any]) -> list[int]:
    """Latencies of a run, in order of issue."""
    records = [row for entry in log if isinstance(entry, list) for row in entry
               if isinstance(row, dict) and "serial" in row]
    assert not any(row["failure"] for row in records)
    return [row["latency_ns"] for row in sorted(records, key=lambda row: row["serial"])]


def textbook_ns(case: Case) -> list[float]:
    """The same by the textbook."""
    tick_s = TICK_NS / 1e9
    services = [case.services[which] for which in case.model_service]
    models = [TextbookModel(service.share_q16 / ONE_Q16, service.cpu * tick_s, service.overhead * tick_s,
                            service.instance_count) for service in services]
    arrivals = case.arrivals().next_chunk()
    demand_ns = np.array([service.table[0] for service in services])[arrivals.model] * TICK_NS * arrivals.work_q16 >> 16
    columns = arrivals.t_ns / 1e9, arrivals.model, demand_ns / 1e9
    requests = list(zip(*(column.tolist() for column in columns), strict=True))
    ready = [list(range(case.n_instances)) if case.warm else [] for _ in models]
    found = run_textbook(models, case.n_instances, case.cpus_q16 / ONE_Q16, case.load * tick_s, ready, requests)
    return [latency_s * 1e9 for latency_s in found]


def scenario(seed: int, warm: bool, services: tuple[Service, ...], models: int, mean_gap: int) -> Case:
    """Two instances, a thousand requests at irregular times."""
    return Case(services=services, model_service=tuple(m % len(services) for m in range(models)), n_instances=2,
                cpus_q16=4 * ONE_Q16, timeout=20_000, seed=seed, n_requests=1000, mean_gap=mean_gap, random_work=True,
                scatter=True, warm=warm, slots=6, download=0, load=37, end=20_000)


SEEDS = pytest.mark.parametrize("seed", range(3))
WARM = pytest.mark.parametrize("warm", [True, False])


@SEEDS
@WARM
def test_without_slowing_down(seed: int, warm: bool) -> None:
    """Shares that always fit: FCFS queues at the copies, loads that many wait for. Only floats are rounded."""
    small = Service(table=(5,), share_q16=ONE_Q16 // 16, overhead=2)
    double = Service(table=(9,), share_q16=ONE_Q16 // 16, instance_count=2)
    case = scenario(seed, warm, (small, double), models=6, mean_gap=1)
    assert latencies_ns(run_case(KernelPlane, case)) == pytest.approx(textbook_ns(case), abs=1)


@SEEDS
@WARM
def test_sharing_by_two(seed: int, warm: bool) -> None:
    """Two models that want the whole device: speeds are 1 or exactly 1/2, each end is rounded up to a nanosecond."""
    whole, other = Service(table=(3,), overhead=1), Service(table=(4,))
    case = scenario(seed, warm, (whole, other), models=2, mean_gap=3)
    assert latencies_ns(run_case(KernelPlane, case)) == pytest.approx(textbook_ns(case), abs=200)


@SEEDS
@WARM
def test_sharing_by_many(seed: int, warm: bool) -> None:
    """Host CPUs and devices shared by more than fits: a speed of 1/3 is 15 ppm low in Q16, so means agree to 1e-4."""
    whole = Service(table=(3,), cpu=2, overhead=1)
    half = Service(table=(4,), share_q16=ONE_Q16 // 2, cpu=3, instance_count=3)
    case = scenario(seed, warm, (whole, half), models=6, mean_gap=4)
    found, expected = latencies_ns(run_case(KernelPlane, case)), textbook_ns(case)
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=1e-4)
    assert np.median(np.abs(np.array(found) / expected - 1)) < 1e-4

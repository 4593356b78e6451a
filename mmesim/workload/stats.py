"""What a workload asks of each model on average, without generating it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmesim.units import NS_PER_S, seconds
from mmesim.workload.build import arrival_rate, matching, surge_rate
from mmesim.workload.popularity import Epoch, epochs
from mmesim.workload.rates import PiecewiseRate, mean_rate
from mmesim.workload.trace import trace_end_s, trace_requests
from mmesim.workload.types import WorkloadModel, WorkloadSpec

Floats = NDArray[np.float64]


def expected_rates(spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int, duration_ns: int) -> Floats:
    """Expected requests per second to each model, averaged over the run.

    A random rate (MMPP) counts with its long-run mean, a trace with its own requests. Closed-loop clients
    have no rate of their own: it depends on the answers, and is given as 0.
    """
    if spec.trace is not None:
        return _trace_rates(spec, models, seed, duration_ns)
    rates = np.zeros(len(models))
    if spec.arrivals.use == "none":
        return rates
    schedule = list(epochs(spec.popularity, models, seed, duration_ns))
    base = _mean_rate(spec, seed, duration_ns)
    everybody = np.ones(len(models), dtype=bool)
    crowds = [(surge_rate(surge, base, iter(schedule), matching(surge, models)), matching(surge, models))
              for surge in spec.surges]
    for rate, members in [(base, everybody), *crowds]:
        for epoch, requests in zip(schedule, _requests(rate, schedule), strict=True):
            mass = epoch.shares[members].sum()
            rates += epoch.shares * members * (requests / mass if mass else 0.0)
    return rates / seconds(duration_ns)


def _mean_rate(spec: WorkloadSpec, seed: int, duration_ns: int) -> PiecewiseRate:
    if spec.arrivals.use == "minute_counts":
        return arrival_rate(spec.arrivals, seed, duration_ns)
    return mean_rate(spec.arrivals, seconds(duration_ns))


def _requests(rate: PiecewiseRate, schedule: Sequence[Epoch]) -> Floats:
    """Expected requests in each epoch."""
    edges_ns = [schedule[0].start_ns, *(epoch.end_ns for epoch in schedule)]
    return np.diff(rate.expected_before(np.array(edges_ns) / NS_PER_S))


def _trace_rates(spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int, duration_ns: int) -> Floats:
    assert spec.trace is not None
    counts = np.zeros(len(models))
    for chunk in trace_requests(spec.trace, models, spec.items, seed):
        counts += np.bincount(chunk.model[chunk.t_ns < duration_ns], minlength=len(models))
    return counts * spec.trace.thin / min(trace_end_s(spec.trace), seconds(duration_ns))

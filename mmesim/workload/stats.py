"""What a workload asks of each model on average, without generating it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmesim.units import NS_PER_S, ns, seconds
from mmesim.workload.build import arrival_rate, matching, surge_rate, wanted
from mmesim.workload.combine import cut
from mmesim.workload.popularity import Epoch, epochs
from mmesim.workload.rates import PiecewiseRate, mean_rate
from mmesim.workload.trace import trace_left_s, trace_requests
from mmesim.workload.types import WorkloadModel, WorkloadSpec

Floats = NDArray[np.float64]


def expected_rates(spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int, duration_ns: int) -> Floats:
    """Expected requests per second to each model, averaged over `duration_ns` from the spec's start.

    A random rate (MMPP) counts with its long-run mean, a trace with its own requests. Closed-loop clients
    have no rate of their own: it depends on the answers, and is given as 0.
    """
    if spec.trace is not None:
        return _trace_rates(spec, models, seed, duration_ns)
    rates = np.zeros(len(models))
    if spec.arrivals.use == "none":
        return rates
    end_ns = ns(spec.start_s) + duration_ns
    schedule = list(epochs(spec.popularity, models, seed, end_ns))
    base = _mean_rate(spec, seed, end_ns)
    everybody = np.ones(len(models), dtype=bool)
    crowds = [(surge_rate(surge, base, iter(schedule), members), members)
              for surge in spec.surges for members in [matching(surge.models, models)]]
    for rate, members in [(base, everybody), *crowds]:
        for epoch, requests in zip(schedule, _requests(rate, schedule, spec.start_s), strict=True):
            mass = epoch.shares[members].sum()
            rates += epoch.shares * members * (requests / mass if mass else 0.0)
    return rates * wanted(spec, models) / seconds(duration_ns)


def _mean_rate(spec: WorkloadSpec, seed: int, duration_ns: int) -> PiecewiseRate:
    if spec.arrivals.use == "minute_counts":
        return arrival_rate(spec.arrivals, seed, duration_ns)
    return mean_rate(spec.arrivals, seconds(duration_ns))


def _requests(rate: PiecewiseRate, schedule: Sequence[Epoch], since_s: float) -> Floats:
    """Expected requests in each epoch's part from `since_s`."""
    edges_ns = [schedule[0].start_ns, *(epoch.end_ns for epoch in schedule)]
    return np.diff(rate.expected_before(np.maximum(np.array(edges_ns) / NS_PER_S, since_s)))


def _trace_rates(spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int, duration_ns: int) -> Floats:
    assert spec.trace is not None
    counts, start_ns = np.zeros(len(models)), ns(spec.start_s)
    for chunk in cut(trace_requests(spec.trace, models, spec.items, seed), start_ns, start_ns + duration_ns):
        counts += np.bincount(chunk.model, minlength=len(models))
    length_s = min(trace_left_s(spec.trace, spec.start_s), seconds(duration_ns))
    return counts * wanted(spec, models) * spec.trace.thin / length_s

"""What a workload looks like: the figures by which real traces and generated ones are compared.

Definitions: CV of gaps = standard deviation / mean of the times between requests (1 for Poisson); IDC =
variance / mean of the requests per minute (1 for Poisson), over whole minutes; Zipf s = maximum likelihood of
rank^-s on the observed ranks. The per-model IDC is the mean over models with at least 20 requests, weighted
by requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmesim.units import NS_PER_S, seconds
from mmesim.workload.build import arrival_rate, matching, surge_rate
from mmesim.workload.counts import MINUTE_NS
from mmesim.workload.popularity import Epoch, epochs
from mmesim.workload.rates import PiecewiseRate, mean_rate
from mmesim.workload.trace import trace_end_s, trace_requests
from mmesim.workload.types import ArrivalSource, WorkloadModel, WorkloadSpec

Floats = NDArray[np.float64]
FEW_REQUESTS = 20


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


def describe(source: ArrivalSource, n_models: int) -> dict[str, float]:
    """Figures of a source, which is read to its end; memory grows with minutes times models, not with requests."""
    tally = _Tally(n_models)
    while (chunk := source.next_chunk()) is not None:
        tally.add(chunk.t_ns, chunk.model)
    return tally.figures()


def zipf_mle(counts: NDArray[np.int64]) -> float:
    """The s for which shares proportional to rank^-s make these counts most likely.

    At the maximum the expected log rank equals the observed one; it falls with s, so bisection finds it (s in
    0 … 20).
    """
    ranked = np.sort(counts[counts > 0])[::-1]
    log_rank = np.log(np.arange(1, len(ranked) + 1))
    observed = float(ranked @ log_rank / ranked.sum())
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        weights = np.exp(-middle * log_rank)
        low, high = (middle, high) if weights @ log_rank / weights.sum() > observed else (low, middle)
    return low


def idc(counts: NDArray[np.int64]) -> float:
    """Variance over mean of counts in equal intervals."""
    return float(counts.var() / counts.mean()) if counts.any() else float("nan")


@dataclass(slots=True)
class _Tally:
    """Sums over the requests seen so far."""

    n_models: int
    requests: int = 0
    again: int = 0
    gap_sum_s: float = 0.0
    gap_square_sum: float = 0.0
    first_ns: int = 0
    last_ns: int = 0
    last_model: int = -1
    per_minute: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def add(self, t_ns: NDArray[np.int64], model: NDArray[np.int32]) -> None:
        """Takes in one chunk."""
        if not self.requests:
            self.first_ns = self.last_ns = int(t_ns[0])
        gaps = np.diff(t_ns, prepend=self.last_ns) / NS_PER_S
        self.gap_sum_s += float(gaps.sum())
        self.gap_square_sum += float(gaps @ gaps)
        self.again += int((np.diff(model, prepend=self.last_model) == 0).sum())
        self.requests += len(t_ns)
        self.last_ns, self.last_model = int(t_ns[-1]), int(model[-1])
        minutes, starts = np.unique(t_ns // MINUTE_NS, return_index=True)
        for minute, rows in zip(minutes.tolist(), np.split(model, starts[1:]), strict=True):
            seen = self.per_minute.setdefault(minute, np.zeros(self.n_models, np.int64))
            seen += np.bincount(rows, minlength=self.n_models)

    def figures(self) -> dict[str, float]:
        """The figures of all requests seen."""
        if not self.requests:
            return {"requests": 0.0}
        silent = np.zeros(self.n_models, np.int64)
        minutes = np.array([self.per_minute.get(m, silent) for m in range(self.last_ns // MINUTE_NS + 1)])
        counts = minutes.sum(axis=0)
        ranked = np.sort(counts)[::-1]
        gaps = max(1, self.requests - 1)
        mean_gap_s = self.gap_sum_s / gaps
        variance = max(0.0, self.gap_square_sum / gaps - mean_gap_s**2)
        whole = minutes[:-1] if len(minutes) > 1 else minutes
        return {
            "requests": float(self.requests),
            "mean_rate_rps": 1 / mean_gap_s if mean_gap_s else float("nan"),
            "cv_of_gaps": variance**0.5 / mean_gap_s if mean_gap_s else float("nan"),
            "idc_per_minute": idc(whole.sum(axis=1)),
            "model_idc_per_minute": _model_idc(whole),
            "models": float((counts > 0).sum()),
            "top1_share": float(ranked[0] / self.requests),
            "models_for_90_percent": float(np.searchsorted(np.cumsum(ranked), 0.9 * self.requests) + 1),
            "zipf_s": zipf_mle(counts),
            "same_model_again": self.again / gaps,
        }


def _model_idc(minutes: NDArray[np.int64]) -> float:
    counts = minutes.sum(axis=0)
    busy = np.flatnonzero(counts >= FEW_REQUESTS)
    if not len(busy):
        return float("nan")
    return float(np.average([idc(minutes[:, model]) for model in busy], weights=counts[busy]))


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

"""The timing that explains a few measured points of one server, by least squares over runs of the data plane.

S(b) comes from the points with one request in flight. The rest (:mod:`timing`) is found so that throughput, mean
latency and, where they are known, the mean times in queue and compute of the *given* loaded points are met. Two points
do not tell seven numbers apart, so each number has a prior, and a number that the points do not speak of stays at it.
Priors that depend on the backend were found on the development groups of the published points (docs/validation.md says
which groups these are, and how the others were predicted).

What is not a number is tried: batches formed ahead (none, or two for each instance, as newer Triton servers do), and
front ends of one thread or of sixteen (older load generators have that many). The simplest that explains the points is
taken: each further mechanism must lower the cost by `EARNED`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.serving.curve import BatchCurve
from mmesim.calibrate.serving.loop import Observed, closed_loop
from mmesim.calibrate.serving.timing import Setting, Timing
from mmesim.profile.points import OperatingPoint

TOLERANCE = 0.05
"""A throughput or a mean latency that is 5 % off costs 1; queue, compute or the rest off by 10 % of the latency too."""
EARNED = 10.0
REQUESTS, ROUNDS = 1500, 12
"""Requests in a run: at least so many, and so many rounds of the closed loop."""
SHIFT = 10.0
"""Search variables stand `SHIFT` above their prior's distance in sigmas, so that finite differences have a size."""
STEP = 0.02
REACH = 3.0
"""No number goes further than so many sigmas from its prior."""
TRIES = 8
Z95 = 1.96
INTERFERENCE = {"tensorrt": 0.5, "onnxruntime+tensorrt": 0.5, "torchscript": 0.07, "tf savedmodel": 0.05}
"""By backend: k of two instances of one model on one device. Other backends: `USUAL_INTERFERENCE`."""
USUAL_INTERFERENCE, INTERFERENCE_SIGMA = 0.2, 0.04
GAP_LOGIT = -1.0
LAUNCH_FRACTION, COPY_S, FRONTEND_S, NETWORK_S = 0.05, 50e-6, 50e-6, 3e-4
LOG_SIGMA, GAP_SIGMA, EXCESS_SIGMA, MOST_EXCESS = 0.8, 1.0, 0.25, 0.95
THREADS, AHEAD_PER_INSTANCE = (1, 16), 2
LONG_QUEUE = 0.75
"""Time in queue over time in compute from which batches may have been formed ahead (1/2 is usual, 2 with them)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of the fit and its 95 % confidence interval (priors included)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Residual:
    """A given point beside what the fitted timing says of it."""

    point: OperatingPoint
    fitted: Observed


@dataclass(frozen=True, slots=True)
class ServingFit:
    """All that is known of how one model is served."""

    setting: Setting
    curve: BatchCurve
    timing: Timing
    estimates: dict[str, Estimate]
    """By the name of a number of `Timing`."""
    cost: float
    """Half the sum of squares at the end: how badly the points are explained."""
    residuals: tuple[Residual, ...]

    def at(self, concurrency: int, setting: Setting | None = None, *, rounds: int = 3 * ROUNDS) -> Observed:
        """What a closed loop at `concurrency` would measure, of a server with the fit's setting or another."""
        return _observe(self.timing, self.curve, setting or self.setting, concurrency, rounds)


def fit_serving(curve: BatchCurve, setting: Setting, points: Sequence[OperatingPoint], *, backend: str,
                whole_latency: bool) -> ServingFit:
    """Fit the timing to loaded `points` (closed loop, one setting). `whole_latency`: `curve` holds network and client.

    Raises ValueError without points. Deterministic.
    """
    if not points:
        raise ValueError("no loaded points to fit to")
    best: tuple[float, _Search, NDArray[np.float64], NDArray[np.float64]] | None = None
    for penalty, search in _searches(curve, setting, points, backend, whole_latency):
        cost, x, errors = search.run()
        if best is None or cost + penalty < best[0]:
            best = cost + penalty, search, x, errors
    assert best is not None
    _, search, x, errors = best
    timing = search.timing(x)
    residuals = tuple(Residual(p, _observe(timing, curve, setting, p.concurrency or 1, ROUNDS)) for p in points)
    return ServingFit(setting, curve, timing, search.estimates(x, errors), float(best[0]), residuals)


def _searches(curve: BatchCurve, setting: Setting, points: Sequence[OperatingPoint], backend: str,
              whole_latency: bool) -> Iterator[tuple[float, _Search]]:
    """(penalty, search) of each hypothesis, the simplest first."""
    ahead = (0, AHEAD_PER_INSTANCE * setting.instance_count) if _queues_long(setting, points) else (0,)
    for prefetched in ahead:
        for threads in THREADS:
            penalty = EARNED / 2 * ((prefetched > 0) + (threads > 1))
            yield penalty, _Search(curve, setting, points, backend, whole_latency, threads, prefetched)


def _queues_long(setting: Setting, points: Sequence[OperatingPoint]) -> bool:
    """Whether requests wait longer than batches that are formed for free instances would make them.

    A closed loop on n busy instances without batches formed ahead has n batches that run and one that waits.
    """
    known = [(p.queue_s, p.compute_s) for p in points if p.queue_s is not None and p.compute_s]
    return setting.instance_count > 1 and any(queue > LONG_QUEUE * compute for queue, compute in known)


class _Search:
    """One hypothesis: maps search variables to timings and to residuals."""

    def __init__(self, curve: BatchCurve, setting: Setting, points: Sequence[OperatingPoint], backend: str,
                 whole_latency: bool, threads: int, prefetched: int) -> None:
        self.curve, self.setting, self.points = curve, setting, points
        self.names = ["interference_k", "gap_s", "launch_s", "copy_s", "frontend_s", "network_s"]
        if setting.instance_count == 1:
            self.names.remove("interference_k")
        if whole_latency:
            self.names.append("excess")
        self._one_s = float(curve.seconds([setting.items])[0])
        self._usual_k = INTERFERENCE.get(backend, USUAL_INTERFERENCE)
        self._plain = Timing(0.0, 0.0, 0.0, 0.0 if setting.instance_count == 1 else self._usual_k, 0.0, NETWORK_S,
                             frontend_threads=threads, prefetched_batches=prefetched)

    def value(self, name: str, z: float) -> float:
        """The number that lies `z` sigmas from its prior."""
        scale = math.exp(LOG_SIGMA * z)
        if name == "interference_k":
            return max(0.0, self._usual_k + INTERFERENCE_SIGMA * z)
        if name == "gap_s":
            return self._one_s / (1 + math.exp(-GAP_LOGIT - GAP_SIGMA * z))
        if name == "excess":
            return min(MOST_EXCESS, EXCESS_SIGMA * max(0.0, z))
        return scale * {"launch_s": LAUNCH_FRACTION * self._one_s, "copy_s": COPY_S, "network_s": NETWORK_S,
                        "frontend_s": FRONTEND_S * self._plain.frontend_threads}[name]

    def timing(self, x: NDArray[np.float64]) -> Timing:
        values = {name: self.value(name, z) for name, z in zip(self.names, x - SHIFT, strict=True)}
        return replace(self._plain, **values)

    def residuals(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        timing = self.timing(x)
        found = [_off(p, _observe(timing, self.curve, self.setting, p.concurrency or 1, ROUNDS)) for p in self.points]
        return np.concatenate([*found, x - SHIFT])

    def run(self) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """(cost, variables, their standard errors)."""
        from scipy.optimize import least_squares

        low = np.array([0.0 if name == "excess" else -REACH for name in self.names])
        high = np.array([MOST_EXCESS / EXCESS_SIGMA if name == "excess" else REACH for name in self.names])
        start = np.where(low < 0, 0.0, 0.2)
        best = least_squares(self.residuals, start + SHIFT, bounds=(low + SHIFT, high + SHIFT), diff_step=STEP,
                             max_nfev=TRIES, ftol=1e-3, xtol=1e-3)
        errors = np.sqrt(np.diag(np.linalg.pinv(best.jac.T @ best.jac)))
        return float(best.cost), best.x, errors

    def estimates(self, x: NDArray[np.float64], errors: NDArray[np.float64]) -> dict[str, Estimate]:
        return {name: Estimate(*(self.value(name, z + side * Z95 * error) for side in (0, -1, 1)))
                for name, z, error in zip(self.names, x - SHIFT, errors, strict=True)}


def _observe(timing: Timing, curve: BatchCurve, setting: Setting, concurrency: int, rounds: int) -> Observed:
    return closed_loop(timing, curve, setting, concurrency, max(REQUESTS * rounds // ROUNDS, concurrency * rounds))


def _off(point: OperatingPoint, seen: Observed) -> NDArray[np.float64]:
    """Weighted residuals of one point."""
    assert point.latency_s and point.concurrency
    off = [math.log(seen.latency_s / point.latency_s), math.log(seen.request_rps * point.latency_s / point.concurrency)]
    if point.queue_s is not None and point.compute_s is not None:
        outside_s = point.latency_s - point.queue_s - point.compute_s
        off += [(mine - theirs) / point.latency_s / 2 for mine, theirs in (
            (seen.queue_s, point.queue_s), (seen.compute_s, point.compute_s), (seen.outside_s, outside_s))]
    return np.array(off) / TOLERANCE

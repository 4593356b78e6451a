"""Timing of a load test from its first polls, by least squares over runs of the simulator.

What is compared, poll by poll, is the stretch since the poll before: its mean latency, and for each percentile that
Locust reports now, how many requests of the stretch lie below it (the earlier ones are known from the poll before).
So an odd beginning is not held against later polls, and each request counts once. Means weigh as much as the eight
percentiles together; a stretch weighs by its requests.

Several hypotheses are tried: a bottleneck of so many serial processes, for some numbers of them, or the device. A
search is made for each, from a start of its own; the one that explains the polls best is taken, and searched on. Each
search uses one seed throughout (common random numbers), which makes the sum of squares a smooth function of the times.

Where the mechanism comes from. The first four polls of resnet50 in the SageMaker benchmark say it: mean latency rises
from 128 to 155 ms while the endpoint goes from 34 to 57 requests/s, half of what it then reaches. A queue that several
servers share does not do that; queues of their own, of a few serial servers, do. That waiting pieces are taken in
random order was learnt from later polls (latency under saturation is spread like an exponential, not as under first
come, first served); so was that two passes are better than one. Whose the serial servers are is not settled: encoding a
3 MB image as JSON takes a Python process 50 to 90 ms, and the benchmark starts four to six of them, which explains
resnet50; for bert a boto3 call takes such a process 1 to 3 ms, not 16, so there they stand for something else between
client and GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.loadtest.endpoint import Latencies, LoadTest, Timing, endpoint
from mmesim.calibrate.loadtest.locust import QUANTILES
from mmesim.calibrate.loadtest.tables import Poll, intervals

TOLERANCE = 0.1
"""A mean that is 10 % off, or percentiles that are off by a tenth of a standard deviation of their counts, cost 1."""
PERCENTILE_WEIGHT = math.sqrt(2 / len(QUANTILES))
CV_GUESS, CV_FACTOR = 0.3, 1.5
"""The spread of a request's work is taken to be within this factor of that, unless the polls say more."""
FLOOR_S = 1e-6
NEVER_MS = 1e6
"""Stands for the latency of requests that did not end."""
BOUNDS = {"client_s": (1e-5, 20.0), "device_s": (1e-5, 5.0), "overhead_s": (2e-3, 10.0), "client_cv": (0.05, 1.5)}
STEP = 0.012
"""Step of the finite differences: 1.2 % of a logarithm above that of `FLOOR_S`, some 12 %."""
TRIES = 6
PROCESSES = (4, 6, 8)
"""Numbers of serial processes that are tried where it is not given: the load generator's workers by the benchmark's
default (endpoint_utils.run_load_test) and in its notebooks, and Triton's HTTP threads (--http-thread-count)."""
_Q = np.array(QUANTILES)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the bottleneck might be."""

    processes: int
    device_bound: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """The calibrated times and how well they are known."""

    hypothesis: Hypothesis
    timing: Timing
    relative_error: dict[str, float]
    """Standard error of each field of `timing` as a fraction of it."""
    cost: float
    """Half the weighted sum of squares: how badly the polls are explained."""

    @property
    def limit_rps(self) -> float:
        """Requests/s that the bottleneck can do at most."""
        return min(self.hypothesis.processes / self.timing.client_s, 1 / self.timing.device_s)


def hypotheses(processes: int | None) -> list[Hypothesis]:
    """All that are tried; `processes`: their number, if it is known."""
    tried = PROCESSES if processes is None else (processes,)
    return [*(Hypothesis(n, False) for n in tried), Hypothesis(processes or 6, True)]


def fit_timing(test: LoadTest, polls: Sequence[Poll], hypothesis: Hypothesis, seed: int,
               start: Timing | None = None) -> Fitted:
    """The times that explain `polls` best under one hypothesis, searched for from `start`, or a guess."""
    from scipy.optimize import least_squares

    test = replace(test, processes=hypothesis.processes)
    bounds = np.array([[_x(bound) for bound in BOUNDS[name]] for name in BOUNDS]).T
    begin = start or _guess(test, polls, hypothesis.device_bound)
    x = np.clip([_x(getattr(begin, name)) for name in BOUNDS], bounds[0] + 0.01, bounds[1] - 0.01)
    with endpoint(test, polls[-1].time_s) as simulated:
        def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
            timing = _timing(x)
            doubt = math.log(timing.client_cv / CV_GUESS) / math.log(CV_FACTOR)
            return np.concatenate([*_stretches(polls, simulated.run(timing, seed)), [doubt]])

        best = least_squares(residuals, x, bounds=bounds, diff_step=STEP, max_nfev=TRIES, loss="soft_l1", ftol=3e-3,
                             xtol=1e-3)
    return Fitted(hypothesis, _timing(best.x), _errors(best), float(best.cost))


def _guess(test: LoadTest, polls: Sequence[Poll], device_bound: bool) -> Timing:
    """A guess: the bottleneck is 60 % busy in the last stretch, and the shortest mean latency is what is needed."""
    begin_s, end_s, requests, _ = intervals(polls)[-1]
    per_request_s = 0.6 * (end_s - begin_s) / requests
    needs_s = min(mean_ms for *_, mean_ms in intervals(polls)) / 1e3
    client_s, device_s = (0.1 * needs_s, per_request_s) if device_bound else \
        (min(test.processes * per_request_s, 0.8 * needs_s), 1e-3)
    return Timing(client_s, device_s, max(0.2 * needs_s, needs_s - client_s - device_s), CV_GUESS)


def _x(value: float) -> float:
    return math.log(value / FLOOR_S)


def _timing(x: NDArray[np.float64]) -> Timing:
    return Timing(**dict(zip(BOUNDS, (np.exp(x) * FLOOR_S).tolist(), strict=True)))


def _stretches(polls: Sequence[Poll], run: Latencies) -> list[NDArray[np.float64]]:
    """Weighted residuals of each stretch."""
    found = []
    for n, (begin_s, end_s, requests, mean_ms) in enumerate(intervals(polls)):
        if n in warming_up(polls):
            continue
        here = np.sort(run.latency_ms[(run.end_s > begin_s) & (run.end_s <= end_s)])
        if not len(here):
            here = np.array([NEVER_MS])
        at_ms = np.array(polls[n].quantiles_ms)
        below = polls[n].requests * _Q - (polls[n - 1].requests * _known(polls[n - 1], at_ms) if n else 0.0)
        off = (np.searchsorted(here, at_ms) / len(here) - below / requests) / np.sqrt(_Q * (1 - _Q))
        weight = math.sqrt(requests / polls[-1].requests) / TOLERANCE
        found.append(weight * np.append(off * PERCENTILE_WEIGHT, math.log(here.mean() / mean_ms) * math.sqrt(2)))
    return found


def warming_up(polls: Sequence[Poll]) -> list[int]:
    """Stretches that were slower than a later one at a higher rate: no queue does that, something was not warm yet."""
    stretches = intervals(polls)
    rates = [requests / (end_s - begin_s) for begin_s, end_s, requests, _ in stretches]
    means_ms = [mean_ms for *_, mean_ms in stretches]
    later = range(len(stretches))
    return [n for n in later if any(rates[m] > rates[n] and means_ms[m] * (1 + TOLERANCE) < means_ms[n]
                                    for m in later[n + 1:])]


def _known(poll: Poll, at_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the requests until this poll that took at most so long, by straight lines between what it says."""
    known_ms = np.maximum.accumulate([poll.min_ms, *poll.quantiles_ms, poll.max_ms]) + 1e-6 * np.arange(len(_Q) + 2)
    return np.interp(at_ms, known_ms, [0.0, *QUANTILES, 1.0])


def _errors(best) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Standard errors of the logarithms, from the Jacobian at the end; a flat direction is unknown, not infinite."""
    freedom = max(1, len(best.fun) - len(best.x))
    eigen, vectors = np.linalg.eigh(best.jac.T @ best.jac)
    variance = (vectors**2 / np.maximum(eigen, 1e-3)).sum(axis=1) * 2 * best.cost / freedom
    return dict(zip(BOUNDS, np.sqrt(variance).tolist(), strict=True))

"""Request rates that change with time, and their exact inversion.

A non-homogeneous Poisson process with cumulative rate L(t) has its n-th arrival at L^-1(G_n), G_n being the
n-th arrival of a Poisson process of rate 1 (time change; Cinlar, "Introduction to Stochastic Processes",
1975, ch. 4). Every rate here is linear in pieces, so that L is quadratic in pieces and is inverted in closed
form. Markov-modulated processes are the same with a random L; a renewal process with gaps other than
exponential goes through L just as well.

A sinusoid is taken once a minute and linear in between: the rate is off by less than (2 pi / 1440)^2 / 8 =
2.4e-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.core.streams import stream
from mmesim.workload.types import ArrivalSpec

DAY_S = 86_400.0
MINUTE_S = 60.0
SOJOURNS = 1024
"""Sojourns of a modulating chain drawn at a time: fixed, so that a longer run begins like a shorter one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PiecewiseRate:
    """A rate that is linear in each piece; it may jump between pieces, and is zero outside."""

    edges_s: Floats
    """Ends of the pieces, increasing; one more than there are pieces."""
    left_rps: Floats
    """Rate at the beginning of each piece."""
    right_rps: Floats
    """Rate at the end of each piece."""

    def cumulative(self) -> Floats:
        """Expected requests from the beginning to each edge."""
        expected = np.zeros(len(self.edges_s))
        np.cumsum(np.diff(self.edges_s) * (self.left_rps + self.right_rps) / 2, out=expected[1:])
        return expected

    def expected_before(self, times_s: Floats) -> Floats:
        """Expected requests from the beginning to each of the times."""
        inside = np.clip(times_s, self.edges_s[0], self.edges_s[-1])
        piece = np.minimum(np.searchsorted(self.edges_s, inside, side="right") - 1, len(self.left_rps) - 1)
        since, left = inside - self.edges_s[piece], self.left_rps[piece]
        slope = (self.right_rps[piece] - left) / (self.edges_s[piece + 1] - self.edges_s[piece])
        return np.asarray(self.cumulative()[piece] + since * (left + slope * since / 2))

    def scaled(self, edges_s: Floats, factors: Floats) -> PiecewiseRate:
        """This rate times `factors` between consecutive `edges_s`, zero outside of them."""
        inside = self.edges_s[(self.edges_s > edges_s[0]) & (self.edges_s < edges_s[-1])]
        edges = np.union1d(inside, edges_s)
        times = factors[np.searchsorted(edges_s, edges[:-1], side="right") - 1]
        left, right = self._limits(edges[:-1], edges[1:])
        return PiecewiseRate(edges, left * times, right * times)

    def _limits(self, begin_s: Floats, end_s: Floats) -> tuple[Floats, Floats]:
        """Rates just after `begin_s` and just before `end_s` of intervals that cross no edge."""
        piece = np.searchsorted(self.edges_s, begin_s, side="right") - 1
        known = (piece >= 0) & (piece < len(self.left_rps))
        piece = np.where(known, piece, 0)
        start, left = self.edges_s[piece], self.left_rps[piece]
        slope = (self.right_rps[piece] - left) / (self.edges_s[piece + 1] - start)
        return known * (left + slope * (begin_s - start)), known * (left + slope * (end_s - start))


class TimeChange:
    """The inverse of a cumulative rate: when the expected number of requests reaches n."""

    def __init__(self, rate: PiecewiseRate) -> None:
        self._edges_s, self._left = rate.edges_s[:-1], rate.left_rps
        self._slope = (rate.right_rps - rate.left_rps) / np.diff(rate.edges_s)
        mass = rate.cumulative()
        self._mass, self.total = mass[:-1], float(mass[-1])

    def times_s(self, expected: Floats) -> Floats:
        """Times in s at which the cumulative rate is `expected`, each below `total`."""
        if len(self._left) == 1 and self._slope[0] == 0:
            return np.asarray(expected / self._left[0] + self._edges_s[0])
        piece = np.searchsorted(self._mass, expected, side="right") - 1
        rest, left = expected - self._mass[piece], self._left[piece]
        # root of slope/2 d^2 + left d = rest, in the form that loses no digits for small slopes
        below = left + np.sqrt(np.maximum(left**2 + 2 * self._slope[piece] * rest, 0.0))
        return self._edges_s[piece] + np.divide(2 * rest, below, out=np.zeros_like(rest), where=below > 0)


def constant(rate_rps: float, end_s: float) -> PiecewiseRate:
    """`rate_rps` from 0 to `end_s`."""
    return steps(np.array([0.0, end_s]), np.array([rate_rps]))


def steps(edges_s: Floats, rates_rps: Floats) -> PiecewiseRate:
    """A constant rate between each two consecutive edges."""
    return PiecewiseRate(edges_s, rates_rps, rates_rps)


def rate_of(spec: ArrivalSpec, seed: int, end_s: float) -> PiecewiseRate:
    """The rate of a Poisson, gamma, MMPP, profile or diurnal workload on [0, end_s)."""
    if spec.use == "profile":
        return _profile(spec, end_s)
    if spec.use == "diurnal":
        return _sinusoid(spec, end_s)
    if spec.use == "mmpp":
        return _modulated(spec, seed, end_s)
    return constant(spec.rate_rps, end_s)


def mean_rate(spec: ArrivalSpec, end_s: float) -> PiecewiseRate:
    """As `rate_of`, with the long-run mean in place of a random rate."""
    if spec.use != "mmpp":
        return rate_of(spec, 0, end_s)
    return constant(float(np.average(spec.rates_rps, weights=spec.mean_sojourn_s)), end_s)


def _sinusoid(spec: ArrivalSpec, end_s: float) -> PiecewiseRate:
    swing = (spec.peak_to_trough - 1) / (spec.peak_to_trough + 1)
    edges = np.arange(0.0, end_s + MINUTE_S, MINUTE_S)  # whole minutes: a longer run begins like a shorter one
    rates = spec.rate_rps * (1 + swing * np.cos(2 * np.pi * (edges - spec.peak_at_s) / DAY_S))
    return PiecewiseRate(edges, rates[:-1], rates[1:]).scaled(np.array([0.0, end_s]), np.ones(1))


def _profile(spec: ArrivalSpec, end_s: float) -> PiecewiseRate:
    """The shape, once or period after period; two factors at one time are a jump."""
    times, factors = (np.array(column, dtype=float) for column in zip(*spec.shape, strict=True))
    if spec.period_s is None:
        length_s = max(end_s, times[-1])
        first, last = factors[0], factors[-1]
    else:
        length_s = spec.period_s
        first = last = np.interp(0.0, [times[-1] - length_s, times[0]], [factors[-1], factors[0]])
    knots = np.concatenate(([0.0], times, [length_s]))
    factors = np.concatenate(([first], factors, [last]))
    real = np.diff(knots) > 0
    begins = (np.arange(0.0, end_s, length_s)[:, None] + knots[:-1][real]).ravel()
    repeats = len(begins) // int(real.sum())
    once = PiecewiseRate(np.append(begins, repeats * length_s), np.tile(factors[:-1][real], repeats),
                         np.tile(factors[1:][real], repeats))
    return once.scaled(np.array([0.0, end_s]), np.array([spec.rate_rps]))


def _modulated(spec: ArrivalSpec, seed: int, end_s: float) -> PiecewiseRate:
    """A path of the modulating chain, begun in its stationary state."""
    rng = stream(seed, "arrivals", "states")
    sojourns, rates = np.array(spec.mean_sojourn_s), np.array(spec.rates_rps)
    state = np.array([rng.choice(len(rates), p=sojourns / sojourns.sum())])
    lengths: list[Floats] = []
    path: list[Floats] = []
    reached_s = 0.0
    while reached_s < end_s:
        hops = 1 + rng.integers(0, max(len(rates) - 1, 1), SOJOURNS)  # to any other state
        visited = (state[-1] + np.concatenate(([0], np.cumsum(hops)))) % len(rates)
        state = visited[-1:]
        lengths.append(rng.standard_exponential(SOJOURNS) * sojourns[visited[:-1]])
        path.append(rates[visited[:-1]])
        reached_s += float(lengths[-1].sum())
    edges = np.concatenate(([0.0], np.cumsum(np.concatenate(lengths))))
    last = int(np.searchsorted(edges, end_s))  # the piece that reaches the end
    return steps(np.append(edges[:last], end_s), np.concatenate(path)[:last])

"""What a memory of a given size hits: Che's approximation with sizes, policies and sessions.

Independent draws: t is the number of requests in which as many bytes of different models are asked for as there is
room, sum_i s_i (1 - exp(-p_i t)) = C, and model i is hit with 1 - exp(-p_i t) (Che, Tung and Wang 2002); FIFO and
RANDOM with p_i t / (1 + p_i t) in both places (Fricker, Robert and Roberts 2012); LFU holds the most asked for.

Sessions. In the DAR process of :mod:`mmesim.workload.popularity` each fresh draw founds a *cluster*: itself and the
requests that go back to it, directly or not. All of a cluster are for one model, founders are independent. So a model
is absent from T requests in a row iff none of the clusters seen in them is its own, and with H(T) = E(clusters seen in
T requests) it is absent with exp(-p_i H(T)): Che's formula with H in place of T, and H(T) = t at capacity, t the one of
independent draws. By stationarity a request for i misses with -d/dT exp(-p_i H(T)) / p_i, so

    miss_i = h exp(-p_i t),   h = H'(T) = P(nothing of the request's cluster lies in the T requests before it).

Sessions only scale the misses of independent draws by h. H is that of a cluster process with branching ratio r = repeat
and geometric lags (mean g = reach): let D(s) = exp(-r Y(s)) be P(no descendant of a request lies in the T requests that
begin s after it). Y(0) = Y0 = 1 - (1 - 1/g)^T and Y' = (1 - exp(-rY) - Y) / g, so that

    H(T) = (1-r) (T + g int_0^Y0 (1 - e^-ry) / (y - 1 + e^-ry) dy),
    h(T) = (1-r) (1 + (1-Y0) (1 - e^-rY0) / (Y0 - 1 + e^-rY0)):

1 at T = 0, 1 - r for T far above g. Offspring are taken as Poisson; g = 1 is exact all the same (Y0 = 1: h = 1 - r).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rule = Literal["lru", "fifo", "random", "lfu"]
FEW, POINTS = 64, 300
"""Of the table of H: so many requests one by one (H is the sum of h before each), then so many points."""
BISECTIONS = 30
LEAST_BYTES = 1e-9
"""What takes nothing."""
MOST = 1e12
"""Requests; nothing is evicted that is asked for so seldom."""


@dataclass(frozen=True)
class Held:
    """What a memory does in the long run."""

    hit: Floats
    """(models,) P(a request finds its model, or a load of it on its way), with sessions."""
    requests: float
    """Requests until the memory is full, and for which an unused model stays in LRU; inf: it never is full."""


class Sessions:
    """Clusters of requests for one model (`repeat`, `reach` as in the scenario)."""

    def __init__(self, repeat: float, reach: float) -> None:
        self._repeat, self._reach = repeat, max(1.0, reach)
        self._requests = np.concatenate((np.arange(FEW), np.geomspace(FEW, 1e6 * self._reach, POINTS)))
        heads = self.heads(self._requests)
        means = np.where(self._requests[1:] <= FEW, heads[:-1], (heads[1:] + heads[:-1]) / 2)
        self._clusters = np.concatenate(([0.0], np.cumsum(np.diff(self._requests) * means)))

    def heads(self, requests: Floats) -> Floats:
        """h(T): part of the requests of whose cluster nothing lies in the T requests before."""
        r = self._repeat
        missed = (1 - 1 / self._reach) ** np.asarray(requests, float) if self._reach > 1 else \
            np.where(np.asarray(requests) < 1, 1 - np.asarray(requests, float), 0.0)
        y = np.maximum(1 - missed, 1e-9)
        return np.asarray((1 - r) * (1 + missed * -np.expm1(-r * y) / (y + np.expm1(-r * y))))

    def requests_with(self, clusters: float) -> float:
        """T in which so many clusters are seen: the inverse of H."""
        if clusters >= self._clusters[-1]:
            return float(self._requests[-1] + (clusters - self._clusters[-1]) / max(1e-9, 1 - self._repeat))
        return float(np.interp(clusters, self._clusters, self._requests))

    def clusters_in(self, requests: Floats) -> Floats:
        """H(T)."""
        return np.interp(requests, self._requests, self._clusters)


def held(shares: Floats, sizes: Floats, room: float, rule: Rule = "lru", repeat: float = 0.0, reach: float = 1.0,
         outside: Floats | float = 0.0, leaving: Floats | float = 0.0) -> Held:
    """What a memory of `room` bytes does for models of these shares of the requests and sizes in bytes.

    `outside`: requests for a model that come after a miss before its load begins and takes room. They make its cycle
    longer: it is there for (1 - q) / (1 + outside q) of the time, q being P(absent) without them (as with a TTL and
    coalesced loads). `leaving`: the same while it is being unloaded, which takes room too.
    Models that are never asked for are never there. LFU: exactly those that it would hold for ever.
    """
    asked = shares > 0
    if sizes[asked].sum() <= room:
        return Held(asked.astype(float), np.inf)
    sessions = Sessions(repeat, reach)
    if rule == "lfu":
        requests = sessions.requests_with(_at_capacity(shares, sizes, room, _used_once))
        return Held(_most_asked(shares, sizes, room), requests)
    of = _used_once if rule == "lru" else _since_loaded

    def taken(mean: Floats) -> Floats:
        found = of(mean)
        return (found + leaving * (1 - found)) / (1 + outside * (1 - found))

    clusters = _at_capacity(shares, sizes, room, taken)
    requests = sessions.requests_with(clusters)
    heads, found = float(sessions.heads(np.array(requests))), of(shares * clusters)
    return Held(np.where(asked, 1 - heads * (1 - found), 0.0), requests)


def _used_once(mean: Floats) -> Floats:
    return np.asarray(-np.expm1(-mean))


def _since_loaded(mean: Floats) -> Floats:
    return np.asarray(mean / (1 + mean))


def _at_capacity(shares: Floats, sizes: Floats, room: float, of: Callable[[Floats], Floats]) -> float:
    """t: expected bytes held equal the room; by bisection on its logarithm."""
    low, high = 1e-9, MOST
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if float(sizes @ of(shares * middle)) < room else (low, middle)
    return low


def _most_asked(shares: Floats, sizes: Floats, room: float) -> Floats:
    """(models,) part of each that is held: the most asked for first."""
    order = np.argsort(-shares, kind="stable")
    return _filled(order, sizes, room)


def best_mass(shares: Floats, sizes: Floats, room: float) -> float:
    """The largest part of independent requests for which a set of models that fits can be held: a fractional knapsack,
    so that no set of whole models does better."""
    order = np.argsort(-shares / np.maximum(sizes, LEAST_BYTES), kind="stable")
    return min(1.0, float(shares @ _filled(order, sizes, room)))


def _filled(order: NDArray[np.intp], sizes: Floats, room: float) -> Floats:
    """(models,) part of each that fits, in this order."""
    size = np.maximum(sizes[order], LEAST_BYTES)
    part = np.zeros_like(sizes)
    part[order] = np.clip((room - np.cumsum(size) + size) / size, 0.0, 1.0)
    return part

"""Which model follows which, fitted: `repeat` and `reach` of the sessions by what an LRU of each size hits.

The hit ratios of LRU at the powers of two are what matters of locality to a cache of models, and they are known exactly
of the trace. For a reach the repeat with the least mean error is sought by golden section, and the reach by ternary
search over a list; the random numbers are the same for all, so that the error is a smooth function of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmesim.core.streams import stream
from mmesim.workload.analysis.locality import hit_ratios, stack_distances
from mmesim.workload.analysis.measures import Floats
from mmesim.workload.popularity import Chooser, Epoch, Sessions
from mmesim.workload.types import NEVER_NS

REACHES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 23.0, 32.0, 64.0, 128.0)
MOST_REPEAT = 0.98
MOST_REACHES = 9
"""Of the list that are tried, about."""
GOLDEN = (5**0.5 - 1) / 2
STEPS = 7
DRAWN, LEAST_RUNS = 40_000, 2
"""Requests drawn to judge one pair of numbers, in at least so many runs as long as the trace (or a part of it)."""


@dataclass(frozen=True, slots=True)
class FittedSessions:
    """The sessions with the least mean error of the hit ratio."""

    repeat: float
    reach: float
    error: float


def sizes_of(n_models: int) -> list[int]:
    """Cache sizes that are judged: the powers of two below the number of models."""
    return [1 << k for k in range(max(1, n_models - 1).bit_length()) if 1 << k < max(2, n_models)]


def curve_of(model: np.ndarray, n_models: int) -> Floats:
    """LRU hit ratios at those sizes."""
    return hit_ratios(stack_distances(model), n_models)[sizes_of(n_models)]


def sequence(shares: Floats, repeat: float, reach: float, n: int, seed: int) -> np.ndarray:
    """`n` models as the simulator would draw them."""
    chooser = Chooser(iter([Epoch(0, NEVER_NS, shares)]), stream(seed, "popularity"),
                      Sessions(repeat, reach, stream(seed, "sessions")))
    return chooser.choose(np.zeros(n, np.int64))


def mean_curve(shares: Floats, repeat: float, reach: float, n: int) -> Floats:
    """Hit ratios of drawn requests, averaged over runs."""
    length = min(n, DRAWN // LEAST_RUNS)
    runs = max(LEAST_RUNS, min(8, DRAWN // length))
    return np.asarray(np.mean([curve_of(sequence(shares, repeat, reach, length, seed), len(shares))
                               for seed in range(1, runs + 1)], axis=0))


def fit_sessions(shares: Floats, wanted: Floats, n: int, done: Callable[[int], None] | None = None) -> FittedSessions:
    """The sessions for which drawn requests come nearest to the wanted hit ratios (at `sizes_of` the models)."""
    best: dict[int, FittedSessions] = {}

    def at(place: int) -> float:
        if place not in best:
            best[place] = _best_repeat(shares, wanted, n, REACHES[place])
            if done:
                done(min(99, 100 * len(best) // MOST_REACHES))
        return best[place].error

    low, high = 0, len(REACHES) - 1
    while high - low > 2:
        left, right = low + (high - low) // 3, high - (high - low) // 3
        low, high = (low, right) if at(left) <= at(right) else (left, high)
    for place in range(low, high + 1):
        at(place)
    return min(best.values(), key=lambda each: each.error)


def _best_repeat(shares: Floats, wanted: Floats, n: int, reach: float) -> FittedSessions:
    def error(repeat: float) -> float:
        return float(np.abs(mean_curve(shares, repeat, reach, n) - wanted).mean())

    low, high = 0.0, MOST_REPEAT
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = error(left), error(right)
    for _ in range(STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = error(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = error(right)
    return FittedSessions(round((low + high) / 2, 2), reach, min(at_left, at_right))

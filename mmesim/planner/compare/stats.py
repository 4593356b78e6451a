"""Intervals: means over seeds, paired differences, and what may be claimed of several at once.

* A mean's interval is Student's t over seeds (:mod:`mmesim.results.comparison_interval`).
* Differences are paired by seed (common random numbers: Law, Simulation Modeling and Analysis, 5th ed., 11.2), so what
  the workload does to both variants drops out.
* Several claims made together are each tested at alpha / m (Bonferroni): the chance that any of them is wrong is at
  most alpha. Unlike Holm's steps this gives an interval to each claim that agrees with the decision.
* Looking again after more seeds spends alpha by looks (Lan and DeMets, Biometrika 70, 1983, linear spending): the look
  that brings the seeds from n' to n of at most N gets alpha * (n - n') / N. The parts add up to alpha, so by the union
  bound all looks and claims together are wrong with a chance of at most alpha, however they depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmesim.results.comparison import Interval
from mmesim.results.comparison_interval import interval

FIRST_LOOK = 3
"""Seeds before the first look: fewer give no useful interval."""
GROWTH = 1.5
"""Each look has so many times the seeds of the one before."""


def difference(values: Sequence[float | None], base: Sequence[float | None], confidence: float) -> Interval | None:
    """Paired difference ``values - base`` over the seeds where both exist."""
    return interval([a - b for a, b in _pairs(values, base)], confidence)


def relative(values: Sequence[float | None], base: Sequence[float | None], confidence: float) -> Interval | None:
    """Paired ratio ``values / base - 1``, of numbers that are never negative: at least -1; None where the base is 0 for
    any seed."""
    pairs = _pairs(values, base)
    return None if any(b == 0 for _, b in pairs) else within(interval([a / b - 1 for a, b in pairs], confidence), -1.0)


def within(found: Interval | None, low: float, high: float = math.inf) -> Interval | None:
    """The part of an interval that its number can be in; that of one seed is none, and stays infinite."""
    if found is None or found.n == 1:
        return found
    return Interval(found.mean, max(low, found.low), min(high, found.high), found.n)


def _pairs(values: Sequence[float | None], base: Sequence[float | None]) -> list[tuple[float, float]]:
    return [(a, b) for a, b in zip(values, base, strict=True) if a is not None and b is not None]


def each_at(confidence: float, claims: int) -> float:
    """The confidence of each of so many claims that makes all of them hold together."""
    return 1 - (1 - confidence) / max(1, claims)


def looks(most: int) -> list[int]:
    """Numbers of seeds at which a sequential comparison of at most so many looks: ``[3, 4, 5, 7, 10, 14, 20, 30]``."""
    counts = [most]
    while counts[-1] > FIRST_LOOK:
        counts.append(max(FIRST_LOOK, min(counts[-1] - 1, math.ceil(counts[-1] / GROWTH))))
    return counts[::-1]


def confidence_at(look: int, most: int, confidence: float) -> float:
    """The confidence of the intervals at the `look`-th look, so that all looks together keep `confidence`."""
    counts = [0, *looks(most)]
    return 1 - (1 - confidence) * (counts[look + 1] - counts[look]) / most

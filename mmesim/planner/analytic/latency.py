"""Quantiles of a mixture of latencies: requests that may wait, and cold starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEPS = 22
"""Of the bisection."""
LONGEST_S = 3600.0


@dataclass(frozen=True)
class Mixture:
    """Parts of the requests; all arrays of one shape. A part takes `least_s`, with probability `waits` an exponential
    time of mean `wait_s` more, and where `load_s` > 0 a load: `first` of it all of it, the others, which come while it
    is under way, a part that is uniform."""

    weight: Floats
    least_s: Floats
    waits: Floats
    wait_s: Floats
    load_s: Floats
    first: Floats

    def later_than(self, time_s: float) -> float:
        """P(latency > time)."""
        over = time_s - self.least_s
        warm = np.where(over < 0, 1.0, self.waits * np.exp(-np.maximum(over, 0.0) / np.maximum(self.wait_s, 1e-12)))
        left = 1 - over / np.maximum(self.load_s, 1e-12)
        cold = np.where(over < 0, 1.0, np.where(left > 0, self.first + (1 - self.first) * left, 0.0))
        late = np.where(self.load_s > 0, np.maximum(cold, warm), warm)
        return float((self.weight * late).sum() / self.weight.sum())

    def quantile_s(self, part: float) -> float | None:
        """The time that a `part` of the requests does not exceed; None without requests, inf beyond an hour."""
        if not self.weight.sum():
            return None
        if self.later_than(LONGEST_S) > 1 - part:
            return float("inf")
        low, high = 1e-5, LONGEST_S
        for _ in range(STEPS):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self.later_than(middle) > 1 - part else (low, middle)
        return high

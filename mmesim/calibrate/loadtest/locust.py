"""How Locust reports latencies (locust/stats.py of its public repository).

Response times are counted in bins: below 100 ms to the ms, below 1 s to 10 ms, below 10 s to 100 ms, else to 1 s.
The percentile p of n requests is the largest bin with at most int(n·p) requests below it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.50, 0.66, 0.75, 0.80, 0.90, 0.95, 0.98, 0.99)
"""Those that Locust writes (and some beyond)."""


def rounded_ms(latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The histogram's bin of each latency; halves go to the even one, as in Python."""
    bins = [np.round(latency_ms, -places) for places in range(4)]
    return np.select([latency_ms < 100, latency_ms < 1000, latency_ms < 10_000], bins[:3], bins[3])


def percentiles_ms(latency_ms: NDArray[np.float64], quantiles: Sequence[float] = QUANTILES) -> NDArray[np.float64]:
    """As Locust reports them; NaN where there is no request."""
    if not len(latency_ms):
        return np.full(len(quantiles), np.nan)
    ordered = np.sort(rounded_ms(latency_ms))
    return ordered[[min(int(len(ordered) * q), len(ordered) - 1) for q in quantiles]]

"""LRU under independent draws (Che, Tung and Wang, "Hierarchical Web caching systems", IEEE JSAC 2002).

What the hit ratio would be if each request were drawn anew from the popularity: the difference to the real one is what
sessions and drift do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.workload.analysis.measures import Floats, Ints


def che_hit_ratios(counts: Ints, sizes: NDArray[np.int64]) -> Floats:
    """Hit ratio for each cache size: the time T in which as many models are asked for as there is room, then
    the share of requests that come back within T."""
    shares = counts[counts > 0] / counts.sum()
    return np.array([_hit_ratio(shares, int(size)) for size in sizes])


def _hit_ratio(shares: Floats, size: int) -> float:
    if size >= len(shares):
        return 1.0
    low, high = 0.0, 1.0
    while _expected(shares, high) < size:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _expected(shares, middle) < size else (low, middle)
    return float(shares @ -np.expm1(-shares * low))


def _expected(shares: Floats, requests: float) -> float:
    """Distinct models in so many requests."""
    return float(-np.expm1(-shares * requests).sum())

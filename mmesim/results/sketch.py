"""Quantiles from latency sketches: counts in log-linear buckets, as the data plane keeps them.

The idea is HdrHistogram's (G. Tene, http://hdrhistogram.org): 64 equal buckets in each octave. A value is given as the
middle of its bucket, so its relative error is at most 1/128 = 0.8 % (below 33 µs: at most 256 ns). A quantile is the
nearest-rank one: the smallest value with at least q·n values at or below it. Sketches merge by addition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmesim.dataplane.counters import SKETCH_BUCKETS, SKETCH_SUB_BITS, SKETCH_UNIT_BITS

RELATIVE_ERROR = 1 / 128
"""Bound on |stated - true| / true, for values from 33 µs to 73 min."""


def _edges() -> NDArray[np.int64]:
    """Lower edge of each bucket in ns, and the upper edge of the last."""
    index = np.arange(SKETCH_BUCKETS + 1, dtype=np.int64)
    octave = np.maximum((index >> SKETCH_SUB_BITS) - 1, 0)
    return ((index - (octave << SKETCH_SUB_BITS)) << octave) << SKETCH_UNIT_BITS


EDGES_NS = _edges()
MIDDLES_NS = (EDGES_NS[:-1] + EDGES_NS[1:]) // 2


def quantiles_ns(counts: NDArray[np.integer], fractions: Sequence[float]) -> list[int | None]:
    """The nearest-rank quantiles of one sketch (buckets,), in ns; None of an empty one."""
    totals = np.cumsum(counts, dtype=np.int64)
    n = int(totals[-1])
    if n == 0:
        return [None] * len(fractions)
    ranks = [min(n, max(1, math.ceil(fraction * n))) for fraction in fractions]
    return [int(MIDDLES_NS[bucket]) for bucket in np.searchsorted(totals, ranks)]


def quantile_ns(counts: NDArray[np.integer], fraction: float) -> int | None:
    """One nearest-rank quantile in ns."""
    return quantiles_ns(counts, (fraction,))[0]


def interpolated_ns(counts: NDArray[np.integer], fractions: Sequence[float]) -> list[float | None]:
    """Quantiles with values spread evenly over their bucket, in ns: close sketches have close ones, where the middles
    of buckets jump. For comparing runs; within 1/128 of :func:`quantiles_ns`."""
    totals = np.cumsum(counts, dtype=np.int64)
    n = int(totals[-1])
    if n == 0:
        return [None] * len(fractions)
    ranks = np.maximum(np.array(fractions) * n, 1.0)
    bucket = np.searchsorted(totals, ranks)
    part = (ranks - (totals - counts)[bucket]) / counts[bucket]
    return (EDGES_NS[bucket] + part * (EDGES_NS[bucket + 1] - EDGES_NS[bucket])).tolist()


def largest_ns(counts: NDArray[np.integer]) -> int | None:
    """Middle of the highest bucket in use; None of an empty sketch."""
    used = np.flatnonzero(counts)
    return int(MIDDLES_NS[used[-1]]) if len(used) else None


def count_within(counts: NDArray[np.integer], limit_ns: float) -> int:
    """Values certainly at most `limit_ns`: those in buckets that lie wholly below it."""
    return int(counts[:int(np.searchsorted(EDGES_NS[1:], limit_ns, side="right"))].sum())

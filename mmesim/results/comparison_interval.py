"""The interval of a comparison: a mean of one number a seed, and Student's t interval around it.

Runs with different seeds are independent, and a run's quantile is one number of that run. One run gives no interval
(infinite), equal runs give one of zero width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmesim.results.comparison import Interval


def interval(values: Sequence[float | None], confidence: float) -> Interval | None:
    """Student's t interval of the mean of those that exist; None when none does."""
    known = np.array([value for value in values if value is not None], float)
    if not len(known):
        return None
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = _t_quantile(len(known) - 1, confidence) * _standard_error(known)
    return Interval(mean, mean - half, mean + half, len(known))


def _standard_error(values: np.ndarray) -> float:
    """Exactly 0 for equal values: a rounded mean must not give them a spread."""
    return 0.0 if (values == values[0]).all() else float(values.std(ddof=1)) / math.sqrt(len(values))


def _t_quantile(freedom: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + confidence / 2))

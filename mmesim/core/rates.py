"""Request rates from the decayed counts of the residency table."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mmesim.core.residency import RATE_HALF_LIFE_NS

RATE_PER_COUNT = math.log(2) / (RATE_HALF_LIFE_NS / 1e9) / 65536
"""Requests per second that a steady decayed count (Q16) of one stands for."""


def rates_rps(count_q16: NDArray[np.int64], at_ns: NDArray[np.int64], now_ns: int) -> NDArray[np.float64]:
    """Rates at `now_ns` of counts that are decayed to `at_ns`."""
    age = (now_ns - at_ns) / RATE_HALF_LIFE_NS
    return np.asarray(count_q16 * np.exp2(-age) * RATE_PER_COUNT, np.float64)

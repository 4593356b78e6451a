"""When requests come: arrays of arrival times, a chunk at a time, from a stream of their own.

Times do not depend on the size of the chunks: gaps are drawn one after another and added up in order, the
last sum being carried into the next chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mmesim.units import NS_PER_S
from mmesim.workload.rates import Floats, PiecewiseRate, TimeChange
from mmesim.workload.types import CHUNK, ArrivalSpec

Times = Iterator[NDArray[np.int64]]
"""Non-empty arrays of arrival times in ns, in order."""
Gaps = Callable[[int], Floats]
"""Draws so many gaps with mean 1."""


def renewal(rate: PiecewiseRate, gaps: Gaps, end_ns: int, chunk: int = CHUNK) -> Times:
    """A renewal process with mean gap 1 through a time change: on average `rate`, up to its end and `end_ns`.

    The process begins with a whole gap at time 0. With exponential gaps it is Poisson of that rate, exactly.
    """
    change, reached = TimeChange(rate), 0.0
    while reached < change.total:
        expected = gaps(chunk)
        expected[0] += reached
        np.cumsum(expected, out=expected)
        reached = float(expected[-1])
        if reached >= change.total:
            expected = expected[: np.searchsorted(expected, change.total)]
        t_ns = to_ns(change.times_s(expected))
        if len(t_ns) and t_ns[-1] >= end_ns:  # rounding may reach the end itself
            t_ns = t_ns[: np.searchsorted(t_ns, end_ns)]
        if len(t_ns):
            yield t_ns


def gaps_of(spec: ArrivalSpec, rng: np.random.Generator) -> Gaps:
    """Gaps with mean 1: gamma with the coefficient of variation asked for, else exponential."""
    if spec.use not in ("gamma", "profile") or spec.cv == 1:
        return rng.standard_exponential
    if spec.cv == 0:
        return np.ones
    scale = spec.cv**2
    return lambda n: rng.standard_gamma(1 / scale, n) * scale


def to_ns(times_s: Floats) -> NDArray[np.int64]:
    """Seconds to ns, to the nearest."""
    scaled = times_s * NS_PER_S
    return np.rint(scaled, out=scaled).astype(np.int64)

"""What Perf Analyzer's windows do to a throughput: it counts requests that begin *and* end inside its window.

So a closed loop at mean latency R shows 1 - R/window of its throughput, and throughput x latency falls short of the
concurrency by that part. The published points of NVIDIA's newer tables do so as a window of 2 s would, to within a
hundredth from 10 ms to 0.4 s, and as one of 5 s beyond; those of the older tables do not. The given points of a group
tell which kind it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmesim.profile.points import OperatingPoint

WINDOW_S, LONG_WINDOW_S, LONG_FROM_S = 2.0, 5.0, 0.4


def counts_whole_requests_only(given: Sequence[OperatingPoint]) -> bool:
    """Whether the points' throughputs fall short as the window explains, rather than not at all."""
    known = [(1 - ratio, point.latency_s / WINDOW_S) for point in given
             if point.latency_s and (ratio := point.littles_law) is not None]
    return sum((short - expected) ** 2 for short, expected in known) < sum(short**2 for short, _ in known)


def counted_part(latency_s: float) -> float:
    """The part of the throughput that is counted."""
    return 1 - latency_s / (WINDOW_S if latency_s < LONG_FROM_S else LONG_WINDOW_S)

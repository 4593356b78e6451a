"""Whether the generator itself was the bottleneck, in numbers and in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.live.load.generator import Effort
from mmesim.units import NS_PER_MS, format_count, format_duration

LATE_NS = NS_PER_MS
LATE_SHARE = 0.1
"""Late: the 99th percentile of the lag is above `LATE_NS`, and above this share of the median latency."""
BUSY = 0.9
"""Of a core, in a second: requests then wait for the generator."""
BUSY_SHARE = 0.05
"""Of the seconds, above which to speak of it."""
FRACTIONS = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999, "max": 1.0}


def told(effort: Effort, lags_ns: NDArray[np.int64], median_ns: float, max_in_flight: int) -> dict[str, Any]:
    """Numbers, the verdict (`bottleneck`) and sentences (`said`). `lags_ns`: of the requests that were sent;
    `median_ns`: their median latency, NaN without any."""
    late_ns = {name: float(np.quantile(lags_ns, fraction)) for name, fraction in FRACTIONS.items()} \
        if len(lags_ns) else {}
    shares = np.array(effort.cpu_shares)
    said = [*_lateness(late_ns, median_ns, effort), *_business(shares), *_bound(effort, max_in_flight)]
    return {"lag_ms": {name: value / NS_PER_MS for name, value in late_ns.items()},
            "cpu_share": {"mean": float(shares.mean()), "max": float(shares.max())} if len(shares) else None,
            "max_in_flight": max_in_flight, "peak_in_flight": effort.peak_in_flight, "held_back": effort.held_back,
            "never_sent": effort.never_sent, "bottleneck": bool(said), "said": said}


def _lateness(late_ns: dict[str, float], median_ns: float, effort: Effort) -> Iterator[str]:
    if late_ns and late_ns["p99"] > LATE_NS and not late_ns["p99"] <= LATE_SHARE * median_ns:
        yield (f"The generator was late by {format_duration(late_ns['p99'] / 1e9)} at p99 (at most "
               f"{format_duration(late_ns['max'] / 1e9)}): latencies up to that are its own, not the endpoint's.")
    if effort.never_sent:
        yield f"{format_count(effort.never_sent)} requests were overdue, and not sent, when the run ended."


def _business(shares: NDArray[np.float64]) -> Iterator[str]:
    busy = int((shares > BUSY).sum())
    if len(shares) and busy / len(shares) > BUSY_SHARE:
        yield (f"The generator's core was more than {BUSY:.0%} busy in {busy} of {len(shares)} seconds: it can hardly "
               "send more; results at that rate are its own.")


def _bound(effort: Effort, max_in_flight: int) -> Iterator[str]:
    if effort.held_back:
        yield (f"{format_count(effort.held_back)} requests had to wait for one of the {max_in_flight:,} that may be in "
               "flight (--max-in-flight); their latency has that wait in it.")

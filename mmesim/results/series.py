"""The time series of a run: one row each ``output.interval``, and one a row and instance.

While the run goes on, rows are sums of exact integers; :mod:`mmesim.results.tables` makes them into columns at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Tier
from mmesim.dataplane.counters import ENDPOINT_COUNTERS, INSTANCE_COUNTERS, N_TIERS, SKETCH_BUCKETS, Counters
from mmesim.results.sketch import quantiles_ns
from mmesim.results.types import Gauges

FRACTIONS = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
"""Quantiles that are shown everywhere, by name."""
LEVELS = np.dtype([("device_used_bytes", np.int64), ("host_used_bytes", np.int64), ("disk_used_bytes", np.int64),
                   ("ready", np.int64), ("phase", np.int64)])
"""Levels of one instance at the end of a row."""


@dataclass
class Row:
    """One row in the making, or made."""

    since_ns: int
    warmup: bool
    endpoint: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_width(ENDPOINT_COUNTERS), np.int64))
    """ENDPOINT_COUNTERS, flat."""
    instances: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, _width(INSTANCE_COUNTERS)), np.int64))
    """(slots,) of INSTANCE_COUNTERS, flat."""
    until_ns: int = 0
    levels: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, LEVELS))
    running: int = 0
    desired: int = 0
    network_bytes: int = 0
    """Since the row's start."""
    counts: list[int] = field(default_factory=list)
    """By `lanes.Count`."""
    quantiles_ns: dict[str, list[int | None]] = field(default_factory=dict)
    """``all``, ``warm`` and ``cold``: the `FRACTIONS`."""


def _width(dtype: np.dtype[np.void]) -> int:
    return dtype.itemsize // 8


class Series:
    """Merges the meter's intervals into rows; keeps the sketch of the measured time and the running totals."""

    def __init__(self, interval_ns: int, warmup_ns: int) -> None:
        self.interval_ns = interval_ns
        self.warmup_ns = warmup_ns
        self.rows: list[Row] = []
        self.sketch = np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64)
        """Completions of the measured time by tier and latency."""
        self.warmup_sketch = np.zeros_like(self.sketch)
        self._row_sketch = np.zeros_like(self.sketch)
        self._row: Row | None = None
        self._network_bytes = 0

    def add(self, counters: Counters, gauges: Gauges) -> Row | None:
        """Take in one interval; returns the row it completes, if it does."""
        since_ns, until_ns = counters.since_ns, counters.until_ns
        row = self._row or Row(since_ns, since_ns < self.warmup_ns)
        self._row = row
        assert until_ns <= self._end_ns(row), "the meter crossed the end of a row"
        row.until_ns = until_ns
        row.endpoint += counters.endpoint.reshape(1).view(np.int64)
        row.instances = _plus(row.instances, counters.instances)
        self._row_sketch += counters.sketch
        row.levels = _levels(gauges)
        row.running, row.desired = gauges.running, gauges.desired
        row.network_bytes += gauges.network_bytes - self._network_bytes
        self._network_bytes = gauges.network_bytes
        return self.close() if until_ns == self._end_ns(row) else None

    def _end_ns(self, row: Row) -> int:
        end_ns = (row.since_ns // self.interval_ns + 1) * self.interval_ns
        return min(end_ns, self.warmup_ns) if row.warmup else end_ns

    def close(self) -> Row | None:
        """End the row under way, if there is one."""
        row, self._row = self._row, None
        if row is None or row.until_ns == row.since_ns:
            return None
        sketch = self._row_sketch
        (self.warmup_sketch if row.warmup else self.sketch)[:] += sketch
        row.quantiles_ns = quantiles_by_kind(sketch)
        sketch[:] = 0
        self.rows.append(row)
        return row


def quantiles_by_kind(sketch: NDArray[np.int64]) -> dict[str, list[int | None]]:
    """The `FRACTIONS` of all completions, of warm ones and of cold ones, from a sketch by tier."""
    kinds = {"all": sketch.sum(axis=0), "warm": sketch[Tier.GPU], "cold": sketch[Tier.DISK] + sketch[Tier.S3]}
    return {kind: quantiles_ns(counts, tuple(FRACTIONS.values())) for kind, counts in kinds.items()}


def _plus(flat: NDArray[np.int64], more: NDArray[np.void]) -> NDArray[np.int64]:
    """Add counters of perhaps more slots than before."""
    added = np.ascontiguousarray(more).view(np.int64).reshape(len(more), -1).copy()
    added[:len(flat)] += flat
    return added


def _levels(gauges: Gauges) -> NDArray[np.void]:
    levels = np.zeros(len(gauges.phase), LEVELS)
    for name in LEVELS.names or ():
        levels[name] = getattr(gauges, name)
    return levels

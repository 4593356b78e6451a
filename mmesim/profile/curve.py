"""Device time of a batch, S(b), from the batch sizes that were measured.

Measured points are made monotone by isotonic least squares (pool adjacent violators; Barlow et al.,
*Statistical Inference under Order Restrictions*, 1972), joined by straight lines, and continued beyond the last
one with the last slope. Below the first point S is constant: a smaller batch is never assumed to be faster.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


class ServiceCurve:
    """S(b) in seconds; never decreasing in b."""

    def __init__(self, batches: Sequence[int], seconds: Sequence[float]) -> None:
        """`batches` strictly increasing and at least 1; `seconds` positive, as many."""
        assert len(batches) == len(seconds) > 0
        self._batches = tuple(batches)
        self._seconds = tuple(isotonic(seconds))
        self._slope_s = _last_slope_s(self._batches, self._seconds)

    @property
    def slope_s(self) -> float:
        """Seconds of each item beyond the last measured batch size."""
        return self._slope_s

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that were measured."""
        return self._batches

    def __call__(self, batch: int) -> float:
        """Seconds of device time for a batch of `batch` items."""
        known, seconds = self._batches, self._seconds
        right = bisect_right(known, batch)
        if right == 0:
            return seconds[0]
        left_batch, left_s = known[right - 1], seconds[right - 1]
        if right == len(known):
            return left_s + (batch - left_batch) * self._slope_s
        return left_s + (batch - left_batch) * (seconds[right] - left_s) / (known[right] - left_batch)


def isotonic(values: Sequence[float]) -> list[float]:
    """The never decreasing sequence nearest to `values` in least squares."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, size = value, 1
        while pools and pools[-1][0] * size >= total * pools[-1][1]:
            before, count = pools.pop()
            total, size = total + before, size + count
        pools.append((total, size))
    return [total / size for total, size in pools for _ in range(size)]


def _last_slope_s(batches: Sequence[int], seconds: Sequence[float]) -> float:
    """Seconds per item beyond the last point: the last slope, but at least half its time per item.

    The floor is for tables that end before the device is full, or with pooled points: more items are not free.
    One point alone is continued in proportion.
    """
    if len(batches) == 1:
        return seconds[0] / batches[0]
    last = (seconds[-1] - seconds[-2]) / (batches[-1] - batches[-2])
    return max(last, 0.5 * seconds[-1] / batches[-1])

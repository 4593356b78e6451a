"""S(b) from points measured with one request in flight.

The points are made monotone as in :mod:`mmesim.profile.curve`. Engines that pad a batch to the next power of two show
it: sizes between powers take as long as the next power (at least two such sizes, all of them). Then so does every size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmesim.profile.curve import ServiceCurve
from mmesim.profile.points import OperatingPoint

PADDED = 0.95
"""A size between powers of two is padded when it takes at least this part of the next power's time."""


class BatchCurve:
    """S(b) in seconds for arrays of batch sizes, never decreasing."""

    def __init__(self, points: Sequence[tuple[int, float]]) -> None:
        """`points`: (batch size, seconds), at least one; several of one size are averaged."""
        sizes = sorted({batch for batch, _ in points})
        seconds = [float(np.mean([s for batch, s in points if batch == size])) for size in sizes]
        self.padded = _is_padded(dict(zip(sizes, seconds, strict=True)))
        self._curve = ServiceCurve(sizes, seconds)
        self.largest = sizes[-1]

    def seconds(self, batches: ArrayLike) -> NDArray[np.float64]:
        """S(b) of each size; 0 for size 0."""
        sizes = np.asarray(batches, np.int64)
        asked = np.array([_up(int(b)) for b in sizes]) if self.padded else sizes
        return np.array([0.0 if b == 0 else self._curve(int(b)) for b in asked])

    def points(self, largest: int) -> list[tuple[int, float]]:
        """Sizes up to `largest` and their times such that straight lines between them are this curve."""
        if not self.padded:
            return [(b, self._curve(b)) for b in self._curve.batches if b <= largest] or [(1, self._curve(1))]
        powers = [1 << n for n in range(largest.bit_length()) if 1 << n <= largest]
        steps = sorted({size for power in powers for size in (power, power + 1) if size <= largest} | {largest})
        return [(b, self._curve(_up(b))) for b in steps]


def offline_curve(points: Sequence[OperatingPoint]) -> BatchCurve:
    """S(b) of offline points: compute infer + output where they are known, else the whole latency.

    Compute input is left out: offline clients put tensors into shared memory, so that it says nothing of the copies
    that a server makes of requests from the network. Those are fitted.
    """
    known = [(p.batch_size, seconds) for p in points if (seconds := _without_input_s(p) or p.latency_s)]
    assert known
    return BatchCurve(known)


def _without_input_s(point: OperatingPoint) -> float | None:
    return None if point.compute_infer_s is None else point.compute_infer_s + (point.compute_output_s or 0.0)


def _up(batch: int) -> int:
    """The next power of two, itself included."""
    return 0 if batch == 0 else 1 << (batch - 1).bit_length()


def _is_padded(seconds: dict[int, float]) -> bool:
    between = [b for b in seconds if b != _up(b) and _up(b) in seconds and _up(b) // 2 in seconds]
    return len(between) >= 2 and all(seconds[b] >= PADDED * seconds[_up(b)] for b in between)

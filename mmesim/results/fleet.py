"""Instance time and its price: what is billed runs from launch to end, what serves from joining to end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import NEVER_NS
from mmesim.results.types import InstanceLife

HOURS_PER_MONTH = 730
"""AWS's own month: 365·24/12 hours."""
_NS_PER_HOUR = 3_600_000_000_000


def billed_ns(lives: Iterable[InstanceLife], since_ns: int, until_ns: int) -> int:
    """Instance time billed within the window."""
    return sum(_overlap(life.launched_ns, life.ended_ns, since_ns, until_ns) for life in lives)


def serving_ns(lives: Iterable[InstanceLife], since_ns: int, until_ns: int) -> int:
    """Instance time in service (draining included) within the window."""
    return sum(_overlap(life.joined_ns, life.ended_ns, since_ns, until_ns) for life in lives)


def _overlap(start_ns: int | None, end_ns: int | None, since_ns: int, until_ns: int) -> int:
    if start_ns is None:
        return 0
    return max(0, min(NEVER_NS if end_ns is None else end_ns, until_ns) - max(start_ns, since_ns))


def overlaps_ns(starts: NDArray[np.int64], ends: NDArray[np.int64], since_ns: int | None,
                until_ns: int | None) -> NDArray[np.int64]:
    """Overlap of each [start, end) with one stretch of time; None: it never began, it has not ended."""
    if since_ns is None:
        return np.zeros_like(starts)
    return np.maximum(np.minimum(ends, NEVER_NS if until_ns is None else until_ns) - np.maximum(starts, since_ns), 0)


def serving_levels(lives: Sequence[InstanceLife], since_ns: int, until_ns: int) -> tuple[int, int]:
    """(fewest, most) instances in service at once within the window."""
    changes = sorted(change for life in lives if life.joined_ns is not None
                     for change in ((max(life.joined_ns, since_ns), 1),
                                    (NEVER_NS if life.ended_ns is None else max(life.ended_ns, since_ns), -1)))
    level, levels = 0, []
    for k, (at_ns, change) in enumerate(changes):
        level += change
        last_at_once = k + 1 == len(changes) or changes[k + 1][0] != at_ns
        if last_at_once and at_ns < until_ns:
            levels.append(level)
    if not any(at_ns <= since_ns for at_ns, _ in changes):
        levels.append(0)
    return min(levels), max(levels)


def cost_of(billed: int, price_per_hour: float | None) -> float | None:
    """Price of so many billed nanoseconds; None when the price is unknown."""
    return None if price_per_hour is None else billed / _NS_PER_HOUR * price_per_hour


def numbers_at(lives: Iterable[InstanceLife], slots: NDArray[np.int64],
               times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the instance that was in each slot at each time: the last one launched by then; -1: none."""
    numbers = np.full(len(slots), -1, np.int64)
    for life in sorted(lives, key=lambda life: life.launched_ns):
        numbers[(slots == life.slot) & (times_ns >= life.launched_ns)] = life.number
    return numbers

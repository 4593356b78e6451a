"""The offline optimum of one cache: requests known beforehand, loads in no time.

An *interval* lies between two consecutive requests of a model. Keeping the model over it saves the load at its end and
takes its size for its length. The optimum takes intervals so that at no instant more than the memory is taken; what is
not kept passes by the cache: FOO (Berger, Beckmann, Harchol-Balter, "Practical Bounds on Optimal Caching with Variable
Object Sizes", POMACS 2(2), 2018), whose linear programme is a bound and, rounded down, a schedule. Two practical forms:

* **PFOO-U** asks for the memory on the average only. What is left is a knapsack whose items may be cut: intervals in
  the order of value per size and length, the last one in part. A bound. The average may be taken over requests (the
  classical way) or over time; the constraint holds at each instant, so both are bounds and the tighter one counts.
* **PFOO-L** goes through the same order and takes an interval if nothing overflows. A schedule, hence the other side.

**MIN** (Belady 1966): on a miss, what is used farthest in the future leaves. The optimum where all models have one size
and one cost and the missing model must be loaded; where sizes differ it is only a schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Requests:
    """Requests in order of time, and what lies between two for one model."""

    t_s: Floats
    model: Ints
    n_models: int
    since_s: float = 0.0
    """Earlier ones (the warm-up) are not counted, but what they leave in memory is."""

    @property
    def first(self) -> int:
        """Position of the first counted request."""
        return int(np.searchsorted(self.t_s, self.since_s))

    @property
    def counted(self) -> int:
        """Counted requests."""
        return len(self.t_s) - self.first

    @cached_property
    def rows(self) -> tuple[Ints, Ints]:
        """(positions model by model, where each model begins, one more at the end)."""
        from mmesim.planner.bounds.kernels import rows_by_model

        return rows_by_model(self.model, self.n_models)

    @cached_property
    def intervals(self) -> Intervals:
        """All that end at a counted request."""
        order, begins = self.rows
        again = np.ones(len(order), bool)
        again[begins[:-1][begins[:-1] < len(order)]] = False
        end, start = order[again], order[np.flatnonzero(again) - 1]
        here = end >= self.first
        end, start = end[here], start[here]
        origin = self.origin
        return Intervals(model=self.model[end], start=np.maximum(start, origin) - origin, end=end - origin,
                         slots=max(0, len(self.t_s) - 1 - origin),
                         length_s=self.t_s[end] - np.maximum(self.t_s[start], self.since_s), span_s=self.span_s)

    @property
    def origin(self) -> int:
        """The first slot that is counted; slot k lies between the requests k and k + 1."""
        return max(0, self.first - 1)

    @property
    def span_s(self) -> float:
        """From the beginning of the count to the last request."""
        return float(self.t_s[-1] - self.since_s) if self.counted else 0.0

    @property
    def is_first(self) -> NDArray[np.bool_]:
        """Which of the counted requests is its model's first of all."""
        order, begins = self.rows
        is_first = np.zeros(len(order), bool)
        is_first[order[begins[:-1][begins[:-1] < begins[1:]]]] = True
        return is_first[self.first:]

    @property
    def next_use(self) -> Ints:
        """Position of the next request of the same model; beyond the end: none."""
        order, begins = self.rows
        following = np.full(len(order), 2 * len(order), np.int64)
        last = np.zeros(len(order), bool)
        last[begins[1:][begins[1:] > begins[:-1]] - 1] = True
        following[order[:-1][~last[:-1]]] = order[1:][~last[:-1]]
        return following


@dataclass(frozen=True)
class Intervals:
    """Arrays of one length; `start` and `end` are positions, counted from the first counted slot."""

    model: Ints
    start: Ints
    end: Ints
    slots: int
    """Slots in all; slot k lies between the requests k and k + 1."""
    length_s: Floats
    span_s: float
    """From the beginning of the count to the last request."""


class Knapsack:
    """Items that may be cut, sorted once for any number of budgets."""

    def __init__(self, value: Floats, weight: Floats) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            self.order = np.argsort(np.where(value > 0, weight / value, np.inf), kind="stable")
        self.value, self.weight = value[self.order], weight[self.order]

    def best(self, budget: float, allowed: NDArray[np.bool_]) -> float:
        """The largest value whose weight fits; `allowed`: which items (in their own order) may be taken."""
        taken = allowed[self.order]
        value, weight = self.value[taken], self.weight[taken]
        filled = np.cumsum(weight)
        whole = int(np.searchsorted(filled, budget, side="right"))
        total = float(value[:whole].sum())
        if whole == len(value):
            return total
        left = budget - (float(filled[whole - 1]) if whole else 0.0)
        return total + float(value[whole]) * left / float(weight[whole])


def pfoo_upper(requests: Requests, size: ArrayLike, capacity: float, value: ArrayLike | None = None) -> float:
    """What loads can be saved at most: PFOO-U. `size` and `value` are per model; without `value` each load counts 1."""
    intervals, worth = requests.intervals, _worth(requests, value)
    of_model = np.asarray(size, float)[intervals.model]
    over_slots = of_model * (intervals.end - intervals.start), capacity * intervals.slots
    over_time = of_model * intervals.length_s, capacity * intervals.span_s
    return min(Knapsack(worth, weight).best(budget, of_model <= capacity) for weight, budget in (over_slots, over_time))


def pfoo_lower(requests: Requests, size: ArrayLike, capacity: int, value: ArrayLike | None = None) -> float:
    """What a schedule saves that fits at every request: PFOO-L."""
    from mmesim.planner.bounds.kernels import feasible

    size, worth = np.asarray(size, np.int64), _worth(requests, value)
    intervals = requests.intervals
    of_model = size[intervals.model]
    order = Knapsack(worth, of_model * (intervals.end - intervals.start).astype(float)).order
    taken = feasible(order, intervals.start, intervals.end, of_model, max(1, intervals.slots), capacity)
    return float(worth[taken].sum())


def min_hits(requests: Requests, size: ArrayLike, capacity: int) -> int:
    """Hits of MIN; what is larger than the memory never gets in."""
    from mmesim.planner.bounds.kernels import belady

    return int(belady(requests.model, requests.next_use, np.asarray(size, np.int64), capacity))


def _worth(requests: Requests, value: ArrayLike | None) -> Floats:
    model = requests.intervals.model
    return np.ones(len(model)) if value is None else np.asarray(value, float)[model]

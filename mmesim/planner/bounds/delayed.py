"""Bounds where loads take time, so that a request during a load is no hit (a *delayed hit*) but shares the load.

Three worlds, from tight to loose; in each the constraint on memory holds on the average only (as in PFOO-U) and has a
price (Lagrange), so that each model can be solved alone, exactly, by dynamic programming over its requests. Every price
gives a bound; the best one is taken.

* **prompt**: a load has its memory from its miss on. READY comes `load_s` after the miss at the earliest, so a miss
  makes misses of all requests in that time. The first load of a model may come as late as it likes (a download needs
  no device memory).
* **late**: any load may wait before it starts, for as long as it likes, and needs memory only from its start on. A hit
  is then a copy kept since the last request, or one loaded just in time for a request before, which missed.
* **foreseen**: loads may begin without being asked for. A hit costs the memory of its interval or of its load,
  whichever is less. That holds for every policy there can be.

And for loads: every request needs a load that began at one of the requests of the `wait_s` before, or a copy kept from
one. With `wait_s` 0 that is PFOO-U.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from mmesim.planner.bounds.dual import peak
from mmesim.planner.bounds.offline import Floats, Ints, Knapsack, Requests

CLOCKS = ("time", "slots")
"""What memory is averaged over: the constraint holds at each instant, so both give bounds. A slot lies between two
requests of whatever model."""


@dataclass(frozen=True)
class Delayed:
    """Bounds on the hits among the counted requests, and on their loads."""

    requests: Requests
    load_s: Floats
    """Per model: no load takes less."""

    @cached_property
    def _rows(self) -> tuple[Ints, Ints, Floats, Ints]:
        """(order, begins, times, each model's first counted row)."""
        order, begins = self.requests.rows
        earlier = np.bincount(self.requests.model[:self.requests.first], minlength=self.requests.n_models)
        return order, begins, self.requests.t_s[order], earlier

    def prompt_hits(self, size: Floats, capacity: float, fits: NDArray[np.bool_]) -> float:
        """At most so many; memory averaged over time or over requests, whichever tells more."""
        from mmesim.planner.bounds.kernels import prompt_misses

        order, begins, t_s, counts = self._rows
        misses = max(peak(partial(prompt_misses, begins, counts, t_s, self._clock(clock, order, t_s), self.load_s,
                                  _share(size, capacity * self._span(clock), fits))) for clock in CLOCKS)
        return self.requests.counted - misses

    def load_cost(self, size: Floats, capacity: float, fits: NDArray[np.bool_], wait_s: Floats, cost: Floats) -> float:
        """Loads that begin at a counted request cost at least so much; `cost` is per model."""
        from mmesim.planner.bounds.kernels import load_cost

        order, begins, t_s, counts = self._rows
        held_s = t_s + wait_s[self.requests.model[order]]
        held = np.searchsorted(self.requests.t_s, held_s, side="right") - 1
        return max(peak(partial(load_cost, begins, counts, t_s, self._clock(clock, order, t_s),
                                self._clock(clock, np.maximum(held, order), held_s), wait_s,
                                _share(size, capacity * self._span(clock), fits), cost))
                   for clock in CLOCKS)

    def _clock(self, clock: str, position: Ints, t_s: Floats) -> Floats:
        """Where requests, or times between them, stand in a measure of memory."""
        if clock == "time":
            return np.maximum(t_s, self.requests.since_s)
        return np.maximum(position, self.requests.origin).astype(float)

    def _span(self, clock: str) -> float:
        """All there is of it."""
        requests = self.requests
        return requests.span_s if clock == "time" else float(len(requests.t_s) - 1 - requests.origin)

    def late_hits(self, size: Floats, capacity: float, fits: NDArray[np.bool_]) -> float:
        """At most so many, however long loads wait before they start."""
        from mmesim.planner.bounds.kernels import late_misses

        _, begins, t_s, counts = self._rows
        requests = self.requests
        share = _share(size, capacity * requests.span_s, fits)
        return requests.counted - peak(partial(late_misses, begins, counts, t_s, requests.since_s, self.load_s, share))

    def foreseen_hits(self, size: Floats, capacity: float, fits: NDArray[np.bool_]) -> float:
        """At most so many, even by loads that nobody has asked for."""
        order, begins, t_s, _ = self._rows
        requests = self.requests
        before_s = np.concatenate([[0.0], t_s[:-1]])
        before_s[begins[:-1][begins[:-1] < len(t_s)]] = -np.inf
        here = order >= requests.first
        model = requests.model[order][here]
        begin_s = np.maximum(np.maximum(before_s[here], t_s[here] - self.load_s[model]), requests.since_s)
        in_time = fits[model] & (t_s[here] >= self.load_s[model])
        knapsack = Knapsack(np.ones(len(model)), size[model] * (t_s[here] - begin_s))
        return knapsack.best(capacity * requests.span_s, in_time)


def _share(size: Floats, memory: float, fits: NDArray[np.bool_]) -> Floats:
    """What each model takes of all memory in a unit of the clock; -1: it fits nowhere."""
    return np.where(fits, size / memory if memory > 0 else 0.0, -1.0)

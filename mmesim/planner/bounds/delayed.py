"""Bounds on hits where loads take time, so that a request during a load is no hit (a *delayed hit*) but shares it.

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
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from mmesim.planner.bounds.dual import peak
from mmesim.planner.bounds.offline import Floats, Ints, Knapsack, Requests


@dataclass(frozen=True)
class Delayed:
    """Bounds on the hits among the counted requests."""

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
        requests = self.requests
        over_time = np.maximum(t_s, requests.since_s), requests.span_s
        over_slots = np.maximum(order, requests.origin).astype(float), float(len(order) - 1 - requests.origin)
        misses = 0.0
        for clock, span in (over_time, over_slots):
            share = _share(size, capacity * span, fits)
            misses = max(misses, peak(partial(prompt_misses, begins, counts, t_s, clock, self.load_s, share)))
        return requests.counted - misses

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

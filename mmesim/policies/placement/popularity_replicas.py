"""Copies in proportion to popularity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import EndpointView, InstanceView, ModelView, PlacementPolicy, Prewarm
from mmesim.policies.checks import above_zero, at_least
from mmesim.policies.placement.least_loaded import LeastLoaded
from mmesim.policies.room import Room, need_bytes

ROUNDING = 1e-9
"""Keeps ceil(4 * 0.5) at 2."""


@dataclass
class PopularityReplicas(PlacementPolicy):
    """Popular models have more copies: as many as keep the load of each below the fair share of an instance.

    A model with the share p of the requests gets n = ceil(p · `spread` · instances) copies, at least 1 and at most
    one on each instance: the fewest with which no copy gets more than the requests of one instance / `spread`.
    AlpaServe (OSDI '23) adds replicas one by one where most requests go unserved, on the least used group that has
    room ("selective replication"); with equal service times and a bound on the load of a copy it ends at these numbers.
    Every `period` copies that are missing are added, the most loaded first, on the instance with the fewest requests
    that has room (any instance with `displace`). Copies beyond ceil(p · `spread` · (1 + `slack`) · instances) leave
    full instances, those with the most requests first; full is one without room for the largest model, and a copy that
    takes nobody's room stays. Between the two numbers nothing changes. Shares are those of a rate that forgets half of
    the past each `half_life`. A missing model without any copy is left to its next request, whose place `least_loaded`
    chooses.

    *Helps* a hot model with memory to spare where the router adds no copies (p99 85 ms instead of 370 ms); *does
    nothing* in full memory, and *hurts* there with `displace` (hit ratio 0.862 instead of 0.878). Figures:
    docs/policies-built-in.
    """

    name: ClassVar[str] = "popularity_replicas"

    spread: float = 1.0
    """A copy gets at most the fair share of one instance, divided by this."""
    slack_fraction: float = 0.5
    """So much more popular a model may seem before a copy of it leaves."""
    displace: bool = False
    """true: a copy may go where other models must leave for it; false: into free memory only."""
    half_life_s: float = 600.0
    """Of the request rates."""
    period_s: float = 60.0
    """How often copies are considered."""
    _uses: NDArray[np.int64] | None = field(init=False, repr=False, compare=False, default=None)
    """Requests of each model when last asked."""
    _weights: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    """Decayed number of requests of each model."""
    _asked_ns: int = field(init=False, repr=False, compare=False, default=0)
    _miss: LeastLoaded = field(init=False, repr=False, compare=False, default_factory=LeastLoaded)

    def __post_init__(self) -> None:
        above_zero(spread=self.spread, half_life=self.half_life_s, period=self.period_s)
        at_least(0, slack_fraction=self.slack_fraction)

    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """As `least_loaded`."""
        return self._miss.place(model, instances, now_ns)

    def rearrange(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """Copies to take away, then copies to add, by the numbers that the shares call for."""
        self._count(endpoint.model_uses, now_ns)
        total = float(self._weights.sum())
        instances = endpoint.instances
        if not total or not instances:
            return []
        load = self._weights / total * self.spread * len(instances)
        least, most = (np.clip(np.ceil(load * more - ROUNDING), 1, len(instances))
                       for more in (1.0, 1 + self.slack_fraction))
        rates = {one.index: one.rate_rps(now_ns) for one in instances}
        room = Room(endpoint.models, instances)
        largest = max(map(need_bytes, endpoint.models))
        full = {i: rate for i, rate in rates.items() if room.free_bytes[i] < largest}
        leaving = [decision for model in endpoint.models if model.n_copies > most[model.index]
                   for decision in self._fewer(model, int(most[model.index]), full)]
        return leaving + list(self._more(endpoint, instances, least, load, rates))

    def _count(self, uses: NDArray[np.int64], now_ns: int) -> None:
        """Take in the requests since the last time."""
        if self._uses is None:
            self._weights = uses.astype(np.float64)
        else:
            self._weights *= 0.5 ** ((now_ns - self._asked_ns) / 1e9 / self.half_life_s)
            self._weights += uses - self._uses
        self._uses, self._asked_ns = uses, now_ns

    @staticmethod
    def _fewer(model: ModelView, most: int, full: dict[int, float]) -> list[Prewarm]:
        """The copies that are too many, on these instances, where most requests go first."""
        ready = sorted((i for i in model.copies if i in full), key=lambda i: (-full[i], i))
        return [Prewarm(instance, model.index, load=False) for instance in ready[:model.n_copies - most]]

    def _more(self, endpoint: EndpointView, instances: Sequence[InstanceView], least: NDArray[np.float64],
              load: NDArray[np.float64], rates: dict[int, float]) -> Iterator[Prewarm]:
        """The copies that are missing, of the model with the most load on a copy first."""
        room = Room(endpoint.models, instances)
        popular = sorted(np.flatnonzero(least > 1).tolist(), key=lambda m: (-load[m] / least[m], m))
        for model in (endpoint.models[m] for m in popular):
            size = need_bytes(model)
            where = [one.index for one in instances if not one.is_ready(model.index) and not one.is_cold(model.index)]
            missing = int(least[model.index]) - model.n_copies if model.n_copies else 0
            for instance in sorted(where, key=lambda i: (room.free_bytes[i] < size, rates[i], i))[:max(0, missing)]:
                if room.take(size, instance) or self.displace:
                    yield Prewarm(instance, model.index)

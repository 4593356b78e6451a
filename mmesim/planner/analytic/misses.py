"""Misses and loads of a fleet, estimated: Che with sizes, policy and sessions (:mod:`mmesim.planner.analytic.cache`).

All instances' memory counts as one, less what cannot be filled. It begins empty, so that first requests miss. Requests
that come while their model loads wait too; a load takes memory from its beginning, an unload to its end. Loads wait for
threads and for the network, and the longer they wait the more requests join each: that limits itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from mmesim.planner.analytic.cache import Rule, Sessions, held
from mmesim.planner.analytic.models import Models
from mmesim.planner.analytic.waiting import erlang_c
from mmesim.planner.analytic.workload import Demand
from mmesim.scenario.schema import Scenario

Floats = NDArray[np.float64]
USUAL_UNLOAD_S = 0.1
"""An unload proper."""
LONGEST_WAIT_S, CLOSE, WAIT_STEPS = 1200.0, 0.02, 16
"""For a load thread: at most, found to within this part, in so many steps."""
RULES: Mapping[str, Rule] = {"fifo": "fifo", "random": "random", "lfu": "lfu", "lfu_da": "lfu"}
"""Other evictions are taken as LRU."""


@dataclass(frozen=True)
class Cold:
    """Misses of each model, (models,)."""

    ratio: Floats
    """Of its requests, with those that join a load."""
    first: Floats
    """Of these, those that begin one."""
    loads_rps: Floats
    wait_s: Floats
    """Of a whole cold start."""
    fetched: Floats
    """Part of the loads that come from S3."""


class Misses:
    """What a fleet of one scenario misses and loads."""

    def __init__(self, scenario: Scenario, asked: Demand, models: Models) -> None:
        self.asked, self.models, self.server = asked, models, scenario.endpoint.server
        self.rule: Rule = RULES.get(scenario.endpoint.eviction.gpu.use, "lru")
        self.sessions = Sessions(asked.repeat, asked.reach)
        poll_s = self.server.unload_poll
        self.unload_s = poll_s * (ceil(USUAL_UNLOAD_S / poll_s) + 1) if poll_s else USUAL_UNLOAD_S

    def room(self, instances: float) -> float:
        """Bytes that models can fill on all instances together."""
        models, some = self.models, self.asked.rates_rps > 0
        usable, sizes = models.memory_bytes - models.base_bytes, models.bytes[some]
        if usable <= 0 or not len(sizes):
            return 0.0
        alike = sizes.max() <= 1.01 * sizes.min() and sizes.min() > 0
        unfilled = usable % float(sizes.mean()) if alike else min(usable, float(sizes.mean())) / 2
        usable -= unfilled
        if self.server.max_models:
            usable = min(usable, self.server.max_models * float(sizes.mean()))
        return instances * usable

    def cold(self, instances: float) -> Cold:
        """Misses and loads, over the measured time."""
        models, asked = self.models, self.asked
        shares = np.where(models.pinned, 0.0, asked.shares)
        room = max(0.0, self.room(instances) - float(models.bytes[models.pinned].sum()))
        low, high, waits = 0.0, LONGEST_WAIT_S, 0.0
        for _ in range(WAIT_STEPS):  # the longer the wait, the more requests join one load: it limits itself
            cold = self._cold_waiting(shares, room, instances, waits)
            longer = self._queue_s(cold, instances)
            low, high = (waits, high) if longer > waits else (low, waits)
            if high - low < CLOSE * (1 + low):
                break
            waits = (low * high) ** 0.5 if low else CLOSE if high == LONGEST_WAIT_S else high / 4
        return cold

    def _cold_waiting(self, shares: Floats, room: float, instances: float, waits_s: float) -> Cold:
        """The same, if loads wait so long before they begin."""
        models, asked, total = self.models, self.asked, float(self.asked.rates_rps.sum())
        outside = asked.rates_rps * (waits_s + self.unload_s)
        leaving = asked.rates_rps * (1 - asked.repeat) * self.unload_s
        found = held(shares, models.bytes, room, self.rule, asked.repeat, asked.reach, outside, leaving)
        full_s = found.requests / total if total else inf
        begin_s, end_s = asked.warmup_s, asked.warmup_s + asked.measured_s
        first = self._first_misses(shares, total, min(begin_s, full_s), min(end_s, full_s))
        later = np.where(shares > 0, 1 - found.hit, 0.0) * max(0.0, end_s - max(begin_s, full_s)) / asked.measured_s
        miss = np.minimum(1.0, first + later)
        fetched = np.minimum(1.0, first / np.maximum(miss, 1e-12) + (not self._keeps_files(instances)))
        return self._joined(miss, waits_s + fetched * models.fetch_s + (1 - fetched) * self.unload_s, fetched)

    def _first_misses(self, shares: Floats, total: float, begin_s: float, end_s: float) -> Floats:
        """(models,) misses of [begin, end) while nothing is evicted yet, over the requests of the measured time:
        the integral of the miss probability is the fall of exp(-p H)."""
        if total <= 0 or end_s <= begin_s:
            return np.zeros_like(shares)
        seen = self.sessions.clusters_in(total * np.array([begin_s, end_s]))
        absent = [np.exp(-shares * clusters) for clusters in seen]
        return np.asarray((absent[0] - absent[1]) / np.maximum(shares * total * self.asked.measured_s, 1e-12))

    def _keeps_files(self, instances: float) -> bool:
        disk_bytes = instances * self.models.room.disk_bytes
        return self.server.keep_on_disk and float(self.models.disk_bytes.sum()) <= disk_bytes

    def _joined(self, miss: Floats, before_s: Floats, fetched: Floats) -> Cold:
        """With the requests that come while their model waits for its load and while it loads. In `before_s` it has no
        memory yet, and its time there begins so much later; the load itself is a part of that time."""
        wait_s = before_s + self.models.load_s
        mates, others = self._coming(wait_s)
        extra = self._coming(before_s)[1]
        join = mates + others
        cycle = np.maximum(1 / np.maximum(miss, 1e-12), 1 + join - extra) + extra  # requests from miss to miss
        return Cold((1 + join) / cycle, 1 / (1 + join), self.asked.rates_rps / cycle, wait_s, fetched)

    def _coming(self, time_s: Floats) -> tuple[Floats, Floats]:
        """(models,) requests in so long a time after a miss: of its own session, and of those that begin in it."""
        rates, r = self.asked.rates_rps, min(self.asked.repeat, 0.99)
        passing = float(rates.sum()) * time_s
        mates = np.minimum(passing, r / (1 - r) * -np.expm1(-passing * (1 - r) / max(self.asked.reach, 1.0)))
        return mates, np.asarray((1 - r) * rates * time_s * (1 + mates))

    def _queue_s(self, cold: Cold, instances: float) -> float:
        """Mean wait for a load thread; the network as a queue of one."""
        use = self.load_use(cold, instances)
        if use["loads"] >= 1 or use["network"] >= 1:
            return inf
        threads, loads = self.server.load_threads, float(cold.loads_rps.sum())
        if not loads:
            return 0.0
        load_s = float(cold.loads_rps @ self.models.load_s) / loads
        fetch_s = float(cold.loads_rps @ (cold.fetched * self.models.fetch_s)) / loads
        return (erlang_c(threads, use["loads"] * threads) * load_s / (threads * (1 - use["loads"]))
                + fetch_s * use["network"] / (1 - use["network"]))

    def load_use(self, cold: Cold, instances: float) -> dict[str, float]:
        """Utilisation of load threads and network."""
        models = self.models
        bytes_per_s = float(cold.loads_rps @ (cold.fetched * models.artifact_bytes))
        return {"loads": float(cold.loads_rps @ models.load_s) / (instances * self.server.load_threads),
                "network": bytes_per_s / (instances * models.kind.network_baseline_bps)}

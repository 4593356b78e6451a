"""What a fleet of n instances will probably do: a guess in milliseconds, to be checked by simulation.

Memory: Che with sizes, policy and sessions (:mod:`mmesim.planner.analytic.cache`) over all instances' memory as one,
less what cannot be filled; from empty instances on, so that first requests miss. Requests that come while their model
loads wait too. GPU: batches share the device (processor sharing: S / (1 - rho)); a batch is what came while the one
before ran; a burst is a geometric number K of requests at once, with 2K - 1 = cv^2 of the gaps: P(wait) = 1 - (1 - rho)
/ K, mean then K S / (1 - rho). Host: M/M/c. The load is taken piece of time by piece of time, with what an overload
leaves over (fluid). A fleet that scales itself is taken to have at each time what the load asks for, without delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from mmesim.planner.analytic.cache import Rule, Sessions, held
from mmesim.planner.analytic.certain import Need, certain_needs
from mmesim.planner.analytic.latency import Mixture
from mmesim.planner.analytic.models import GRID, Models, models_of
from mmesim.planner.analytic.waiting import erlang_c, left_over_s, staffed
from mmesim.planner.analytic.workload import Demand
from mmesim.scenario.objective import Objective
from mmesim.scenario.schema import Scenario

Floats = NDArray[np.float64]
LEVELS = 10
"""Of the load, each with as many requests."""
ROUNDS = 10
"""Of the fixed point of batch sizes and load."""
LONGEST_WAIT_S, CLOSE, WAIT_STEPS = 1200.0, 0.02, 16
"""For a load thread: at most, found to within this part, in so many steps."""
FULL = 0.98
"""Largest load of a queue in its steady state; above, the fluid says what waits."""
TARGET_LOAD = 0.6
"""A fleet that scales itself keeps about this load."""
RULES: Mapping[str, Rule] = {"fifo": "fifo", "random": "random", "lfu": "lfu", "lfu_da": "lfu"}
"""Other evictions are taken as LRU."""


@dataclass(frozen=True)
class Estimate:
    """A guess."""

    hit_ratio: float
    cold_rps: float
    """Loads a second."""
    use: Mapping[str, float]
    """Resource -> utilisation at the busiest time; memory: bytes of the models with all but the allowed part of the
    requests, over what there is."""
    p50_ms: float | None
    p99_ms: float | None
    """inf: does not end."""
    warm_p50_ms: float | None
    warm_p99_ms: float | None
    cold_start_ratio: float
    error_rate: float
    binding: str
    """Resource of the largest use."""


@dataclass(frozen=True)
class _Cold:
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


def estimate(scenario: Scenario, instances: int, asked: Demand) -> Estimate:
    """What a fleet of so many instances will probably do."""
    return _Guess(scenario, asked, models_of(scenario)).at(instances)


def likely_instances(scenario: Scenario, asked: Demand, most: int) -> tuple[int, str]:
    """The fewest instances whose estimate meets the objective, and the resource that asks for so many; `most` + 1 when
    none up to `most` do."""
    guess = _Guess(scenario, asked, models_of(scenario))
    low, high = 0, most + 1  # low fails, high meets
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _meets(scenario.objective, guess.at(middle)) else (middle, high)
    return high, guess.scarce(max(1, low))


def needs(scenario: Scenario, asked: Demand) -> list[Need]:
    """What each resource asks for at the scenario's instance type, policies and objective: certain and estimated."""
    models = models_of(scenario)
    return [*certain_needs(scenario, asked, models), *_Guess(scenario, asked, models).needs()]


def _meets(objective: Objective, found: Estimate) -> bool:
    limits = ((getattr(objective, name), getattr(found, name)) for name in (
        "p50_ms", "p99_ms", "warm_p50_ms", "warm_p99_ms", "error_rate", "cold_start_ratio"))
    overloaded = max(value for name, value in found.use.items() if "memory" not in name) >= 1 and not found.error_rate
    return not overloaded and all(value is None or limit is None or value <= limit for limit, value in limits)


class _Guess:
    """Estimates for one scenario."""

    def __init__(self, scenario: Scenario, asked: Demand, models: Models) -> None:
        self.scenario, self.asked, self.models = scenario, asked, models
        self.endpoint, self.server = scenario.endpoint, scenario.endpoint.server
        self.rule: Rule = RULES.get(self.endpoint.eviction.gpu.use, "lru")
        self.sessions = Sessions(asked.repeat, asked.reach)
        poll, unload_s = self.server.unload_poll, 0.1
        self.unload_s = poll * (ceil(unload_s / poll) + 1) if poll else unload_s
        self.allowed = _allowed_cold(scenario, models)
        self.excess = max(0.0, (asked.gap_cv2 - 1) / 2)
        self.own_burst = self.excess * asked.work * (asked.repeat + (1 - asked.repeat) * asked.shares)
        self.levels = self._levels()

    # ---- memory

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

    def cold(self, instances: float) -> _Cold:
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

    def _cold_waiting(self, shares: Floats, room: float, instances: float, waits_s: float) -> _Cold:
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

    def _joined(self, miss: Floats, before_s: Floats, fetched: Floats) -> _Cold:
        """With the requests that come while their model waits for its load and while it loads. In `before_s` it has no
        memory yet, and its time there begins so much later; the load itself is a part of that time."""
        wait_s = before_s + self.models.load_s
        mates, others = self._coming(wait_s)
        extra = self._coming(before_s)[1]
        join = mates + others
        cycle = np.maximum(1 / np.maximum(miss, 1e-12), 1 + join - extra) + extra  # requests from miss to miss
        return _Cold((1 + join) / cycle, 1 / (1 + join), self.asked.rates_rps / cycle, wait_s, fetched)

    def _coming(self, time_s: Floats) -> tuple[Floats, Floats]:
        """(models,) requests in so long a time after a miss: of its own session, and of those that begin in it."""
        rates, r = self.asked.rates_rps, min(self.asked.repeat, 0.99)
        passing = float(rates.sum()) * time_s
        mates = np.minimum(passing, r / (1 - r) * -np.expm1(-passing * (1 - r) / max(self.asked.reach, 1.0)))
        return mates, np.asarray((1 - r) * rates * time_s * (1 + mates))

    def _queue_s(self, cold: _Cold, instances: float) -> float:
        """Mean wait for a load thread; the network as a queue of one."""
        use = self._load_use(cold, instances)
        if use["loads"] >= 1 or use["network"] >= 1:
            return inf
        threads, loads = self.server.load_threads, float(cold.loads_rps.sum())
        if not loads:
            return 0.0
        load_s = float(cold.loads_rps @ self.models.load_s) / loads
        fetch_s = float(cold.loads_rps @ (cold.fetched * self.models.fetch_s)) / loads
        return (erlang_c(threads, use["loads"] * threads) * load_s / (threads * (1 - use["loads"]))
                + fetch_s * use["network"] / (1 - use["network"]))

    def _load_use(self, cold: _Cold, instances: float) -> dict[str, float]:
        models = self.models
        bytes_per_s = float(cold.loads_rps @ (cold.fetched * models.artifact_bytes))
        return {"loads": float(cold.loads_rps @ models.load_s) / (instances * self.server.load_threads),
                "network": bytes_per_s / (instances * models.kind.network_baseline_bps)}

    # ---- work

    def _levels(self) -> Floats:
        """Rates in ten tenths of the requests, over the mean rate."""
        edges, rps = self.asked.moments
        order = np.argsort(rps)
        weight = (rps * np.diff(edges))[order]
        total = float(self.asked.rates_rps.sum())
        if not weight.sum() or not total:
            return np.zeros(LEVELS)
        at = (np.arange(LEVELS) + 0.5) / LEVELS
        return np.asarray(np.interp(at, np.cumsum(weight) / weight.sum(), rps[order]) / total)

    def _served(self, factor: float, instances: float, slowed: float) -> tuple[float, Floats, Floats]:
        """(load of a device, batch sizes, batch times alone) with `factor` times the mean rates."""
        models, rates = self.models, self.asked.rates_rps * self.asked.work * factor
        items = np.minimum(np.maximum(self.asked.items, 1.0), np.maximum(models.max_batch, 1.0))
        most, batch, load = np.maximum(models.max_batch, items), items, 0.0
        for _ in range(ROUNDS):
            batch_s, share = _interpolated(models.batch_s, batch), _interpolated(models.batch_share, batch)
            load = float((rates / batch * batch_s * share).sum()) / instances * slowed
            came = rates * (batch_s / (1 - min(load, FULL)) + models.delay_s) + self.own_burst
            batch = np.sqrt(batch * np.clip(came, items, most))  # halfway: the fixed point would swing
        return load, batch, batch_s * slowed

    def fleet(self, factor: Floats, instances: int) -> Floats:
        """Instances at each of these multiples of the mean rate."""
        if not self.endpoint.autoscaling:
            return np.full_like(factor, float(instances))
        per_instance = max(self._served(1.0, 1.0, 1.0)[0], self._host_load(1.0))
        wanted = np.ceil(factor * per_instance / TARGET_LOAD)
        return np.asarray(np.clip(wanted, instances, max(instances, self.endpoint.instances.max)))

    def _host_load(self, factor: float) -> float:
        """Of all vCPUs of one instance that did everything."""
        return float(self.asked.rates_rps @ self.models.host_s) * factor / self.models.kind.vcpus

    def _left_over(self, instances: int, slowed: float) -> Floats:
        """(LEVELS,) seconds that requests wait because of an overload, in tenths of the requests."""
        edges, rps = self.asked.moments
        total = float(self.asked.rates_rps.sum())
        if not total:
            return np.zeros(LEVELS)
        best = float(self.asked.shares @ (self.models.device_s * self.asked.work)) * slowed
        cpu = float(self.asked.shares @ (self.models.cpu_s * self.asked.work)) / self.models.kind.vcpus
        sizes = self.fleet(rps / total, instances)
        waits = left_over_s(edges, rps * max(best, cpu) / sizes, 1.0)
        order, weight = np.argsort(waits), rps * np.diff(edges)
        at = (np.arange(LEVELS) + 0.5) / LEVELS
        return np.asarray(np.interp(at, np.cumsum(weight[order]) / max(weight.sum(), 1e-300), waits[order]))

    # ---- all together

    def at(self, instances: int) -> Estimate:
        """The estimate for a fleet of this size."""
        if not self.asked.users:
            return self._open(instances, 0.0)
        # asymptotic bounds of a closed network (Denning and Buzen 1978): users wait for what is the bottleneck
        use = max(self._served(1.0, instances, 1.0)[0], self._host_load(1.0) / instances)
        part = min(1.0, FULL / max(use, 1e-300))
        turn_s = self.asked.users / max(float(self.asked.rates_rps.sum()), 1e-300)
        return _Guess(self.scenario, self.asked.times(part), self.models)._open(instances, turn_s * (1 / part - 1))

    def _open(self, instances: int, more_s: float) -> Estimate:
        """The same with rates that do not depend on the answers; each takes `more_s` longer."""
        asked, models = self.asked, self.models
        sizes = self.fleet(self.levels, instances)
        cold = self.cold(float(sizes.mean()))
        loading = min(1.0, float(cold.loads_rps @ models.load_s) / float(sizes.mean()))
        slowed = 1 + (models.load_slowdown - 1) * loading
        left_over = self._left_over(instances, slowed) + more_s
        parts = [self._part(level, float(size), float(wait), cold, slowed)
                 for level, size, wait in zip(self.levels, sizes, left_over, strict=True)]
        shares, warm, middle = asked.shares, _joined_parts(parts), parts[LEVELS // 2]
        everything = _joined_parts([warm, replace(middle, weight=shares * cold.ratio, load_s=cold.wait_s,
                                                  first=cold.first)])
        lost = everything.later_than(self.server.invocation_timeout) if shares.any() else 0.0
        ratio = float(shares @ cold.ratio)
        use = self._use(cold, instances)
        return Estimate(
            hit_ratio=1 - ratio, cold_rps=float(cold.loads_rps.sum()), use=use, p50_ms=_ms(everything, 0.5),
            p99_ms=_ms(everything, 0.99), warm_p50_ms=_ms(warm, 0.5),
            warm_p99_ms=_ms(warm, 0.99), cold_start_ratio=ratio, error_rate=lost,
            binding=max(use, key=lambda name: use[name]))

    def _part(self, factor: float, instances: float, left_over_s: float, cold: _Cold, slowed: float) -> Mixture:
        """Warm requests at one level of the load."""
        models, shares = self.models, self.asked.shares
        load, batch, batch_s = self._served(factor, instances, slowed)
        burst = 1 + self.excess / instances  # the requests of a burst go to all of them
        full, each = min(load, FULL), 1 / np.maximum(1.0, batch)  # of a burst, what is not in the same batch
        host_load = min(self._host_load(factor) / instances, FULL)
        cpus = models.kind.vcpus
        host_waits = erlang_c(cpus, host_load * cpus)
        host_s = float(shares @ models.host_s)
        host_wait_s = host_s / (cpus * (1 - host_load)) * burst
        behind = np.minimum(1.0, self.asked.rates_rps * factor / batch * batch_s)  # a batch of its own model runs
        gpu_waits = 1 - (1 - full) * (1 - behind / 2) / burst
        gpu_wait_s = batch_s / (1 - full) * (1 + (burst - 1) * each)
        waits = 1 - (1 - gpu_waits) * (1 - host_waits)
        wait_s = (gpu_waits * gpu_wait_s + host_waits * host_wait_s) / np.maximum(waits, 1e-12)
        delay_s = models.delay_s * (models.max_batch > 1)
        least_s = batch_s + models.host_s + models.front_s + models.overhead_s + delay_s + left_over_s
        nothing = np.zeros_like(shares)
        return Mixture(shares * (1 - cold.ratio) / LEVELS, least_s, waits, wait_s, nothing, nothing)

    def _use(self, cold: _Cold, instances: int) -> dict[str, float]:
        """Utilisation at the busiest time."""
        models, asked = self.models, self.asked
        total = max(float(asked.rates_rps.sum()), 1e-300)
        busiest = float(asked.busiest_rps.sum()) / total
        size = float(self.fleet(np.array([busiest]), instances)[0])
        load, _, _ = self._served(busiest, size, 1.0)
        host = self._host_load(busiest) / size
        host = host if models.kind.gpu else host + load
        memory = self._working_set() / max(self.room(size), 1e-300)
        front = float(asked.busiest_rps @ models.front_s) / (size * models.front_threads)
        use = {"host CPU": max(host, front), "GPU memory" if models.kind.gpu else "host memory": memory}
        return {**({"GPU time": load} if models.kind.gpu else {}), **use, **self._load_use(cold, size)}

    def _working_set(self) -> float:
        """Bytes of the most asked for models, with all but the allowed part of the requests, and of the pinned ones."""
        shares, sizes = self.asked.shares, self.models.bytes
        order = np.argsort(-shares)
        before = np.concatenate(([0.0], np.cumsum(shares[order])[:-1]))
        some = (before < 1 - self.allowed) & (shares[order] > 0)
        return float(sizes[order][some | self.models.pinned[order]].sum())

    def scarce(self, instances: int) -> str:
        """What a fleet of this size lacks most."""
        found, objective = self.at(instances), self.scenario.objective
        memory = "GPU memory" if self.models.kind.gpu else "host memory"
        warm = {name: value for name, value in found.use.items() if "memory" not in name}
        busiest = max(warm, key=lambda name: warm[name])
        is_slow = objective.p99_ms is not None and (found.warm_p99_ms or 0.0) > objective.p99_ms
        if warm[busiest] >= 1 or is_slow or found.cold_start_ratio <= self.allowed:
            return busiest
        return memory

    def needs(self) -> list[Need]:
        """Estimates of what each resource asks for, on its own."""
        models, asked, objective = self.models, self.asked, self.scenario.objective
        peak = max(float(self.levels[-1]), float(asked.busiest_rps.sum()) / max(float(asked.rates_rps.sum()), 1e-300))
        load, _, batch_s = self._served(peak, max(1.0, self._served(peak, 1.0, 1.0)[0] / TARGET_LOAD), 1.0)
        size = max(1.0, self._served(peak, 1.0, 1.0)[0] / TARGET_LOAD)
        service_s = float(asked.shares @ batch_s)
        limit_s = (objective.p99_ms or objective.warm_p99_ms or 1e3 * self.server.invocation_timeout) / 1e3
        slack_s = max(0.0, limit_s - float(asked.shares @ models.bare_s))
        gpu, cpus = load * size, models.kind.vcpus
        host = self._host_load(peak) * cpus
        memory = self._least_for_memory()
        cold = self.cold(memory)
        use = self._load_use(cold, memory)
        name = "GPU memory" if models.kind.gpu else "host memory"
        found = [Need(name, memory, False, f"{self._working_set() / 2**30:.3g} GiB of models with all but "
                      f"{self.allowed:.2%} of the requests; {self.room(1.0) / 2**30:.3g} GiB on an instance"),
                 Need("host CPU", staffed(host, cpus, slack_s, float(asked.shares @ models.host_s), 0.01), False,
                      f"{host:.3g} vCPUs are busy at the peak, {cpus} on an instance"),
                 Need("network", use["network"] * memory, False, f"{cold.loads_rps.sum():.3g} loads/s"),
                 Need("loads", use["loads"] * memory, False, f"{cold.loads_rps.sum():.3g} loads/s, "
                      f"{self.server.load_threads} at once on an instance")]
        if models.kind.gpu:
            found.append(Need("GPU time", staffed(gpu, 1.0, slack_s, service_s, 0.01), False,
                              f"{gpu:.3g} GPUs are busy at the peak; {slack_s * 1e3:.3g} ms are left to wait"))
        return found

    def _least_for_memory(self) -> float:
        """Fewest instances with no more cold starts than allowed."""
        low, high = 0, 1
        while float(self.asked.shares @ self.cold(float(high)).ratio) > self.allowed:
            if self._all_fits(high):
                break
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            is_enough = float(self.asked.shares @ self.cold(float(middle)).ratio) <= self.allowed
            low, high = (low, middle) if is_enough or self._all_fits(middle) else (middle, high)
        return float(high)

    def _all_fits(self, instances: int) -> bool:
        room = self.room(float(instances))
        return room <= 0 or room >= float(self.models.bytes[self.asked.rates_rps > 0].sum())


def _allowed_cold(scenario: Scenario, models: Models) -> float:
    """Part of the requests that may be cold starts."""
    target, most = scenario.objective, 1.0
    if target.cold_start_ratio is not None:
        most = target.cold_start_ratio
    fastest_s = float(models.load_s.min(initial=inf))
    for limit_ms, part in ((target.p99_ms, 0.01), (target.p50_ms, 0.5)):
        if limit_ms is not None and limit_ms / 1e3 < fastest_s:
            most = min(most, part)
    return most


def _interpolated(table: Floats, batch: Floats) -> Floats:
    """(models,) values of a (models, len(GRID)) table at batch sizes, going on with the last slope."""
    left = np.clip(np.floor(np.log2(batch)).astype(int), 0, len(GRID) - 2)
    rows = np.arange(len(batch))
    low, high = table[rows, left], table[rows, left + 1]
    return np.asarray(low + (high - low) * (batch - GRID[left]) / (GRID[left + 1] - GRID[left]))


def _joined_parts(parts: list[Mixture]) -> Mixture:
    names = ("weight", "least_s", "waits", "wait_s", "load_s", "first")
    return Mixture(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _ms(mixture: Mixture, part: float) -> float | None:
    found = mixture.quantile_s(part)
    return None if found is None else found * 1e3

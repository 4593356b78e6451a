"""What a fleet of n instances will probably do: a guess in milliseconds, to be checked by simulation.

Memory: :mod:`mmesim.planner.analytic.misses`. GPU: batches share the device (processor sharing: S / (1 - rho)); a batch
is what came while the one before ran; a burst is a geometric number K of requests at once, with 2K - 1 = cv^2 of the
gaps: P(wait) = 1 - (1 - rho) / K, mean then K S / (1 - rho). Host: M/M/c. The load is taken piece of time by piece of
time, with what an overload leaves over (fluid). A fleet that scales itself is taken to have at each time what the load
asks for, without delay. Closed-loop clients: asymptotic bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from mmesim.planner.analytic.certain import Need, certain_needs
from mmesim.planner.analytic.latency import Mixture
from mmesim.planner.analytic.misses import Cold, Misses
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
FULL = 0.98
"""Largest load of a queue in its steady state; above, the fluid says what waits."""
TARGET_LOAD = 0.6
"""A fleet that scales itself keeps about this load."""


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
        self.misses = Misses(scenario, asked, models)
        self.allowed = _allowed_cold(scenario, models)
        self.excess = max(0.0, (asked.gap_cv2 - 1) / 2)
        self.own_burst = self.excess * asked.work * (asked.repeat + (1 - asked.repeat) * asked.shares)
        self.levels = self._levels()

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
        cold = self.misses.cold(float(sizes.mean()))
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

    def _part(self, factor: float, instances: float, left_over_s: float, cold: Cold, slowed: float) -> Mixture:
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

    def _use(self, cold: Cold, instances: int) -> dict[str, float]:
        """Utilisation at the busiest time."""
        models, asked = self.models, self.asked
        total = max(float(asked.rates_rps.sum()), 1e-300)
        busiest = float(asked.busiest_rps.sum()) / total
        size = float(self.fleet(np.array([busiest]), instances)[0])
        load, _, _ = self._served(busiest, size, 1.0)
        host = self._host_load(busiest) / size
        host = host if models.kind.gpu else host + load
        memory = self._working_set() / max(self.misses.room(size), 1e-300)
        front = float(asked.busiest_rps @ models.front_s) / (size * models.front_threads)
        use = {"host CPU": max(host, front), "GPU memory" if models.kind.gpu else "host memory": memory}
        return {**({"GPU time": load} if models.kind.gpu else {}), **use, **self.misses.load_use(cold, size)}

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
        cold = self.misses.cold(memory)
        use = self.misses.load_use(cold, memory)
        name = "GPU memory" if models.kind.gpu else "host memory"
        found = [Need(name, memory, False, f"{self._working_set() / 2**30:.3g} GiB of models with all but "
                      f"{self.allowed:.2%} of the requests; {self.misses.room(1.0) / 2**30:.3g} GiB on an instance"),
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
        while float(self.asked.shares @ self.misses.cold(float(high)).ratio) > self.allowed:
            if self._all_fits(high):
                break
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            is_enough = float(self.asked.shares @ self.misses.cold(float(middle)).ratio) <= self.allowed
            low, high = (low, middle) if is_enough or self._all_fits(middle) else (middle, high)
        return float(high)

    def _all_fits(self, instances: int) -> bool:
        room = self.misses.room(float(instances))
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

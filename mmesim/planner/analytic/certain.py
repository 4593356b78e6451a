"""What no policy can do without: lower bounds of the fleet and of its cost that are proofs.

*What is allowed.* With the target e for errors, F <= f R of R requests fail, f = e / (1 - e) (retries fail too, and
what failed is not completed). With a target L for the latency of a quantile q, another 1 - q of them may take longer;
without, all that end well do so within the server's time-out T (counted with late = 0, L = T). Without a target for
errors, everything may fail and nothing is certain. What has no end yet when the run ends came in its last T.

*Work* (GPU, vCPUs, front end). Requests that come in [a, b], but for those allowed, are worked on in [a, b + L], at
most at the capacity: n >= work / (capacity (b - a + L)). A batch takes at least its least time per item. Who may choose
the part x to leave out takes the dearest, which saves at most x + cv sqrt(x (1 - x)) of the work (Cauchy and Schwarz),
cv being that of work per request. The most that any stretch of time asks for counts.

*Memory.* Where the shares are steady, a fresh draw is for a model in memory with at most the probability of the best
set that fits (fractional knapsack), whatever the policy, unless it is clairvoyant. A repeat may always hit: hits <= r +
(1 - r) mass. What is not in memory, nor on its way, waits for a whole load: it is a cold start, and late where L is
shorter.

Requests are random: five standard deviations are given away (one run in 3 million; of an MMPP the lowest rate counts),
and popularity that each seed shuffles is taken as it suits best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, exp, inf, isfinite, log1p, sqrt

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import ClairvoyantEviction, every
from mmesim.planner.analytic.cache import best_mass
from mmesim.planner.analytic.models import Models, models_of
from mmesim.planner.analytic.workload import Demand
from mmesim.scenario.schema import Scenario
from mmesim.units import format_bytes, format_duration

Floats = NDArray[np.float64]
SIGMAS = 5.0
"""Given away for chance."""
LOAD_SIGMAS = 6.0
"""No load is quicker than its law's quantile at so many standard deviations below."""
SKETCH = 1 + 1 / 64
"""A quantile of the sketch may be so much too low."""
MANY = 1_000_000
"""Instances; who needs more needs infinitely many."""


@dataclass(frozen=True)
class Need:
    """How many instances one resource asks for."""

    resource: str
    """``GPU memory``, ``host memory``, ``disk``, ``GPU time``, ``host CPU``, ``network``, ``loads``."""
    instances: float
    """inf: no number will do."""
    certain: bool
    """True: no policy can do with less (:mod:`mmesim.planner.analytic.certain`); False: an estimate."""
    why: str
    """One sentence."""


@dataclass(frozen=True)
class Allowed:
    """What an objective lets pass."""

    failed: float
    """f: failures over requests, at most."""
    late: float
    """Part of the completions that may take longer than `within_s`."""
    within_s: float


def allowed(scenario: Scenario) -> list[Allowed]:
    """The ways to look at the objective; none: everything may fail."""
    target, server = scenario.objective, scenario.endpoint.server
    if target.error_rate is None or target.error_rate >= 0.5:
        return []
    failed = target.error_rate / (1 - target.error_rate)
    ways = [Allowed(failed, 0.0, server.invocation_timeout)]
    limits = ((target.p99_ms, 0.01), (target.p50_ms, 0.5))
    return ways + [Allowed(failed, late, ms * SKETCH / 1e3) for ms, late in limits if ms is not None]


def certain_needs(scenario: Scenario, asked: Demand, models: Models) -> list[Need]:
    """Every certain need above nothing."""
    found = [*_of_work(scenario, asked, models), *_of_speed(scenario, asked, models), *_of_pinned(models),
             *_of_memory(scenario, asked, models)]
    return [need for need in found if need.instances > 0]


def least_instances(scenario: Scenario, asked: Demand) -> Need:
    """The largest certain need, at least one instance. A fleet that scales itself may begin with one, if it may grow
    to what is needed."""
    found = certain_needs(scenario, asked, models_of(scenario))
    need = max(found, key=lambda need: need.instances, default=Need("", 1.0, True, "one instance at least"))
    whole = max(1.0, float(ceil(need.instances - 1e-9))) if isfinite(need.instances) else inf
    if scenario.endpoint.autoscaling:
        whole = inf if whole > scenario.endpoint.instances.max else 1.0
    return Need(need.resource, whole, True, need.why)


def least_cost_per_hour(scenario: Scenario, asked: Demand) -> float | None:
    """The least that a fleet that meets the objective can cost on average over the measured time; None: no price.

    A fleet that scales itself: in each piece of time it is as large as its least size, and works off what came.
    """
    models, need = models_of(scenario), least_instances(scenario, asked)
    price = models.kind.price_per_hour
    if price is None or not isfinite(need.instances):
        return price if price is None else inf
    if not scenario.endpoint.autoscaling:
        return price * need.instances
    floor = 0 if scenario.faults else scenario.endpoint.instances.min
    load = [_mean_instances(asked, cost, capacity, way, floor, scenario) for way in allowed(scenario)
            for _, cost, capacity in _works(scenario, asked, models)]
    return price * max([float(floor), *load])


# ---- work


def _works(scenario: Scenario, asked: Demand, models: Models) -> Iterator[tuple[str, Floats, float]]:
    """(resource, (models,) seconds of a mean request, capacity of an instance)."""
    if models.kind.gpu:
        yield "GPU time", models.device_s * asked.work, 1.0
    items, per_request = asked.items / scenario.workload.items, models.host_s
    host = np.minimum(per_request, per_request * items)  # a part of it is per request
    model = (models.cpu_s * scenario.workload.items - per_request) / scenario.workload.items * asked.work
    yield "host CPU", host + np.maximum(model, 0.0), float(models.kind.vcpus)
    yield "host CPU", np.minimum(models.front_s, models.front_s * items), float(models.front_threads)


def _of_work(scenario: Scenario, asked: Demand, models: Models) -> Iterator[Need]:
    ways = allowed(scenario)
    for resource, cost, capacity in _works(scenario, asked, models):
        needs = [_need_of_work(asked, cost, way, stretch, scenario) / capacity
                 for way in ways for stretch in _stretches(asked)]
        if needs and max(needs) > 0:
            rps, unit = float(asked.busiest_rps.sum()), float(asked.shares @ cost)
            yield Need(resource, max(needs), True, f"{rps:.4g} requests/s at the busiest time, {unit * 1e3:.3g} ms of "
                       f"{resource} each at the least, ask for {max(needs):.3g} instances")


def _stretches(asked: Demand) -> Iterator[tuple[float, float, Floats | None]]:
    """(begin, end, shares in it) of times in which much is asked for; None: unknown, but for their sum."""
    edges, rps = asked.load_over_time
    yield float(edges[0]), float(edges[-1]), asked.shares
    begin_s, total = asked.busiest_start_s, asked.busiest_rps.sum()
    if total:
        yield begin_s, begin_s + asked.busiest_window_s, asked.busiest_rps / total
    sums = np.concatenate(([0.0], np.cumsum(rps * np.diff(edges))))
    pieces = 1
    while pieces < len(rps):
        at = int(np.argmax(sums[pieces:] - sums[:-pieces]))
        yield float(edges[at]), float(edges[at + pieces]), asked.shares if asked.is_steady else None
        pieces *= 2


def _need_of_work(asked: Demand, cost: Floats, way: Allowed, stretch: tuple[float, float, Floats | None],
                  scenario: Scenario) -> float:
    """Seconds of work per second that are certain in a stretch of time."""
    begin_s, end_s, shares = stretch
    until_s = min(end_s, float(asked.load_over_time[0][-1]) - scenario.endpoint.server.invocation_timeout)
    if until_s <= begin_s:
        return 0.0
    mean, cv = _cost_of(asked, cost, shares)
    come, cut = _requests(asked, begin_s, until_s), _requests(asked, until_s, end_s)
    if not come or not mean:
        return 0.0
    if shares is not None and not asked.is_steady and cut:  # its own mean may differ
        mean = max(float(cost[cost > 0].min(initial=0.0)), mean - cut / come * float(cost.max() - mean))
    left = _certain_part(asked, come, cv, way)
    return come * asked.least_part * mean * left / (until_s - begin_s + way.within_s)


def _certain_part(asked: Demand, come: float, cv: float, way: Allowed) -> float:
    """Part of the expected work of `come` requests that must be done, but for chance."""
    come *= asked.least_part
    if come <= 0:
        return 0.0
    edges = asked.load_over_time[0]
    everything = float(asked.rates_rps.sum() * edges[-1])  # what came before the measured time may end in it
    out = min(1.0, (way.failed + way.late) * everything / come)
    again = 1 / (1 - min(asked.repeat, 0.999)) ** 2  # a session's requests cost the same
    chance = SIGMAS * sqrt((cv**2 * again + asked.dispersion) / come)
    return max(0.0, 1 - out - cv * sqrt(out * (1 - out)) - chance)


def _requests(asked: Demand, begin_s: float, end_s: float) -> float:
    """Expected in [begin, end)."""
    edges, rps = asked.load_over_time
    sums = np.concatenate(([0.0], np.cumsum(rps * np.diff(edges))))
    return float(np.interp(end_s, edges, sums) - np.interp(begin_s, edges, sums))


def _cost_of(asked: Demand, cost: Floats, shares: Floats | None) -> tuple[float, float]:
    """(mean, coefficient of variation) of a request's work, the mean at the least."""
    if shares is None or asked.ranks == "unknown":
        return float(cost[asked.rates_rps > 0].min(initial=inf)), asked.work_cv
    if asked.ranks == "shuffled":
        shares, cost = -np.sort(-shares), np.sort(cost)
    mean = float(shares @ cost)
    if not mean:
        return 0.0, 0.0
    square = float(shares @ cost**2) / mean**2 * (1 + asked.work_cv**2)
    if asked.ranks == "shuffled" and cost[0] != cost[-1]:  # another order may vary more
        square = max(square, float(cost[-1] / mean) * (1 + asked.work_cv**2))
    return mean, sqrt(max(0.0, square - 1))


def _mean_instances(asked: Demand, cost: Floats, capacity: float, way: Allowed, floor: int,
                    scenario: Scenario) -> float:
    """Mean of a fleet that scales itself: the work of each piece of time, but for what may go on into the next."""
    edges, rps = asked.load_over_time
    whole = (float(edges[0]), float(edges[-1]), asked.shares)
    overall = _need_of_work(asked, cost, way, whole, scenario) / capacity * \
        (1 - scenario.endpoint.server.invocation_timeout / max(asked.measured_s, 1e-9))
    length = np.diff(edges)
    if length[0] <= way.within_s:
        return max(float(floor), overall)
    mean, cv = _cost_of(asked, cost, asked.shares if asked.is_steady else None)
    ended = edges[1:] <= edges[-1] - scenario.endpoint.server.invocation_timeout
    come = rps * length * asked.least_part * (1 - way.within_s / length) * ended
    lost = 1 - _certain_part(asked, float(come.sum()) / max(asked.least_part, 1e-300), cv, way)
    busy = np.maximum(come * mean / capacity, floor * length).sum() - lost * come.sum() * mean / capacity
    return max(float(floor), overall, float(busy / length.sum()))


# ---- speed and memory


def _of_speed(scenario: Scenario, asked: Demand, models: Models) -> Iterator[Need]:
    """A request cannot be quicker than one that never waits."""
    shares = asked.shares
    if asked.work_cv or asked.ranks == "unknown" or not shares.any():
        return
    target = scenario.objective
    ways = allowed(scenario) or [Allowed(1.0, late, ms * SKETCH / 1e3) for ms, late in
                                 ((target.p99_ms, 0.01), (target.p50_ms, 0.5)) if ms is not None]
    for way in ways:
        slow = models.bare_s > way.within_s
        if asked.ranks == "shuffled":
            shares = np.sort(shares)  # the slow ones may be the least asked for
            slow = -np.sort(-slow.astype(int)) > 0
        if slow[shares > 0].all() or shares[slow].sum() > way.failed + way.late + SIGMAS * 0.01:
            yield Need("GPU time" if models.kind.gpu else "host CPU", inf, True,
                       f"requests that never wait take up to {format_duration(float(models.bare_s.max()))}, "
                       f"{format_duration(way.within_s)} is asked for: no number of instances helps")


def _of_pinned(models: Models) -> Iterator[Need]:
    """Pinned models never leave; a fleet without room for them is refused."""
    pinned = float(models.bytes[models.pinned].sum())
    if pinned:
        yield Need(_memory(models), pinned / models.memory_bytes if models.memory_bytes else inf, True,
                   f"pinned models take {format_bytes(round(pinned))} of {_memory(models)}; an instance has "
                   f"{format_bytes(round(models.memory_bytes))}")


def _memory(models: Models) -> str:
    return "GPU memory" if models.kind.gpu else "host memory"


def _of_memory(scenario: Scenario, asked: Demand, models: Models) -> Iterator[Need]:
    """Enough of the popularity fits."""
    clairvoyant = any(isinstance(policy, ClairvoyantEviction) for _, policy in every(models.policies))
    if clairvoyant or not asked.is_steady or asked.ranks == "unknown" or not asked.rates_rps.any():
        return
    sizes = {_memory(models): (models.bytes, models.memory_bytes - models.least_base_bytes)}
    if models.kind.gpu:
        sizes["host memory"] = (models.host_bytes, float(models.room.host_bytes))
    for resource, (each, room) in sizes.items():
        for missed, is_late, text in _misses(scenario, asked, models):
            counted = np.where(is_late, each, 0.0)
            instances = _instances_for(asked, counted, room, 1 - missed, scenario.endpoint.server.max_models)
            yield Need(resource, instances, True, f"{text}: models with {1 - missed:.2%} of the requests must be in "
                       f"{resource}, or be asked for again at once")


def _misses(scenario: Scenario, asked: Demand, models: Models) -> Iterator[tuple[float, NDArray[np.bool_], str]]:
    """(largest part of requests that may find no model, which models count, why)."""
    ways, target = allowed(scenario), scenario.objective.cold_start_ratio
    end_s = float(asked.load_over_time[0][-1])
    last = _requests(asked, end_s - scenario.endpoint.server.invocation_timeout, end_s) / _requests(asked, 0.0, end_s)
    for way in ways:
        # hits <= mass N + retries, lookups >= N - failures, lookups - hits <= target lookups
        if target is not None and not way.late:
            yield (min(1.0, target + 2 * way.failed + last), np.ones(len(models.bytes), bool),
                   f"at most {target:.3g} of the requests may be cold starts")
        sigma = sqrt(log1p(scenario.endpoint.server.load_time_cv ** 2))
        is_late = models.load_s * exp(-LOAD_SIGMAS * sigma - sigma**2 / 2) > way.within_s
        if is_late.any():
            yield (min(1.0, way.late + 2 * way.failed + last), is_late,
                   f"a load takes longer than {format_duration(way.within_s)}")


def _instances_for(asked: Demand, sizes: Floats, room: float, needed: float, most_models: int) -> float:
    """Least n with r + (1 - r) mass(n) >= needed, but for chance."""
    requests = max(1.0, float(asked.rates_rps.sum()) * asked.measured_s * asked.least_part)
    shares = asked.shares
    if asked.ranks == "shuffled":
        shares, sizes = -np.sort(-shares), np.sort(sizes)

    def hits(n: int) -> float:
        mass = best_mass(shares, sizes, n * room)
        if most_models:
            mass = min(mass, best_mass(shares, (sizes > 0).astype(float), float(n * most_models)))
        most = asked.repeat + (1 - asked.repeat) * mass
        return most + SIGMAS * sqrt(max(most * (1 - most), 1e-6) / requests)

    if hits(1) >= needed or room <= 0:
        return 1.0 if room > 0 else inf
    low, high = 1, 2
    while hits(high) < needed:
        low, high = high, high * 2
        if high > MANY:
            return inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if hits(middle) >= needed else (middle, high)
    return float(high)

"""Each model as inference components: explicit copies, each with whole GPUs, packed onto instances.

A copy asks for at least one whole accelerator (API: NumberOfAcceleratorDevicesRequired >= 1), so copies are counted,
not sized: the cheapest fleet is a covering knapsack over types with 1, 4, 8 GPUs. A GPU comes with its share of the
instance's vCPUs and memory. On a CPU endpoint copies ask for cores (at least 0.25) and memory, and only the sums are
compared: what is found is a lower bound. One endpoint may mix up to five instance types (InstancePools).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmesim.catalog import InstanceType
from mmesim.planner.alternatives.kinds import in_order, price
from mmesim.planner.alternatives.needs import UTILISATION, Floats, GroupNeed, needs_of
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.plan import Alternative
from mmesim.scenario.room import instance_spec
from mmesim.scenario.schema import Scenario

KIND: Final = "inference components"
LEAST_CORES = 0.25
"""NumberOfCpuCoresRequired at least."""


@dataclass(frozen=True)
class Fleet:
    """Instances in each zone, and what stands on all of them."""

    cost_per_hour: float
    instances: tuple[tuple[InstanceType, int], ...]
    copies: tuple[int, ...]
    """Of each group."""


def inference_components(scenario: Scenario, asked_rps: Floats, busiest_rps: Floats, *,
                         utilisation: float = UTILISATION, least_per_endpoint: int = 1,
                         types: Sequence[InstanceType] | None = None) -> Alternative:
    """Every model as components; arguments as of :func:`mmesim.planner.alternatives.dedicated`. `least_per_endpoint`
    copies of each model at least, on as many groups of instances of their own (zones)."""
    needs, zones = needs_of(scenario), least_per_endpoint
    kinds = [kind for kind in in_order(types, scenario) if all(need.fits(scenario, kind) for need in needs)]
    if not kinds:
        return Alternative(KIND, False, None, None, "no type with the models' GPU has room for a copy of each of them")
    rps = [busiest_rps[need.rows] / zones for need in needs]
    on_gpu = kinds[0].gpu is not None
    packed = _on_gpus(needs, rps, kinds, utilisation) if on_gpu else _on_cpus(scenario, needs, rps, kinds, utilisation)
    parts: list[dict[str, Any]] = [
        {"models": need.label, "copies": copies * zones, "requests_per_s": float(asked_rps[need.rows].sum())}
        for need, copies in zip(needs, packed.copies, strict=True)]
    parts += [{"instance_type": kind.name, "instances": count * zones,
               "cost_per_month": count * zones * price(kind) * HOURS_PER_MONTH} for kind, count in packed.instances]
    return Alternative(KIND, True, packed.cost_per_hour * zones * HOURS_PER_MONTH,
                       zones * sum(count for _, count in packed.instances), _why(needs, kinds[0], utilisation),
                       parts=parts)


def _why(needs: Sequence[GroupNeed], kind: InstanceType, utilisation: float) -> str:
    models = sum(need.count for need in needs)
    busy = f"at most {utilisation:.0%} busy in the busiest time, requests one at a time"
    if kind.gpu is None:
        return f"copies by cores and memory, {busy}; a lower bound, since only sums are compared"
    return (f"each copy takes a whole GPU: {models:,} models need at least {models:,}, however small they are, "
            f"where one {kind.gpu} of a multi-model endpoint is shared by many; {busy}")


# ---- GPUs


def _on_gpus(needs: Sequence[GroupNeed], rps: Sequence[Floats], kinds: Sequence[InstanceType],
             utilisation: float) -> Fleet:
    """The cheapest for each least share of vCPUs that a GPU may come with; a larger share needs fewer copies."""
    fleets = []
    for share in sorted({kind.vcpus / kind.gpu_count for kind in kinds}):
        allowed = [kind for kind in kinds if kind.vcpus / kind.gpu_count >= share]
        copies = tuple(int(need.instances(rates, share, utilisation, 1).sum())
                       for need, rates in zip(needs, rps, strict=True))
        counts = covering(sum(copies), [kind.gpu_count for kind in allowed], [price(kind) for kind in allowed])
        chosen = tuple((kind, count) for kind, count in zip(allowed, counts, strict=True) if count)
        fleets.append(Fleet(sum(price(kind) * count for kind, count in chosen), chosen, copies))
    return min(fleets, key=lambda fleet: fleet.cost_per_hour)


def covering(slots: int, sizes: Sequence[int], prices: Sequence[float]) -> NDArray[np.int64]:
    """How many of each to buy, at the least cost, so that their sizes add up to `slots` or more.

    An unbounded knapsack by dynamic programming. Any b pieces have some whose sizes add up to a multiple of b, so those
    but the best in price per size, of size b, need never be more than b - 1: the rest is bought of the best.
    """
    best = min(range(len(sizes)), key=lambda k: prices[k] / sizes[k])
    bulk = max(0, slots // sizes[best] - max(sizes))
    rest = slots - bulk * sizes[best]
    cost, last = [0.0] + [inf] * rest, [-1] * (rest + 1)
    for filled in range(1, rest + 1):
        for k, (size, each) in enumerate(zip(sizes, prices, strict=True)):
            if (total := cost[max(0, filled - size)] + each) < cost[filled]:
                cost[filled], last[filled] = total, k
    counts = np.zeros(len(sizes), np.int64)
    counts[best] = bulk
    while rest > 0:
        counts[last[rest]] += 1
        rest -= sizes[last[rest]]
    return counts


# ---- CPUs


def _on_cpus(scenario: Scenario, needs: Sequence[GroupNeed], rps: Sequence[Floats], kinds: Sequence[InstanceType],
             utilisation: float) -> Fleet:
    """As many of the one type whose cores and memory hold the sums at the least cost."""
    copies = tuple(need.count for need in needs)
    cores = sum(float(np.maximum(LEAST_CORES, rates * need.cpu_s / utilisation).sum())
                for need, rates in zip(needs, rps, strict=True))
    memory = sum(need.count * need.host_bytes for need in needs)

    def fleet(kind: InstanceType) -> Fleet:
        room = instance_spec(scenario.endpoint.server, kind).host_bytes
        count = max(1, ceil(cores / kind.vcpus - 1e-9), ceil(memory / room))
        return Fleet(count * price(kind), ((kind, count),), copies)

    return min(map(fleet, kinds), key=lambda found: found.cost_per_hour)

"""What limits a fleet: its cheaper neighbour, which just fails, with more of one resource at a time.

A resource binds if with more of it alone the neighbour would meet the objective. That is an experiment, not a reading
of utilisations: memory that is full is no limit as long as nothing that matters is pushed out of it. Several may bind
(each of them would do), or none alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from mmesim.planner.analytic import demand
from mmesim.planner.answer.probe import Probe, Seen, Variation, as_it_is
from mmesim.planner.plan.trial import Trial
from mmesim.results.plan import Limit
from mmesim.scenario.schema import Scenario
from mmesim.scenario.workload import NoArrivals, Poisson

MUCH = 4.0
"""So much more of a resource that it limits no longer, if it did."""


@dataclass(frozen=True)
class Relief:
    """More of one resource."""

    resource: str
    change: str
    scaled: Mapping[str, float] = field(default_factory=dict)
    changed: Callable[[Scenario], Scenario] = as_it_is
    on: str = "gpu cpu"
    """The kinds of endpoint that have it."""


RELIEFS = (
    Relief("GPU memory", f"{MUCH:g} x the memory", {"gpu_memory": MUCH}, on="gpu"),
    Relief("host memory", f"{MUCH:g} x the memory", {"host_memory": MUCH}),
    Relief("GPU time", f"a GPU {MUCH:g} x as fast", {"compute": MUCH}, on="gpu"),
    Relief("host CPU", f"vCPUs {MUCH:g} x as fast", {"host_cpu": MUCH}, on="gpu"),
    Relief("vCPU time", f"vCPUs {MUCH:g} x as fast", {"compute": MUCH, "host_cpu": MUCH}, on="cpu"),
    Relief("network", f"{MUCH:g} x the download rate", {"network": MUCH}),
    Relief("loads", f"loads {MUCH:g} x as fast", {"loads": MUCH}),
    Relief("disk", f"{MUCH:g} x the disk", {"disk": MUCH}),
)
PAIRED = {"gpu": ("GPU memory", "GPU time", "host CPU", "network", "loads"),
          "cpu": ("host memory", "vCPU time", "network", "loads")}
"""Resources of which each two are tried together, where none does alone."""
BURSTS, PROVISIONING = "bursts", "provisioning"


def limits(probe: Probe, failing: Trial) -> tuple[list[Limit], Seen]:
    """What a failing candidate would do with more of each resource, what helps most first; what it does as it is.

    Where no resource binds alone, also with more of each two (`PAIRED`): what passes one bottleneck piles up at the
    next, so that the first alone may even look worse.
    """
    kind = "gpu" if failing.arm.kind.gpu else "cpu"
    reliefs = [relief for relief in RELIEFS if kind in relief.on]
    if _has_bursts(failing.scenario):
        reliefs.append(Relief(BURSTS, "the same mean rate without bursts", changed=_evenly))
    if failing.arm.autoscales:
        reliefs.append(Relief(PROVISIONING, "instances that join at once", changed=_joining_at_once))
    [before] = probe.see([Variation(trial=failing)], "what limits it")
    found = _relieved(probe, failing, before, reliefs)
    if not before.met and not any(limit.binds for limit, _ in found):
        paired = [relief for relief in reliefs if relief.resource in PAIRED[kind]]
        found = [*_relieved(probe, failing, before, [_both(*pair) for pair in combinations(paired, 2)]), *found]
    return [limit for limit, _ in found], before


def _relieved(probe: Probe, failing: Trial, before: Seen, reliefs: Sequence[Relief]) -> list[tuple[Limit, Relief]]:
    """Each relief, the one that helps most first; those that bind lead."""
    seen = probe.see([Variation(one.changed, one.scaled, failing) for one in reliefs], "what limits it")
    ordered = sorted(zip(reliefs, seen, strict=True), key=lambda pair: max(pair[1].excesses.values()))
    target = before.worst
    return [(Limit(one.resource, one.change, not before.met and after.met, target, before.values[target],
                   after.values[target]), one) for one, after in ordered]


def _both(first: Relief, second: Relief) -> Relief:
    return Relief(f"{first.resource} and {second.resource}", f"{first.change} and {second.change}",
                  {**first.scaled, **second.scaled})


def _has_bursts(scenario: Scenario) -> bool:
    """Whether requests come more unevenly than a Poisson process of their mean rate."""
    workload = scenario.workload
    return bool(workload.surges) or workload.arrivals.use not in (NoArrivals().use, "poisson")


def _evenly(scenario: Scenario) -> Scenario:
    workload = scenario.workload
    mean_rps = float(demand(scenario).rates_rps.sum()) / workload.scale
    arrivals = Poisson(use="poisson", rate_rps=mean_rps)
    return scenario.model_copy(update={"workload": workload.model_copy(update={"arrivals": arrivals, "surges": ()})})


def _joining_at_once(scenario: Scenario) -> Scenario:
    from mmesim.scenario.laws import constant

    provisioning = scenario.endpoint.provisioning.model_copy(update={"time": constant(1.0)})
    return scenario.model_copy(update={"endpoint": scenario.endpoint.model_copy(update={"provisioning": provisioning})})

"""What limits a fleet: its cheaper neighbour, which just fails, with more of one resource at a time.

A resource binds if with more of it alone the neighbour would meet the objective. That is an experiment, not a reading
of utilisations: memory that is full is no limit as long as nothing that matters is pushed out of it. Several may bind
(each of them would do), or none alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmesim.planner.analytic import demand
from mmesim.planner.answer.probe import Probe, Seen, Variation
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
BURSTS, PROVISIONING = "bursts", "provisioning"


def limits(probe: Probe, failing: Trial) -> tuple[list[Limit], Seen]:
    """What a failing candidate would do with more of each resource, what helps most first; what it does as it is."""
    kind = "gpu" if failing.arm.kind.gpu else "cpu"
    asked = [(relief.resource, relief.change, Variation(scaled=relief.scaled, trial=failing))
             for relief in RELIEFS if kind in relief.on]
    if _has_bursts(failing.scenario):
        asked.append((BURSTS, "the same mean rate without bursts", Variation(_evenly, trial=failing)))
    if failing.arm.autoscales:
        asked.append((PROVISIONING, "instances join at once", Variation(_joining_at_once, trial=failing)))
    before, *after = probe.see([Variation(trial=failing), *(one for *_, one in asked)], "what limits it")
    target = before.worst
    found = [(seen.excesses[target], Limit(resource, change, not before.met and seen.met, target, before.values[target],
                                           seen.values[target]))
             for (resource, change, _), seen in zip(asked, after, strict=True)]
    return [limit for _, limit in sorted(found, key=lambda one: (not one[1].binds, one[0]))], before


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

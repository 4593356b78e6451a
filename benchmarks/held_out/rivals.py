"""The baselines: reactive scaling and rules of thumb, as documents tell to set them up.

None is tuned. What a rule asks for (the peak, the working set, a service time) is read from the first part of the
trace, and every baseline gets the plan's instance type, which the planner had to find. LRU, at least one instance, as
many as the plan's space allows.

* GPUUtilization 60, out 200 s, in 600 s: aws-samples and SageMaker's multi-model GPU notebooks (earlier ones:
  GPUMemoryUtilization 75).
* InvocationsPerInstance: MAX_RPS x 0.5 x 60 (SageMaker Developer Guide, endpoint-scaling-loadtest); MAX_RPS is here
  that of one instance with warm models, one request after the other.
* Knative's KPA: KServe's own example for inference, scaleTarget 1 of concurrency, Knative's other values,
  metrics every 10 s.
* Rule of thumb: the memory of the models asked for in the busiest hour over that of an instance, or the busiest hour's
  requests/s x service time / 0.6, whichever is more.
* KServe ModelMesh: its placement, copies and eviction (twin `modelmesh`), with as many instances as the rule of thumb.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from mmesim.planner.analytic import demand
from mmesim.planner.analytic.models import models_of
from mmesim.scenario.schema import Scenario

SAFETY = 0.5
"""Of the load-test rule."""
UTILISATION = 0.6
"""Of the rule of thumb."""
TRACKING = "use: target_tracking, scale_out_cooldown: 200s, scale_in_cooldown: 600s"


@dataclass(frozen=True)
class Rival:
    """A baseline as settings."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """What the rules ask for, of the first part of a trace."""

    for_memory: int
    for_work: int
    max_rps: float
    """Of one instance with warm models, one request after the other."""

    @property
    def instances(self) -> int:
        """Rule of thumb."""
        return max(self.for_memory, self.for_work)


def known(first: Scenario) -> Known:
    """The figures of the rules; `first` is the scenario with the first part and the plan's instance type."""
    asked, models = demand(first), models_of(first)
    service_s = models.batch_s[:, 0] * asked.work
    there = models.bytes[asked.busiest_rps > 0].sum()
    return Known(max(1, ceil(there / (models.memory_bytes - models.base_bytes))),
                 max(1, ceil(float(asked.busiest_rps @ service_s) / UTILISATION)), 1 / float(asked.shares @ service_s))


def rivals(found: Known, most: int) -> Sequence[Rival]:
    """All baselines, each with at most so many instances."""
    fixed = min(found.instances, most)
    busy = f"{{{TRACKING}, metric: GPUUtilization, target: 60}}"
    return (
        Rival(f"fixed {fixed}, rule of thumb", (f"endpoint.instances={fixed}",)),
        _scaled("GPUUtilization 60", 1, most, busy),
        _scaled(f"GPUUtilization 60, at least {fixed}", fixed, most, busy),
        _scaled("GPUMemoryUtilization 75", 1, most, f"{{{TRACKING}, metric: GPUMemoryUtilization, target: 75}}"),
        _scaled(f"InvocationsPerInstance {found.max_rps * SAFETY * 60:.3g}", 1, most,
                f"{{{TRACKING}, metric: InvocationsPerInstance, target: {found.max_rps * SAFETY * 60:.6g}}}"),
        _scaled("Knative KPA, concurrency 1", 1, most, "{use: kpa, target: 1, scale_down_delay: 0s}",
                "endpoint.metrics={period: 10s, publish_delay: 0s}"),
        Rival(f"ModelMesh, fixed {fixed}", ("endpoint.like=modelmesh", f"endpoint.instances={fixed}")))


def _scaled(name: str, least: int, most: int, policy: str, *more: str) -> Rival:
    fleet = f"endpoint.instances={{initial: {least}, min: {least}, max: {most}}}"
    return Rival(name, (fleet, f"endpoint.autoscaling=[{policy}]", *more))

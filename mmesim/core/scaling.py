"""How many instances, and which one leaves: Application Auto Scaling's rules over the scaling policies.

Out if any policy says so, and then the largest number; in only if every policy with an opinion agrees, and then the
largest of their numbers; always within the bounds. Source: Application Auto Scaling user guide, target tracking.
An instance that leaves is the one with the fewest requests in flight, among equals the youngest (assumed).
"""

from __future__ import annotations

from mmesim.core.actions import DrainInstance, SetDesiredInstances, TerminateInstance
from mmesim.core.answers import whole_or_none
from mmesim.core.decisions import ScalingDecision
from mmesim.core.endpoint import Endpoint
from mmesim.core.instance import InstanceState
from mmesim.core.metrics import MetricsHistory, MetricsSight
from mmesim.core.policy import AutoscalingPolicy, WrongAnswer


class Scaling:
    """Desired instances and draining."""

    def __init__(self, endpoint: Endpoint, desired: int) -> None:
        self.endpoint = endpoint
        self.metrics = MetricsHistory(endpoint.spec.min_instances, endpoint.spec.max_instances, desired)
        self.sight = MetricsSight(self.metrics)
        self.drain_deadlines_ns: dict[int, int] = {}

    def decide(self, now_ns: int) -> None:
        """Ask the policies and act on the outcome."""
        policies = self.endpoint.policies.autoscaling
        if not policies:
            return
        metrics = self.metrics
        metrics.in_service = len(self.endpoint.table.serving)
        for policy in policies:
            lower, upper = _bounds(policy, now_ns)
            metrics.min_instances = metrics.min_instances if lower is None else lower
            metrics.max_instances = metrics.max_instances if upper is None else upper
        wishes = {f"{n} {policy.name or type(policy).__name__}": _desired(policy, self.sight, now_ns)
                  for n, policy in enumerate(policies)}
        wanted = max((wish for wish in wishes.values() if wish is not None), default=metrics.desired)
        wanted = min(max(wanted, metrics.min_instances), metrics.max_instances)
        self.endpoint.explain(ScalingDecision(wishes, metrics.desired, wanted))
        if wanted != metrics.desired:
            self._set(wanted, now_ns)

    def _set(self, wanted: int, now_ns: int) -> None:
        reason = f"{'out' if wanted > self.metrics.desired else 'in'} from {self.metrics.desired}"
        self.metrics.desired = wanted
        self.endpoint.do(SetDesiredInstances(wanted, reason))
        excess = len(self.endpoint.table.serving) - wanted
        leaving = sorted(self.endpoint.instances, key=lambda i: (i.outstanding, -i.joined_ns, i.index))
        for instance in leaving[:max(excess, 0)]:
            self.drain(instance, "scale-in", now_ns)

    def drain(self, instance: InstanceState, reason: str, now_ns: int) -> None:
        """Take an instance out of the router's sight; it ends when its last request has."""
        table = self.endpoint.table
        instance.draining = True
        table.instance.draining[instance.index] = 1
        table.set_serving(instance.index, False)
        self.drain_deadlines_ns[instance.index] = now_ns + self.endpoint.spec.drain_timeout_ns
        self.endpoint.do(DrainInstance(instance.index, reason))
        if instance.outstanding == 0:
            self.terminate(instance, "drained", now_ns)

    def terminate(self, instance: InstanceState, reason: str, now_ns: int) -> None:
        """End a drained (or overdue) instance."""
        self.endpoint.do(TerminateInstance(instance.index, reason))
        self.forget(instance, now_ns)

    def forget(self, instance: InstanceState, now_ns: int) -> None:
        """The instance is gone: nothing is resident there any more."""
        table, i = self.endpoint.table, instance.index
        table.set_serving(i, False)
        for model in list(instance.cold):
            table.cold_ended(i, model)
        for model in (*instance.ready, *instance.unloading):
            self.endpoint.policies.gpu_eviction.removed(i, model, now_ns)
        for name in self.endpoint.fleet[i].disk.accounts:
            if isinstance(name, int):
                self.endpoint.policies.disk_eviction.removed(i, name, now_ns)
        table.clear(i)
        self.drain_deadlines_ns.pop(i, None)
        del self.endpoint.fleet[i]

    def overdue(self, now_ns: int) -> list[InstanceState]:
        """Draining instances whose time is up."""
        return [self.endpoint.fleet[i] for i, deadline in self.drain_deadlines_ns.items() if deadline <= now_ns]


def _desired(policy: AutoscalingPolicy, metrics: MetricsSight, now_ns: int) -> int | None:
    return whole_or_none(policy, "desired", policy.desired(metrics, now_ns))


def _bounds(policy: AutoscalingPolicy, now_ns: int) -> tuple[int | None, int | None]:
    answer = policy.bounds(now_ns)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise WrongAnswer(f"{type(policy).__name__}.bounds returned {answer!r}; it may return (min, max)")
    return whole_or_none(policy, "bounds", answer[0]), whole_or_none(policy, "bounds", answer[1])

"""Autoscaling policies of a scenario as Application Auto Scaling knows them, and which of them it does not know.

Request bodies of `put_scaling_policy`, `put_scheduled_action` and CloudWatch's `put_metric_alarm`, without the scalable
target they belong to. Names and meanings: botocore 1.43 (application-autoscaling 2016-02-06), the Application Auto
Scaling user guide (target tracking, step scaling, scheduled scaling). Where AWS leaves no choice - the alarms of target
tracking - a different setting of the scenario is told, not dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, isfinite
from typing import Any

from mmesim.core.metrics import PERCENTILES, PUBLISHED
from mmesim.core.policy import AutoscalingPolicy
from mmesim.planner.deploy.calendar import Schedule, schedule
from mmesim.policies.autoscaling.fixed import Fixed
from mmesim.policies.autoscaling.scheduled import Scheduled
from mmesim.policies.autoscaling.step import StepScaling
from mmesim.policies.autoscaling.target_tracking import TargetTracking
from mmesim.scenario.endpoint import Instances

Body = dict[str, Any]
VARIANT = "AllTraffic"
PER_INSTANCE = frozenset(("CPUUtilization", "MemoryUtilization", "DiskUtilization", "GPUUtilization",
                          "GPUMemoryUtilization", "LoadedModelCount"))
"""Metrics in the namespace ``/aws/sagemaker/Endpoints``; the others are in ``AWS/SageMaker`` (Developer Guide,
monitoring-cloudwatch)."""
PREDEFINED = {("InvocationsPerInstance", "Sum"): "SageMakerVariantInvocationsPerInstance",
              ("ConcurrentRequestsPerModel", "Average"): "SageMakerVariantConcurrentRequestsPerModelHighResolution"}
AGGREGATIONS = ("Average", "Minimum", "Maximum")
ALARM_PERIOD_S = 60
"""Metrics of multi-model endpoints are published each minute."""


@dataclass(frozen=True)
class Scaling:
    """What becomes of a scenario's autoscaling."""

    least: int
    most: int
    initial: int
    policies: tuple[Body, ...] = ()
    """Of `put_scaling_policy`."""
    alarms: tuple[Body, ...] = ()
    """Of `put_metric_alarm`; ``AlarmActions`` names its policy as ``${POLICYARN<number>}``."""
    actions: tuple[Body, ...] = ()
    """Of `put_scheduled_action`."""
    days: tuple[str, ...] = ()
    """Placeholders for calendar days that actions need: ``DAY0``."""
    left_out: tuple[str, ...] = ()
    """Policies that AWS does not offer."""
    notes: tuple[str, ...] = ()
    """What AWS does differently."""

    @property
    def is_fixed(self) -> bool:
        """True when nothing ever changes the number of instances."""
        return not self.policies and not self.actions


def scaling(policies: Sequence[AutoscalingPolicy], instances: Instances, endpoint: str) -> Scaling:
    """What Application Auto Scaling is told about the variant `VARIANT` of this endpoint."""
    found = Scaling(instances.min, instances.max, instances.initial)
    for policy in policies:
        found = _CARRY.get(type(policy), _not_carried)(found, policy, endpoint)
    if found.is_fixed:
        fixed = next((policy.instances for policy in policies if isinstance(policy, Fixed)), found.initial)
        found = replace(found, initial=fixed)
    return replace(found, initial=min(max(found.initial, found.least), found.most))


def number_of(policy: Body) -> int:
    """The number behind a policy's ``${POLICYARN<number>}``."""
    return int(policy["PolicyName"].rpartition("-")[2])


def _not_carried(found: Scaling, policy: Any, endpoint: str) -> Scaling:
    return replace(found, left_out=(*found.left_out, f"autoscaling {policy.name or type(policy).__name__}: Application "
                                                     "Auto Scaling has no such policy for SageMaker"))


def _fixed(found: Scaling, policy: Fixed, endpoint: str) -> Scaling:
    """The largest wish wins, so a fixed number beside other policies is a floor."""
    return replace(found, least=min(max(found.least, policy.instances), found.most))


def _target_tracking(found: Scaling, policy: TargetTracking, endpoint: str) -> Scaling:
    body = {"PolicyName": _name(found, endpoint), "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": float(policy.target), **_metric_specification(policy, endpoint),
                "ScaleOutCooldown": ceil(policy.scale_out_cooldown_s),
                "ScaleInCooldown": ceil(policy.scale_in_cooldown_s), "DisableScaleIn": policy.disable_scale_in}}
    given = (policy.out_datapoints, policy.in_datapoints, policy.in_fraction)
    note = (f"target tracking on {policy.metric}: its alarms are AWS's own (3 datapoints above the target, 15 below "
            f"0.9 of it, as found in created alarms), the plan used {given[0]}, {given[1]} and {given[2]:g}")
    return replace(found, policies=(*found.policies, body),
                   notes=found.notes if given == (3, 15, 0.9) else (*found.notes, note))


def _metric_specification(policy: TargetTracking, endpoint: str) -> Body:
    statistic = policy.statistic or PUBLISHED[policy.metric][0]
    if predefined := PREDEFINED.get((policy.metric, statistic)):
        return {"PredefinedMetricSpecification": {"PredefinedMetricType": predefined}}
    metric = _metric(policy.metric, endpoint)
    if statistic not in PERCENTILES:
        return {"CustomizedMetricSpecification": {**metric, "Statistic": statistic}}
    query = {"Id": "m1", "MetricStat": {"Metric": metric, "Stat": statistic}, "ReturnData": True}
    return {"CustomizedMetricSpecification": {"Metrics": [query]}}


def _metric(name: str, endpoint: str) -> Body:
    """A variant's metric in CloudWatch. (The dimension is VariantName; the guide's GPU example with ModelName is not
    what endpoints publish.)"""
    return {"MetricName": name, "Namespace": "/aws/sagemaker/Endpoints" if name in PER_INSTANCE else "AWS/SageMaker",
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": VARIANT}]}


def _step(found: Scaling, policy: StepScaling, endpoint: str) -> Scaling:
    bands = list(_bands(policy))
    if policy.adjustment == "exact_capacity" and any(filled for *_, filled in bands):
        reason = "its steps leave gaps, which ExactCapacity cannot express"
        return replace(found, left_out=(*found.left_out, f"autoscaling step on {policy.metric}: {reason}"))
    body = {"PolicyName": _name(found, endpoint), "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": _step_configuration(policy, bands)}
    alarm = _alarm(policy, endpoint, body)
    return replace(found, policies=(*found.policies, body), alarms=(*found.alarms, alarm))


def _step_configuration(policy: StepScaling, bands: Sequence[tuple[float, float, int, bool]]) -> Body:
    words = policy.adjustment.split("_")
    aggregation = policy.statistic if policy.statistic in AGGREGATIONS else "Average"
    configuration = {"AdjustmentType": "".join(map(str.capitalize, words)), "MetricAggregationType": aggregation,
                     "Cooldown": ceil(policy.cooldown_s), "StepAdjustments": [_adjustment(*band) for band in bands]}
    if policy.adjustment == "percent_change_in_capacity":
        configuration["MinAdjustmentMagnitude"] = policy.min_adjustment
    return configuration


def _adjustment(lower: float, upper: float, add: int, filled: bool) -> Body:
    bounds = {"MetricIntervalLowerBound": lower, "MetricIntervalUpperBound": upper}
    return {**{name: bound for name, bound in bounds.items() if isfinite(bound)}, "ScalingAdjustment": add}


def _bands(policy: StepScaling) -> Iterator[tuple[float, float, int, bool]]:
    """(lower, upper, adjustment, filled) on the alarm's side of its threshold, without gaps, which AWS refuses: where
    the policy says nothing, 0 is added."""
    edge, end = (0.0, inf) if policy.comparison == "above" else (-inf, 0.0)
    for step in sorted(policy.steps, key=lambda step: step.bounds):
        lower, upper = max(step.bounds[0], edge), min(step.bounds[1], end)
        if lower < upper:
            if lower > edge:
                yield edge, lower, 0, True
            yield lower, upper, step.add, False
            edge = upper
    if edge < end:
        yield edge, end, 0, True


def _alarm(policy: StepScaling, endpoint: str, body: Body) -> Body:
    statistic = "ExtendedStatistic" if policy.statistic in PERCENTILES else "Statistic"
    side = "Greater" if policy.comparison == "above" else "Less"
    return {"AlarmName": body["PolicyName"], **_metric(policy.metric, endpoint), statistic: policy.statistic,
            "Period": ALARM_PERIOD_S, "EvaluationPeriods": policy.datapoints, "DatapointsToAlarm": policy.datapoints,
            "Threshold": float(policy.threshold), "ComparisonOperator": f"{side}ThanThreshold",
            "TreatMissingData": "notBreaching", "AlarmActions": [f"${{POLICYARN{number_of(body)}}}"]}


def _scheduled(found: Scaling, policy: Scheduled, endpoint: str) -> Scaling:
    """What holds at the start becomes the bounds, the rest scheduled actions."""
    least, most = policy.bounds(0)
    later = [action for action in policy.actions if action.at_s or action.every_s]
    made = [(action, schedule(action.at_s, action.every_s)) for action in later]
    bodies = [_action(f"{endpoint}-action-{len(found.actions) + n + 1}", plan, action.min, action.max)
              for n, (action, plan) in enumerate(made)]
    days = tuple(dict.fromkeys((*found.days, *(plan.day for _, plan in made if plan.day))))
    return replace(found, least=found.least if least is None else least, most=found.most if most is None else most,
                   actions=(*found.actions, *bodies), days=days,
                   notes=(*found.notes, *dict.fromkeys(plan.note for _, plan in made if plan.note)))


def _action(name: str, plan: Schedule, least: int | None, most: int | None) -> Body:
    target = {"MinCapacity": least, "MaxCapacity": most}
    start = {"StartTime": plan.start} if plan.start else {}
    return {"ScheduledActionName": name, "Schedule": plan.expression, "Timezone": "UTC", **start,
            "ScalableTargetAction": {key: bound for key, bound in target.items() if bound is not None}}


def _name(found: Scaling, endpoint: str) -> str:
    return f"{endpoint}-policy-{len(found.policies) + 1}"


_CARRY: dict[type, Any] = {Fixed: _fixed, TargetTracking: _target_tracking, StepScaling: _step, Scheduled: _scheduled}

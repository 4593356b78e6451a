"""Target tracking scaling."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar

from mmesim.core.policy import AutoscalingPolicy, MetricsView
from mmesim.policies.autoscaling.alarms import Cooldown, breached, check_metric
from mmesim.policies.checks import above_zero, at_least

ROUNDING = 1e-9
"""Keeps ceil(3 * (2 / 3)) at 2."""


@dataclass
class TargetTracking(AutoscalingPolicy):
    """Keeps a metric near a target by changing capacity in proportion, as Application Auto Scaling does.

    *Out* when `out_datapoints` datapoints in a row lie above the target: to ceil(instances in service * newest
    datapoint / target). *In* when `in_datapoints` in a row lie below `in_fraction` of it: to ceil(instances in
    service * highest of them / target), so that removing instances would not have pushed any of these datapoints
    above the target. Between the two the number stays. Cooldowns: :mod:`mmesim.policies.autoscaling.alarms`. No
    datapoint at all: no opinion. Sources: Application Auto Scaling user guide, target tracking; the alarms' 3 and 15
    datapoints and 0.9 as found in created alarms; the proportional formula is assumed, it is not published.
    """

    name: ClassVar[str] = "target_tracking"

    metric: str
    """CloudWatch name, e.g. GPUUtilization or InvocationsPerInstance."""
    target: float
    """The value to keep; of a Sum: per minute, whatever the metrics' period."""
    statistic: str | None = None
    """null: Sum for InvocationsPerInstance, Average for any other."""
    scale_out_cooldown_s: float = 300.0
    """After a scale-out only a larger one adds instances for so long."""
    scale_in_cooldown_s: float = 300.0
    """After a scale-in no other for so long."""
    out_datapoints: int = 3
    """Datapoints above the target that make it scale out."""
    in_datapoints: int = 15
    """Datapoints below in_fraction of the target that make it scale in."""
    in_fraction: float = 0.9
    """Of the target: the scale-in alarm's threshold."""
    disable_scale_in: bool = False
    """true: never asks for fewer instances, nor keeps others from it."""
    _cooldown: Cooldown = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        above_zero(target=self.target, in_fraction=self.in_fraction)
        at_least(1, out_datapoints=self.out_datapoints, in_datapoints=self.in_datapoints)
        at_least(0, scale_out_cooldown=self.scale_out_cooldown_s, scale_in_cooldown=self.scale_in_cooldown_s)
        if self.in_fraction > 1:
            raise ValueError(f"in_fraction is {self.in_fraction:g}; above 1 both alarms would ring at once")
        check_metric(self.metric, self._statistic)
        self._cooldown = Cooldown(self.scale_out_cooldown_s, self.scale_in_cooldown_s)

    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """More, fewer or the present number; None without data, and instead of fewer with `disable_scale_in`."""
        self._cooldown.observe(metrics, now_ns)
        points = self._datapoints(metrics)
        if all(value is None for value in points):
            return None
        if breached(points, self.out_datapoints, lambda value: value > self.target):
            return max(metrics.desired, self._more(points, metrics, now_ns))
        if self.disable_scale_in:
            return None
        if self._cooldown.cooling_in(now_ns) or not breached(points, self.in_datapoints, self._is_low):
            return metrics.desired
        highest = max(value for value in points[-self.in_datapoints:] if value is not None)
        return min(metrics.desired, self._needed(metrics.in_service, highest))

    @property
    def _statistic(self) -> str:
        return self.statistic or ("Sum" if self.metric == "InvocationsPerInstance" else "Average")

    def _datapoints(self, metrics: MetricsView) -> list[float | None]:
        points = metrics.datapoints(self.metric, self._statistic, max(self.out_datapoints, self.in_datapoints))
        per_minute = 60 / metrics.period_s if self._statistic == "Sum" else 1.0
        return [None if value is None else value * per_minute for value in points]

    def _is_low(self, value: float) -> bool:
        return value < self.in_fraction * self.target

    def _needed(self, instances: int, value: float) -> int:
        """Instances that would bring the metric from `value` to the target, the load being what it is."""
        return ceil(instances * value / self.target - ROUNDING)

    def _more(self, points: list[float | None], metrics: MetricsView, now_ns: int) -> int:
        newest = points[-1]
        assert newest is not None, "a breached alarm has data"
        added = self._needed(metrics.in_service, newest) - metrics.in_service
        return min(self._cooldown.base(metrics, now_ns), metrics.in_service) + added

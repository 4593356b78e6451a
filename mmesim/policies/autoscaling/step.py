"""Step scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, Literal

from mmesim.core.policy import AutoscalingPolicy, MetricsView
from mmesim.policies.autoscaling.alarms import Cooldown, breached, check_metric
from mmesim.policies.checks import at_least


@dataclass(frozen=True)
class Step:
    """One band of the metric, relative to the threshold, and what to do in it."""

    add: int
    """Instances or percent to add, negative to remove; with exact_capacity the number of instances."""
    from_: float | None = None
    """Lower bound of metric - threshold; null: none."""
    to: float | None = None
    """Upper bound of metric - threshold; null: none."""

    @property
    def bounds(self) -> tuple[float, float]:
        """(lower, upper), infinite where open."""
        return (-inf if self.from_ is None else self.from_, inf if self.to is None else self.to)


@dataclass
class StepScaling(AutoscalingPolicy):
    """Fixed adjustments for bands of the breach, as Application Auto Scaling's step scaling does.

    In alarm when `datapoints` datapoints in a row lie beyond the threshold; the newest chooses the step. A step's lower
    bound belongs to it and its upper does not; with `comparison: below` the other way round. Cooldowns:
    :mod:`mmesim.policies.autoscaling.alarms`. Not in alarm, or no step for the value: no opinion. Source: Application
    Auto Scaling user guide, step scaling (adjustment types, rounding, MinAdjustmentMagnitude).
    """

    name: ClassVar[str] = "step"

    metric: str
    """CloudWatch name, e.g. GPUUtilization."""
    threshold: float
    """The alarm's threshold; steps are relative to it."""
    steps: tuple[Step, ...]
    """Bands that do not overlap: add, and the bounds from and to."""
    statistic: str = "Average"
    """Average, Sum (of one period), Minimum, Maximum, SampleCount or a percentile such as p99."""
    datapoints: int = 3
    """Datapoints beyond the threshold that make the alarm."""
    comparison: Literal["above", "below"] = "above"
    """Side of the threshold that is bad."""
    cooldown_s: float = 300.0
    """After a scale-out only a larger one adds instances, after a scale-in no other, for so long."""
    adjustment: Literal["change_in_capacity", "exact_capacity", "percent_change_in_capacity"] = "change_in_capacity"
    """What `add` means."""
    min_adjustment: int = 1
    """Least instances that a percentage changes (MinAdjustmentMagnitude)."""
    _cooldown: Cooldown = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at_least(1, datapoints=self.datapoints, min_adjustment=self.min_adjustment)
        at_least(0, cooldown=self.cooldown_s)
        check_metric(self.metric, self.statistic)
        _check_steps(self.steps)
        if self.min_adjustment > 1 and self.adjustment != "percent_change_in_capacity":
            raise ValueError(f"min_adjustment is {self.min_adjustment}; it counts with percent_change_in_capacity only")
        if self.adjustment == "exact_capacity" and min(step.add for step in self.steps) < 0:
            raise ValueError("steps have a negative add; with exact_capacity it is the number of instances")
        self._cooldown = Cooldown(self.cooldown_s, self.cooldown_s)

    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """The number after the step's adjustment, None outside the alarm."""
        self._cooldown.observe(metrics, now_ns)
        points = metrics.datapoints(self.metric, self.statistic, self.datapoints)
        if not breached(points, self.datapoints, self._is_beyond):
            return None
        newest = points[-1]
        assert newest is not None, "a breached alarm has data"
        step = self._step_for(newest - self.threshold)
        return None if step is None else self._adjusted(step, metrics, now_ns)

    def _is_beyond(self, value: float) -> bool:
        return value > self.threshold if self.comparison == "above" else value < self.threshold

    def _step_for(self, breach: float) -> Step | None:
        for step in self.steps:
            lower, upper = step.bounds
            inside = lower <= breach < upper if self.comparison == "above" else lower < breach <= upper
            if inside:
                return step
        return None

    def _adjusted(self, step: Step, metrics: MetricsView, now_ns: int) -> int:
        present = metrics.desired
        wanted = max(0, self._apply(step.add, present))
        if wanted < present:
            return present if self._cooldown.cooling_in(now_ns) else wanted
        return max(present, self._apply(step.add, self._cooldown.base(metrics, now_ns)))

    def _apply(self, add: int, capacity: int) -> int:
        if self.adjustment == "exact_capacity":
            return add
        if self.adjustment == "change_in_capacity":
            return capacity + add
        return capacity + percent_change(capacity, add, self.min_adjustment)


def percent_change(capacity: int, percent: int, least: int) -> int:
    """Instances that a percentage stands for: beyond one instance rounded toward 0, less than one counts as one, and at
    least `least`."""
    change = capacity * percent / 100
    size = max(int(abs(change)), 1, least) if change else 0
    return size if change > 0 else -size


def _check_steps(steps: Sequence[Step]) -> None:
    if not steps:
        raise ValueError("steps is empty; write at least one, e.g. {from: 0, add: 1}")
    edge = -inf
    for lower, upper in sorted(step.bounds for step in steps):
        if not lower < upper:
            raise ValueError(f"steps has a step from {lower:g} to {upper:g}; from must lie below to")
        if lower < edge:
            raise ValueError(f"steps overlap between {lower:g} and {min(edge, upper):g}")
        edge = upper

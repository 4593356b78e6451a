"""Staffing for the load to come."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from math import ceil, exp, sqrt
from typing import ClassVar

from mmesim.core.policy import AutoscalingPolicy, MetricsView
from mmesim.policies.checks import above_zero, at_least
from mmesim.units import ns

ROUNDING = 1e-9
"""Keeps ceil(0.3 / 0.1) at 3."""


@dataclass
class ForecastStaffing(AutoscalingPolicy):
    """Instances for the load that is forecast for the time when they would be there, by the square-root rule.

    c = ceil(R + beta · sqrt(R)), R the offered load in instances: requests per second / `instance_rps`. With many
    instances beta sets the share of requests that must wait (Halfin and Whitt 1981): 0.5: 50 %, 1: 22 %, 1.5: 8 %,
    2: 3 %. R is the highest that is forecast from now until `lead` from now, since instances come late but leave at
    once. The forecast is the larger of *seasonal naive*, the smoothed rate of one `season` before, and *level plus
    trend* (Holt 1957, exponential smoothing over `level` and `trend`). Fewer instances only when that was so for
    `stabilization`, Kubernetes HPA's rule. MArk (ATC '19) shows why to forecast: an instance takes minutes to start.

    *Helps* where the same hour comes every day (no errors, target tracking 9.8 %, for a seventh more money); *hurts*
    where the load changes slowly: 46 to 84 % dearer than target tracking for nothing. Figures: docs/policies-built-in.
    """

    name: ClassVar[str] = "forecast_staffing"

    instance_rps: float
    """Requests a second that one instance can serve."""
    beta: float = 1.0
    """Instances beyond the load, in square roots of it."""
    lead_s: float = 360.0
    """From a decision to an instance in service."""
    season_s: float = 86400.0
    """After which the load repeats; 0: it does not."""
    level_s: float = 120.0
    """Time constant of the smoothed rate."""
    trend_s: float = 600.0
    """Time constant of its trend."""
    stabilization_s: float = 300.0
    """A smaller number counts when it has been wanted for so long."""
    _level_rps: float | None = field(init=False, repr=False, compare=False, default=None)
    _trend_rps: float = field(init=False, repr=False, compare=False, default=0.0)
    """Change of the rate per second."""
    _times_ns: list[int] = field(init=False, repr=False, compare=False, default_factory=list)
    _levels_rps: list[float] = field(init=False, repr=False, compare=False, default_factory=list)
    """The level at each of these times, for the next season."""
    _answers: deque[tuple[int, int]] = field(init=False, repr=False, compare=False, default_factory=deque)
    """(time, instances) of the last `stabilization_s`."""

    def __post_init__(self) -> None:
        above_zero(instance_rps=self.instance_rps, level=self.level_s, trend=self.trend_s)
        at_least(0, beta=self.beta, lead=self.lead_s, season=self.season_s, stabilization=self.stabilization_s)

    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """The largest number of the last `stabilization_s`; None without data."""
        newest = metrics.datapoints("Invocations", "Sum", 1)
        if not newest or newest[0] is None:
            return None
        self._smooth(newest[0] / metrics.period_s, metrics.period_s)
        load = self._forecast_rps(now_ns) / self.instance_rps
        self._remember(now_ns)
        self._answers.append((now_ns, ceil(load + self.beta * sqrt(load) - ROUNDING)))
        while self._answers[0][0] < now_ns - ns(self.stabilization_s):
            self._answers.popleft()
        return max(instances for _, instances in self._answers)

    def _smooth(self, rate_rps: float, period_s: float) -> None:
        """Holt's linear method; the first rate is the first level."""
        if self._level_rps is None:
            self._level_rps = rate_rps
            return
        before = self._level_rps
        expected = before + self._trend_rps * period_s
        self._level_rps = max(0.0, expected + (1 - exp(-period_s / self.level_s)) * (rate_rps - expected))
        slope = (self._level_rps - before) / period_s
        self._trend_rps += (1 - exp(-period_s / self.trend_s)) * (slope - self._trend_rps)

    def _forecast_rps(self, now_ns: int) -> float:
        """The highest rate from now until the lead is over."""
        assert self._level_rps is not None
        start_ns = now_ns - ns(self.season_s)
        first = bisect_left(self._times_ns, start_ns)
        last = bisect_right(self._times_ns, start_ns + ns(self.lead_s))
        known = self._levels_rps[first:last] if self.season_s > 0 else []
        return max([self._level_rps, self._level_rps + self._trend_rps * self.lead_s, *known])

    def _remember(self, now_ns: int) -> None:
        """Keep the level for the next season, and forget what is older than one."""
        assert self._level_rps is not None
        if self.season_s > 0:
            self._times_ns.append(now_ns)
            self._levels_rps.append(self._level_rps)
            old = bisect_left(self._times_ns, now_ns - ns(self.season_s))
            del self._times_ns[:old], self._levels_rps[:old]

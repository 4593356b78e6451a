"""What target tracking and step scaling share: CloudWatch alarms, and cooldowns of scaling activities.

*Alarm*: n of n datapoints beyond a threshold; a missing datapoint is not beyond. *Cooldown* (Application Auto Scaling
user guide): after a scale-out, capacity already being added counts, so that within the cooldown only a larger
scale-out adds to it; after a scale-in the next waits, unless a scale-out cuts the cooldown short. Activities are read
off the desired number, whichever policy caused them, so that a wish that was outvoted starts no cooldown. Assumed: a
cooldown runs from the decision, and after a scale-out at least until the new instances are in service, since
SageMaker does not change an endpoint that is being changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmesim.core.metrics import PUBLISHED
from mmesim.core.policy import MetricsView
from mmesim.errors import alternatives
from mmesim.units import ns


def check_metric(metric: str, statistic: str) -> None:
    """Raises ValueError for what is never published: a policy that waits for it would be silently without opinion."""
    if metric not in PUBLISHED:
        raise ValueError(f"metric is {metric!r}; {alternatives(metric, PUBLISHED, most=len(PUBLISHED))}")
    if statistic not in PUBLISHED[metric]:
        raise ValueError(f"statistic is {statistic!r}; {metric} has {', '.join(PUBLISHED[metric])}")


def breached(points: Sequence[float | None], n: int, beyond: Callable[[float], bool]) -> bool:
    """True when the newest `n` datapoints are all there and all beyond."""
    return len(points) >= n and all(value is not None and beyond(value) for value in points[-n:])


@dataclass
class Cooldown:
    """Times until which a policy holds back, read off the desired number at each publication."""

    out_s: float
    in_s: float
    _desired: int | None = None
    """Desired instances when last asked."""
    _asked_ns: int = 0
    _before: int = 0
    """Capacity before the scale-out whose cooldown runs."""
    _adding: bool = False
    _out_until_ns: int = 0
    _in_until_ns: int = 0

    def observe(self, metrics: MetricsView, now_ns: int) -> None:
        """Note what became of the last decisions; a change since the last publication happened then."""
        desired, before = metrics.desired, self._desired
        if before is not None and desired > before:
            if not self._cooling_out(self._asked_ns):
                self._before = before
            self._adding, self._out_until_ns, self._in_until_ns = True, self._asked_ns + ns(self.out_s), 0
        elif before is not None and desired < before:
            self._in_until_ns = self._asked_ns + ns(self.in_s)
        self._adding = self._adding and metrics.in_service < desired
        self._desired, self._asked_ns = desired, now_ns

    def base(self, metrics: MetricsView, now_ns: int) -> int:
        """The capacity a scale-out starts from: during a cooldown what there was before it, so that what is being
        added counts."""
        return self._before if self._cooling_out(now_ns) else metrics.desired

    def cooling_in(self, now_ns: int) -> bool:
        """True while no scale-in may follow the last one."""
        return now_ns < self._in_until_ns

    def _cooling_out(self, now_ns: int) -> bool:
        return self._adding or now_ns < self._out_until_ns

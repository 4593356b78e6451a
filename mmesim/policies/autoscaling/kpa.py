"""Knative's pod autoscaler, over instances."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import ClassVar

from mmesim.core.policy import AutoscalingPolicy, MetricsView
from mmesim.policies.checks import above_zero, at_least
from mmesim.units import ns

ROUNDING = 1e-9
"""Keeps ceil(0.7 * 3 / 0.7) at 3."""


@dataclass
class Kpa(AutoscalingPolicy):
    """Instances for the requests in flight; when they double within seconds it panics and only ever adds.

    Knative's rules (knative/serving, pkg/autoscaler/scaling/autoscaler.go): wanted = ceil(requests in flight /
    (target · utilization)), of their mean over `stable_window` and over its last `panic_fraction`; each at most
    `max_up_rate` times and at least 1/`max_down_rate` of the instances in service. *Panic* begins when the short window
    wants `panic_threshold` times what is in service: then the larger of the two counts, and never fewer than before;
    it ends when that was not so for a whole stable window. It begins in panic when more than one instance serves, so
    that it keeps them until it has seen a window. What it says is the largest of its answers of the last
    `scale_down_delay`.

    Requests in flight are ``ConcurrentRequestsPerModel`` times the instances in service. A window has at least one
    datapoint: with a metrics period of 60 s both windows are the last minute, and a rise is seen a minute late; Knative
    samples each second, so set ``metrics.period`` to 10s or less. Left out: scaling to zero, the activator and its
    burst capacity, which an endpoint does not have.

    *Helps* in a flash crowd with a long `scale_down_delay` (no errors, target tracking 8 %, at twice the price);
    without it gives up instances that take minutes to start and is overrun again. Figures: docs/policies-built-in.
    """

    name: ClassVar[str] = "kpa"

    target: float
    """Requests in flight that one instance takes (Knative's containerConcurrency or target)."""
    utilization_fraction: float = 0.7
    """Of the target, what is aimed at."""
    stable_window_s: float = 60.0
    """Time over which requests in flight are averaged; a panic lasts at least as long."""
    panic_fraction: float = 0.1
    """Of the stable window: the panic window."""
    panic_threshold: float = 2.0
    """Panic when the panic window wants so many times the instances in service."""
    max_up_rate: float = 1000.0
    """Most instances wanted, relative to those in service."""
    max_down_rate: float = 2.0
    """The fewest instances wanted are those in service divided by this."""
    scale_down_delay_s: float = 0.0
    """A smaller number counts when it has been wanted for so long."""
    _in_flight: deque[float | None] = field(init=False, repr=False, compare=False)
    """At each publication, newest last."""
    _answers: deque[tuple[int, int]] = field(init=False, repr=False, compare=False, default_factory=deque)
    """(time, instances) of the last `scale_down_delay_s`."""
    _panic_ns: int | None = field(init=False, repr=False, compare=False, default=None)
    """Last time over the panic threshold; None: no panic."""
    _panic_instances: int = field(init=False, repr=False, compare=False, default=0)
    _asked: bool = field(init=False, repr=False, compare=False, default=False)

    def __post_init__(self) -> None:
        above_zero(target=self.target, utilization_fraction=self.utilization_fraction,
                   stable_window=self.stable_window_s, panic_fraction=self.panic_fraction)
        at_least(1, panic_threshold=self.panic_threshold, max_up_rate=self.max_up_rate,
                 max_down_rate=self.max_down_rate)
        at_least(0, scale_down_delay=self.scale_down_delay_s)
        if self.panic_fraction > 1:
            raise ValueError(f"panic_fraction is {self.panic_fraction:g}; the panic window is part of the stable one")
        self._in_flight = deque(maxlen=ceil(self.stable_window_s))

    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """The stable number, or in panic the largest since it began; None without data in the stable window."""
        self._observe(metrics, now_ns)
        stable = self._mean(self.stable_window_s, metrics)
        panic = self._mean(self.stable_window_s * self.panic_fraction, metrics)
        if stable is None:
            return None
        ready = max(1, metrics.in_service)
        short = self._needed(panic or 0.0)
        self._mind_panic(short / ready >= self.panic_threshold, now_ns)
        wanted = self._within(self._needed(stable), ready)
        if self._panic_ns is not None:
            self._panic_instances = wanted = max(wanted, self._within(short, ready), self._panic_instances)
        return self._delayed(wanted, now_ns)

    def _observe(self, metrics: MetricsView, now_ns: int) -> None:
        newest = metrics.datapoints("ConcurrentRequestsPerModel", "Average", 1)
        value = newest[0] if newest else None
        self._in_flight.append(None if value is None else value * metrics.in_service)
        if not self._asked and metrics.in_service > 1:
            self._panic_ns, self._panic_instances = now_ns, metrics.in_service
        self._asked = True

    def _mean(self, window_s: float, metrics: MetricsView) -> float | None:
        """Mean requests in flight of a window, at least of one datapoint; None without data."""
        n = max(1, round(window_s / metrics.period_s))
        return _mean([value for value in list(self._in_flight)[-n:] if value is not None])

    def _needed(self, in_flight: float) -> int:
        return ceil(in_flight / (self.target * self.utilization_fraction) - ROUNDING)

    def _within(self, instances: int, ready: int) -> int:
        """Not too many more, not too many fewer than are in service."""
        return min(max(instances, floor(ready / self.max_down_rate)), ceil(self.max_up_rate * ready))

    def _mind_panic(self, over: bool, now_ns: int) -> None:
        if over:
            self._panic_ns = now_ns
        elif self._panic_ns is not None and self._panic_ns + ns(self.stable_window_s) < now_ns:
            self._panic_ns, self._panic_instances = None, 0

    def _delayed(self, wanted: int, now_ns: int) -> int:
        """The largest answer of the delay."""
        self._answers.append((now_ns, wanted))
        while self._answers[0][0] < now_ns - ns(self.scale_down_delay_s):
            self._answers.popleft()
        return max(instances for _, instances in self._answers)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

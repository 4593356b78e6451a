"""Published metrics, as autoscaling policies see them: the last periods, nothing newer; and how a period's samples
become published values, ``Name.Statistic``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from mmesim.core.types import Failure

_OF_SAMPLES = ("Average", "Sum", "Minimum", "Maximum", "SampleCount")
_OF_REQUESTS = ("Average", "Sum", "SampleCount")
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""CloudWatch's percentile statistics that `ModelLatency` has, as fractions."""
PUBLISHED = {
    "Invocations": ("Sum",), "InvocationsPerInstance": ("Sum",), "ConcurrentRequestsPerModel": ("Average",),
    **dict.fromkeys(("OverheadLatency", "ModelLoadingWaitTime", "ModelCacheHit", "Invocation4XXErrors",
                     "Invocation5XXErrors", "InvocationModelErrors"), _OF_REQUESTS),
    **dict.fromkeys(("CPUUtilization", "MemoryUtilization", "DiskUtilization", "GPUUtilization", "GPUMemoryUtilization",
                     "LoadedModelCount", "ModelDownloadingTime", "ModelLoadingTime", "ModelUnloadingTime"),
                    _OF_SAMPLES),
    "ModelLatency": (*_OF_REQUESTS, *PERCENTILES)}
"""CloudWatch names a policy can ask for, and the statistics of each."""
Values = dict[str, float]
NS_PER_US = 1000
HISTORY_PERIODS = 1440
"""Periods kept: a day of one-minute datapoints."""


def statistics(name: str, samples: Iterable[float]) -> Values:
    """Average, Sum, Minimum, Maximum and SampleCount of a metric; nothing without samples."""
    values = list(samples)
    if not values:
        return {}
    total = float(sum(values))
    return {f"{name}.Average": total / len(values), f"{name}.Sum": total, f"{name}.Minimum": float(min(values)),
            f"{name}.Maximum": float(max(values)), f"{name}.SampleCount": float(len(values))}


def mean_of(name: str, total: float, count: int) -> Values:
    """Average, Sum and SampleCount of a metric whose samples are only known as a sum; nothing without samples."""
    if not count:
        return {}
    return {f"{name}.Average": total / count, f"{name}.Sum": float(total), f"{name}.SampleCount": float(count)}


def error_counts(failures: Sequence[int], invocations: int) -> Values:
    """The error metrics of a period; `failures`: how many ended so, by `Failure`."""
    def count(matches: Callable[[int], bool]) -> int:
        return sum(failures[kind] for kind in Failure if kind and matches(kind.http_status))

    return {**mean_of("Invocation4XXErrors", count(lambda status: 400 <= status < 500), invocations),
            **mean_of("Invocation5XXErrors", count(lambda status: status >= 500), invocations),
            **mean_of("InvocationModelErrors", count(lambda status: status == 424), invocations)}


class MetricsHistory:
    """What CloudWatch has published, and the capacity bounds."""

    def __init__(self, min_instances: int, max_instances: int, desired: int) -> None:
        self.min_instances = min_instances
        self.max_instances = max_instances
        self.desired = desired
        self.in_service = 0
        self.period_s = 60.0
        self._periods: deque[Mapping[str, float]] = deque(maxlen=HISTORY_PERIODS)
        self._last_end_ns = 0

    def publish(self, period_end_ns: int, values: Mapping[str, float]) -> None:
        """Append one period."""
        if self._periods:
            self.period_s = (period_end_ns - self._last_end_ns) / 1e9
        self._last_end_ns = period_end_ns
        self._periods.append(values)

    def datapoints(self, metric: str, statistic: str, n: int) -> list[float | None]:
        """The last `n` periods, oldest first; None where the metric had no data; fewer at the start."""
        key = f"{metric}.{statistic}"
        recent = len(self._periods) - n
        return [self._periods[k].get(key) for k in range(max(0, recent), len(self._periods))]


class MetricsSight:
    """A `MetricsView` of the history: nothing can be set through it."""

    __slots__ = ("_of",)

    def __init__(self, of: MetricsHistory) -> None:
        self._of = of

    @property
    def period_s(self) -> float:
        """`MetricsView.period_s`."""
        return self._of.period_s

    @property
    def desired(self) -> int:
        """`MetricsView.desired`."""
        return self._of.desired

    @property
    def in_service(self) -> int:
        """`MetricsView.in_service`."""
        return self._of.in_service

    @property
    def min_instances(self) -> int:
        """`MetricsView.min_instances`."""
        return self._of.min_instances

    @property
    def max_instances(self) -> int:
        """`MetricsView.max_instances`."""
        return self._of.max_instances

    def datapoints(self, metric: str, statistic: str, n: int) -> list[float | None]:
        """`MetricsView.datapoints`."""
        return self._of.datapoints(metric, statistic, n)

"""The metrics page of a live endpoint, in Prometheus' text format.

* ``aws_sagemaker_*`` and ``_aws_sagemaker_endpoints_*``: the last period's CloudWatch values under the names that
  Prometheus' own exporter gives those of a real endpoint (github.com/prometheus/cloudwatch_exporter), so that one
  dashboard shows both. Gauges; microseconds and percent as in CloudWatch.
* ``mmesim_*``: counters since the start, and a histogram of latencies in seconds by where the model was.
* ``nv_*``: Triton's own, added up over a server's models, with the label `server`: the number of its slot.
* ``process_*`` and ``python_*``: this program.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from prometheus_client import GC_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UntypedMetricFamily,
)

from mmesim.core.types import Failure, Tier
from mmesim.live.meter import Meter
from mmesim.results.sketch import count_within

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram's buckets."""
ENDPOINTS = frozenset(("CPUUtilization", "MemoryUtilization", "DiskUtilization", "GPUUtilization",
                       "GPUMemoryUtilization", "LoadedModelCount"))
"""Of CloudWatch's namespace /aws/sagemaker/Endpoints; the others are of AWS/SageMaker."""
VARIANT = "AllTraffic"
"""SageMaker's own default name of a variant."""


def page(meter: Meter) -> bytes:
    """The whole page."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(meter))
    registry.register(PROCESS_COLLECTOR)
    registry.register(GC_COLLECTOR)
    return generate_latest(registry)


def exporter_name(key: str) -> str:
    """The name of ``Metric.Statistic`` in Prometheus' CloudWatch exporter."""
    metric, _, statistic = key.partition(".")
    namespace = "/aws/sagemaker/Endpoints" if metric in ENDPOINTS else "AWS/SageMaker"
    snake = re.sub("([a-z0-9])([A-Z])", r"\1_\2", f"{namespace.lower()}_{metric}_").lower() + _snake(statistic)
    return re.sub("__+", "_", re.sub("[^a-zA-Z0-9:_]", "_", snake))


def _snake(text: str) -> str:
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", text).lower()


class _Collector:
    """Makes metric families of a meter's counts when it is asked."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client calls."""
        yield from self._published()
        yield from self._requests()
        yield self._latencies()
        yield from self._models()
        yield from self._actions()
        yield from self._servers()
        for name, value in sorted(self._meter.health.items()):
            yield GaugeMetricFamily(name, "See docs/live.md.", value=value)

    def _published(self) -> Iterator[Metric]:
        labels = ("endpoint_name", "variant_name")
        for key, value in self._meter.published.items():
            family = GaugeMetricFamily(exporter_name(key), f"CloudWatch's {key} of the last period", labels=labels)
            family.add_metric((self._meter.endpoint, VARIANT), value)
            yield family

    def _requests(self) -> Iterator[Metric]:
        family = CounterMetricFamily("mmesim_requests", "Requests that are over, by how they ended",
                                     labels=("outcome",))
        for failure in Failure:
            outcome = failure.name.lower() if failure else "answered"
            family.add_metric((outcome,), self._meter.failures[failure])
        yield family

    def _latencies(self) -> Metric:
        family = HistogramMetricFamily("mmesim_request_seconds", "Latency of answers, by where the model was; buckets "
                                       "are exact to 1/128", labels=("tier",))
        for tier in Tier:
            sketch = np.array(self._meter.sketches[tier])
            buckets = [(str(bound_s), float(count_within(sketch, bound_s * 1e9))) for bound_s in BOUNDS_S]
            buckets.append(("+Inf", float(sketch.sum())))
            family.add_metric((tier.name.lower(),), buckets, self._meter.latency_ns[tier] / 1e9)
        return family

    def _models(self) -> Iterator[Metric]:
        kinds = (("requests", "Requests"), ("failed", "Requests without an answer"),
                 ("hits", "Answers of a model that was loaded when the request came"))
        for kind, text in kinds:
            family = CounterMetricFamily(f"mmesim_model_{kind}", f"{text}, by model", labels=("model",))
            for model, count in self._meter.models.items():
                family.add_metric((model,), getattr(count, kind))
            yield family

    def _actions(self) -> Iterator[Metric]:
        for action, (count, total_s) in self._meter.actions.items():
            yield CounterMetricFamily(f"mmesim_{action}s", f"Each {action} that ended well", value=count)
            yield CounterMetricFamily(f"mmesim_{action}_seconds", f"What they took: {action}", value=total_s)

    def _servers(self) -> Iterator[Metric]:
        by_name: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for slot, scraped in self._meter.scraped.items():
            for name, value in scraped.items():
                if name.startswith("nv_"):
                    by_name[name][slot] = value
        for name, values in sorted(by_name.items()):
            # As a counter it would be given a _total at its end, which Triton's names do not have.
            family = UntypedMetricFamily(name, "Triton's own, over all models of a server", labels=("server",))
            for slot, value in sorted(values.items()):
                family.add_metric((str(slot),), value)
            yield family

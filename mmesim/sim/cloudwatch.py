"""CloudWatch: what happened in a period, under the metric names of SageMaker, published with a delay.

Keys are ``Name.Statistic``; a metric without data in a period is absent. Definitions follow the Developer Guide
("Monitor Amazon SageMaker with CloudWatch", "CloudWatch metrics for multi-model endpoint deployments"):

* Request metrics: ``Invocations`` (0 without traffic); ``InvocationsPerInstance``: each emits 1 / (instances serving at
  its time); errors by HTTP status, 424 also as ``InvocationModelErrors``; latencies in microseconds over answered
  invocations. ``ModelLatency`` is the container's part (host CPU, queue, compute); ``OverheadLatency`` the rest, the
  wait for a load included (assumed: the guide does not say). Percentiles of ``ModelLatency`` are those of the answers
  of loaded models (as the caller saw them, less the period's mean overhead): the data plane sketches whole latencies,
  and what a request waited for a load is no part of this metric.
* ``ModelLoadingWaitTime`` and ``ModelCacheHit`` are per answered invocation;
  ``Model{Downloading,Loading,Unloading}Time`` per action (microseconds): the sample count of the last is the number of
  unloads.
* Instance metrics have one sample per instance in service at the period's end: utilisations are averages over its time
  in service in that period (GPU in percent of one GPU, CPU in percent of one core), memory, disk and
  ``LoadedModelCount`` the level at the end.
* ``ConcurrentRequestsPerModel``: time average of the requests in flight per serving instance (the endpoint's container
  is the "model" of that metric; assumed for multi-model endpoints).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mmesim.core.events import MetricsPublished
from mmesim.core.metrics import NS_PER_US, PERCENTILES, Values, error_counts, mean_of, statistics
from mmesim.core.types import Tier
from mmesim.dataplane.counters import ENDPOINT_COUNTERS, INSTANCE_COUNTERS, SKETCH_BUCKETS, Counters, Reason
from mmesim.results.sketch import quantiles_ns
from mmesim.results.types import Gauges
from mmesim.sim.hub import Hub, later
from mmesim.sim.instance import Instance
from mmesim.units import ns

CONTAINER = (Reason.FRONTEND, Reason.HOST_CPU, Reason.QUEUE, Reason.BATCH_WAIT, Reason.COMPUTE, Reason.CONTENTION)


class CloudWatch:
    """Collects one period at a time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._kind = hub.build.instance_type
        metrics = hub.build.scenario.endpoint.metrics
        self._period_ns = ns(metrics.period)
        self._delay_ns = ns(metrics.publish_delay)
        self._reset()

    def _reset(self) -> None:
        self._requests = np.zeros(1, ENDPOINT_COUNTERS)
        self._instances = np.zeros(self._hub.table.n_instances, INSTANCE_COUNTERS)
        self._sketch = np.zeros(SKETCH_BUCKETS, np.int64)
        self._per_instance = 0.0
        self._concurrent_ns = 0.0
        self._served_ns = 0
        self._times: dict[str, list[float]] = {}

    def add(self, counters: Counters, serving: int) -> None:
        """Take in a reading, during which so many instances served."""
        requests = counters.endpoint.reshape(1)
        self._requests.view(np.int64)[:] += requests.view(np.int64)
        known = len(self._instances)
        if len(counters.instances) > known:
            self._instances = np.concatenate([self._instances, np.zeros(len(counters.instances) - known,
                                                                        INSTANCE_COUNTERS)])
        width = INSTANCE_COUNTERS.itemsize // 8 * len(counters.instances)
        self._instances.view(np.int64)[:width] += counters.instances.view(np.int64)
        self._sketch += counters.sketch[Tier.GPU]
        if serving:
            self._per_instance += int(requests["invocations"][0]) / serving
            self._concurrent_ns += int(requests["in_flight_ns"][0]) / serving
            self._served_ns += counters.until_ns - counters.since_ns

    def record(self, name: str, time_ns: int) -> None:
        """A sample of a time metric."""
        self._times.setdefault(name, []).append(time_ns / NS_PER_US)

    def joined(self, instance: Instance) -> None:
        """Another instance has the slot now: what its predecessor did in this period is not its own."""
        if instance.slot < len(self._instances):
            self._instances[instance.slot] = 0

    def close(self, end_ns: int, gauges: Gauges, instances: Iterable[Instance]) -> None:
        """The period is over; `instances` are in service. Its values are published after the delay."""
        values = {**self._request_values(), **self._instance_values(end_ns, gauges, list(instances))}
        for name, samples in self._times.items():
            values.update(statistics(name, samples))
        self._reset()
        later(self._hub.env, self._delay_ns, lambda event: self._hub.post(event.value),
              MetricsPublished(end_ns, values))

    def _request_values(self) -> Values:
        done = self._requests[0]
        values = {"Invocations.Sum": float(done["invocations"])}
        if self._served_ns:
            values["InvocationsPerInstance.Sum"] = self._per_instance
            values["ConcurrentRequestsPerModel.Average"] = self._concurrent_ns / self._served_ns
        values.update(error_counts(done["failures"].tolist(), int(done["invocations"])))
        completions = int(done["completions"])
        container_ns = int(done["reasons_ns"][list(CONTAINER)].sum())
        values.update(mean_of("ModelLatency", container_ns / NS_PER_US, completions))
        values.update(self._percentiles(int(done["reasons_ns"][Reason.OVERHEAD]) / max(1, completions)))
        values.update(mean_of("OverheadLatency", (int(done["latency_ns"]) - container_ns) / NS_PER_US, completions))
        values.update(mean_of("ModelLoadingWaitTime", int(done["loading_wait_ns"]) / NS_PER_US, completions))
        values.update(mean_of("ModelCacheHit", int(done["tiers"][Tier.GPU]), completions))
        return values

    def _percentiles(self, overhead_ns: float) -> Values:
        """Of `ModelLatency`, in microseconds; nothing when no answer came from a loaded model."""
        found = zip(PERCENTILES, quantiles_ns(self._sketch, tuple(PERCENTILES.values())), strict=True)
        return {f"ModelLatency.{name}": max(0.0, (latency_ns - overhead_ns) / NS_PER_US)
                for name, latency_ns in found if latency_ns is not None}

    def _instance_values(self, end_ns: int, gauges: Gauges, instances: list[Instance]) -> Values:
        kind, slots = self._kind, [instance.slot for instance in instances]
        values = {**statistics("CPUUtilization", self._busy("cpu_busy", end_ns, instances)),
                  **statistics("LoadedModelCount", gauges.ready[slots].tolist()),
                  **statistics("MemoryUtilization", _percent(gauges.host_used_bytes[slots], kind.ram_bytes)),
                  **statistics("DiskUtilization", _percent(gauges.disk_used_bytes[slots], kind.disk_bytes))}
        if kind.gpu:
            values.update(statistics("GPUUtilization", self._busy("device_busy", end_ns, instances)))
            values.update(statistics("GPUMemoryUtilization", _percent(gauges.device_used_bytes[slots], kind.gpu_bytes)))
        return values

    def _busy(self, counter: str, end_ns: int, instances: list[Instance]) -> list[float]:
        """Percent of one device or core, per instance, over its time in service in this period."""
        start_ns = end_ns - self._period_ns
        shares = []
        for instance in instances:
            served_ns = end_ns - max(start_ns, instance.joined_ns or 0)
            busy = int(self._instances[counter][instance.slot])
            shares.append(100.0 * busy / 65536 / served_ns if served_ns else 0.0)
        return shares


def _percent(used_bytes: NDArray[np.int64], capacity_bytes: int) -> list[float]:
    return [100.0 * used / capacity_bytes for used in used_bytes.tolist()]

"""The world reduced to one cache: one instance, instant loads and unloads, requests that never overlap.

A hit is then a READY copy on arrival, a miss a cold start, and the counts must equal those of a plain cache simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.core.foresight import Future
from mmesim.core.policy import ClairvoyantEviction, EvictionPolicy, parts
from mmesim.core.streams import stream
from mmesim.policies.registry import resolve
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate
from mmesim.workload.types import CHUNK, WORK_ONE, Arrivals

GAP_NS = 1_000_000
"""Between two requests; nothing takes that long."""

SCENARIO = """
duration: 1h
endpoint:
  instance_type: one-cache
  eviction: {gpu: lru}
  server:
    {gpu_memory_threshold: 1.0, host_memory_threshold: 1.0, disk_threshold: 1.0, idle_gpu_bytes: 0B,
     host_base_bytes: 0B, unload_poll: 0s, unload_time: 0s, frontend_overhead: 0s, load_time_cv: 0, load_threads: 1}
  storage:
    {s3_first_byte: 0s, s3_connection_rate: 1000000GB/s, s3_prefix_rate: 1000000000, extract_rate: 1000000GB/s,
     disk_read_rate: 1000000GB/s, host_to_device_rate: 1000000GB/s, network_credit: 0s}
  metrics: {period: 3660d, publish_delay: 0s}
instance_types:
  one-cache: {vcpus: 8, ram_bytes: 1000TiB, gpu: T4, gpu_count: 1, gpu_bytes: 2GiB, gpu_nominal_bytes: 2GiB,
              disk_bytes: 1000TiB, disk_kind: nvme, disk_read_bps: 1000000GB/s, disk_write_bps: 1000000GB/s,
              network_baseline_bps: 1000000GB/s, network_burst_bps: 1000000GB/s, price_per_hour: 1.0}
models:
  - {profile: resnet50-pytorch-t4, artifact_bytes: 1B, disk_bytes: 1B, host_bytes: 0B, load_time: 0s}
workload: {arrivals: {use: poisson, rate_rps: 0.001}}
checks: {intended_overload: true}
output: {interval: 3660d, journal: false, trace: false, report: false}
"""


class Requests:
    """Requests for these models, one a gap (`ArrivalSource`)."""

    def __init__(self, models: NDArray[np.int32]) -> None:
        self.models = models
        self.at = 0

    def next_chunk(self) -> Arrivals | None:
        first, self.at = self.at, self.at + CHUNK
        model = self.models[first:self.at]
        if not len(model):
            return None
        t_ns = (np.arange(first, first + len(model), dtype=np.int64) + 1) * GAP_NS
        ones = np.ones(len(model), np.int32)
        return Arrivals(t_ns, model, ones, np.full(len(model), WORK_ONE, np.int64))


def one_cache(tmp_path: Path, sizes: Sequence[int], capacity: int, requests: NDArray[np.int32], policy: str,
              **params: object) -> Build:
    """A run with one model per size, a GPU of this capacity, and these requests."""
    path = tmp_path / "one-cache.yaml"
    path.write_text(SCENARIO)
    small = build(load_scenario(str(path)))
    policies = replace(small.policies, gpu_eviction=evicting(policy, params, requests, tmp_path))
    model = small.models[0]
    quick = replace(model.service, cpu_ns=0, cpu_per_item_ns=0, overhead_ns=0,
                    service_ns=np.ones_like(model.service.service_ns))
    models = tuple(
        replace(model, service=quick, actual_gpu_bytes=size, load_s=0.0,
                spec=replace(model.spec, name=str(n), gpu_bytes=size, host_bytes=0, framework="",
                             framework_base_bytes=0))
        for n, size in enumerate(sizes))
    instance = replace(small.endpoint.instance, gpu_bytes=capacity)
    return replace(
        small, models=models, endpoint=replace(small.endpoint, instance=instance),
        instance_type=replace(small.instance_type, gpu_bytes=capacity),
        plane=replace(small.plane, services=tuple(m.service for m in models)),
        policies=policies,
        arrivals=Requests(requests), duration_ns=(len(requests) + 2) * GAP_NS)


def evicting(policy: str, params: Mapping[str, object], requests: NDArray[np.int32], base_dir: Path) -> EvictionPolicy:
    """The policy with its random stream, and with the future if it needs one."""
    made = resolve("eviction", policy, params, base_dir)
    assert isinstance(made, EvictionPolicy)
    for inner in (made, *(inner for _, inner in parts(made))):
        inner.rng = stream(0, "one cache", inner.name)
        if isinstance(inner, ClairvoyantEviction):
            inner.future = Future((np.arange(len(requests)) + 1) * GAP_NS, requests)
    return made


def hits(run_of: Build) -> int:
    """Hits of a run."""
    summary = simulate(run_of).summary
    assert summary["requests"]["failed"] == 0
    return round(summary["cache"]["hits"])

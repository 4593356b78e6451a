"""A small hub for tests of the world: real SimPy and settings, a data plane that only notes what it is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import simpy

from mmesim.core.residency import ResidencyTable
from mmesim.core.streams import stream
from mmesim.core.types import NEVER_NS, InstanceSpec, ModelSpec
from mmesim.dataplane.counters import ENDPOINT_COUNTERS, INSTANCE_COUNTERS, N_TIERS, SKETCH_BUCKETS, Counters
from mmesim.scenario.endpoint import Endpoint
from mmesim.sim.environment import NanosecondEnvironment
from mmesim.units import NS_PER_S

S = NS_PER_S
MB = 10**6

STORAGE = {"s3_first_byte": "100ms", "s3_connection_rate": "50MB/s", "s3_connections": 2, "s3_part": "10MB",
           "network_credit": "0s", "disk_read_rate": "100MB/s", "host_to_device_rate": "1GB/s",
           "extract_rate": "100MB/s", "s3_retry_backoff": "200ms", "s3_attempts": 3}
SERVER = {"load_time_cv": 0, "idle_gpu_bytes": "100MB", "host_base_bytes": "100MB"}
PROVISIONING = {"time": "300s"}


class Plane:
    """Notes calls; its counters are whatever a test puts into `pending`."""

    def __init__(self, env: simpy.Environment, table: ResidencyTable) -> None:
        self.env = env
        self.table = table
        self.calls: list[tuple[Any, ...]] = []
        self.taken_ns: list[int] = []
        self.pending = self._fresh()

    def _fresh(self) -> Counters:
        return Counters(self.taken_ns[-1] if self.taken_ns else 0, 0, np.zeros((), ENDPOINT_COUNTERS),
                        np.zeros(self.table.n_instances, INSTANCE_COUNTERS),
                        np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64))

    def take(self) -> Counters:
        counters, self.pending.until_ns = self.pending, self.env.now
        self.taken_ns.append(self.env.now)
        self.pending = self._fresh()
        return counters

    def fail_instance(self, instance: int, failure: Any) -> None:
        self.calls.append((self.env.now, "fail_instance", instance))

    def set_speed(self, instance: int, device_q16: int, cpu_q16: int) -> None:
        self.calls.append((self.env.now, "set_speed", instance, device_q16, cpu_q16))

    def grow_instances(self) -> None:
        self.calls.append((self.env.now, "grow_instances", self.table.n_instances))

    def reset_totals(self) -> None:
        self.calls.append((self.env.now, "reset_totals"))


class StubHub:
    """Keeps a log of (time in s, event); host work runs alone, at one vCPU."""

    def __init__(self, models: int = 2, *, server: dict[str, Any] | None = None, storage: dict[str, Any] | None = None,
                 faults: tuple[Any, ...] = (), seed: int = 1, has_gpu: bool = True, **endpoint: Any) -> None:
        self.env = NanosecondEnvironment()
        self.table = ResidencyTable(models, 2)
        self.plane = Plane(self.env, self.table)
        self.log: list[tuple[float, Any]] = []
        self.spans: list[tuple[Any, ...]] = []
        self.intervals: list[tuple[Counters, Any]] = []
        self.seed = seed
        settings = Endpoint.model_validate({
            "instance_type": "ml.test", "instances": 2, "server": SERVER | (server or {}),
            "storage": STORAGE | (storage or {}), "provisioning": PROVISIONING, **endpoint})
        capacity = InstanceSpec(1000 * MB if has_gpu else 0, 2000 * MB, 10_000 * MB)
        scenario = SimpleNamespace(endpoint=settings, faults=faults, output=SimpleNamespace(interval=60.0))
        kind = SimpleNamespace(network_baseline_bps=100e6, network_burst_bps=400e6, disk_read_bps=100e6, vcpus=4,
                               gpu="T4" if has_gpu else None, gpu_bytes=2000 * MB, ram_bytes=4000 * MB,
                               disk_bytes=20_000 * MB)
        self.build = SimpleNamespace(scenario=scenario, instance_type=kind, warmup_ns=0,
                                     load_slowdown=settings.server.load_slowdown or 1.0,
                                     endpoint=SimpleNamespace(instance=capacity),
                                     models=tuple(built_model(f"m{n}") for n in range(models)))

    def post(self, event: Any) -> None:
        self.log.append((self.env.now / S, event))

    def host_work(self, instance: int, demand_ns: int) -> simpy.Event:
        return self.env.timeout(demand_ns)

    def stream(self, *names: str | int) -> np.random.Generator:
        return stream(self.seed, *names)

    def span(self, instance: int, track: str, name: str, start_ns: int, end_ns: int, **args: object) -> None:
        self.spans.append((instance, track, name, start_ns / S, end_ns / S))

    def interval(self, counters: Counters, gauges: Any) -> None:
        self.intervals.append((counters, gauges))

    def until(self, seconds: float) -> None:
        """Run every event up to and including this time."""
        end_ns = round(seconds * S)
        while self.env.peek() <= end_ns:
            self.env.step()
        self.env.move_to(end_ns)

    def change_model(self, index: int, **fields: Any) -> None:
        """Give a model other properties; those of its spec by name too."""
        models = list(self.build.models)
        models[index] = built_model(models[index].spec.name, **fields)
        self.build.models = tuple(models)


def built_model(name: str, **fields: Any) -> SimpleNamespace:
    """A model of 50 MB archive, 100 MB on disk and device, 10 MB in host memory, 1 s to load."""
    spec_fields = {key: fields.pop(key) for key in list(fields) if key in ModelSpec.__slots__}
    spec = ModelSpec(**{"name": name, "gpu_bytes": 100 * MB, "host_bytes": 10 * MB, "artifact_bytes": 50 * MB,
                        "disk_bytes": 100 * MB, **spec_fields})
    return SimpleNamespace(**{"spec": spec, "actual_gpu_bytes": spec.gpu_bytes, "actual_host_bytes": spec.host_bytes,
                              "load_s": 1.0, "load_fixed_s": 0.5, "unload_s": 0.1, "fails_to_load": False,
                              "available_from_ns": 0, "available_until_ns": NEVER_NS, **fields})

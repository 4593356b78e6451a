"""The models of a scenario on its instance type as arrays, one entry a model: sizes, times, work per batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.catalog import InstanceType
from mmesim.core.policy import Policies
from mmesim.core.types import InstanceSpec
from mmesim.scenario.build_models import ModelBuilder
from mmesim.scenario.references import Group, References, frontend_threads, resolve
from mmesim.scenario.room import instance_spec
from mmesim.scenario.schema import Scenario
from mmesim.scenario.work import bare_s, least_per_item, overhead_s

Floats = NDArray[np.float64]
GRID = 2.0 ** np.arange(8)
"""Batch sizes at which service is tabulated; in between it is linear."""


@dataclass(frozen=True)
class Models:
    """Numbers of each model, (models,) unless said otherwise; bytes and seconds."""

    kind: InstanceType
    room: InstanceSpec
    policies: Policies
    bytes: Floats
    """Of one copy in the memory that is scarce: the device's, or the host's on a CPU endpoint."""
    memory_bytes: float
    """Of that memory on one instance, for models."""
    base_bytes: float
    """What the frameworks take of it, if all are there."""
    least_base_bytes: float
    """The same for the smallest one alone."""
    host_bytes: Floats
    disk_bytes: Floats
    artifact_bytes: Floats
    pinned: NDArray[np.bool_]
    device_s: Floats
    """Of the device (GPU) per item, in the best batches; 0 on a CPU endpoint."""
    cpu_s: Floats
    """vCPU-seconds of a request of one item, models on the CPU in their best batches."""
    host_s: Floats
    """The same without the model itself: decoding and encoding."""
    front_s: Floats
    """Of a front-end thread."""
    front_threads: int
    bare_s: Floats
    """Of a request that waits for nothing."""
    overhead_s: Floats
    batch_s: Floats
    """(models, len(GRID)) time of a batch."""
    batch_share: Floats
    """(models, len(GRID)) of the device that it takes; on a CPU endpoint of all vCPUs."""
    max_batch: Floats
    delay_s: Floats
    """Triton's queue delay."""
    load_s: Floats
    """From local files to READY, alone."""
    fetch_s: Floats
    """From S3 to local files, alone."""
    load_slowdown: float


def models_of(scenario: Scenario, found: References | None = None) -> Models:
    """The models on the scenario's instance type. Raises InputError where a name stands for nothing."""
    found = found or resolve(scenario)
    kind, server, groups = found.instance_type, scenario.endpoint.server, found.groups
    room, on_gpu = instance_spec(server, found.instance_type), found.instance_type.gpu is not None
    builder, counts = ModelBuilder(scenario, kind), [group.settings.count for group in groups]
    items = scenario.workload.items

    def each(value: Callable[[Group], float | Floats]) -> Floats:
        return np.repeat(np.array([value(group) for group in groups], float), counts, axis=0)

    def load_s(group: Group) -> float:
        given = group.value("load_time")
        return builder.expected_load_s(given, group.profile, group.value("disk_bytes"),
                                       group.value("gpu_bytes") if on_gpu else 0)

    bases = {group.profile.framework: group.profile.framework_base_bytes or 0 if on_gpu else 0 for group in groups}
    slow = max((group.profile.load_slowdown or 1.0 for group in groups), default=1.0)
    return Models(
        kind=kind, room=room, policies=found.policies,
        bytes=each(lambda group: _least_bytes(group) if on_gpu else group.value("host_bytes")),
        memory_bytes=float(room.gpu_bytes if on_gpu else room.host_bytes), base_bytes=float(sum(bases.values())),
        least_base_bytes=float(min(bases.values())), host_bytes=each(lambda group: group.value("host_bytes")),
        disk_bytes=each(lambda group: group.value("disk_bytes")),
        artifact_bytes=each(lambda group: group.value("artifact_bytes")),
        pinned=each(lambda group: group.settings.pin).astype(bool),
        device_s=each(lambda group: least_per_item(group, group.profile.device_s) if on_gpu else 0.0),
        cpu_s=each(lambda group: group.profile.host_cpu_s_of(items) / items + (
            0.0 if on_gpu else group.profile.cpu_cores * least_per_item(group, group.profile.service_s))),
        host_s=each(lambda group: group.profile.host_cpu_s_of(items)),
        front_s=each(lambda group: group.profile.frontend_s_of(items)),
        front_threads=frontend_threads(server, (group.profile for group in groups)),
        bare_s=each(lambda group: bare_s(scenario, group)), overhead_s=each(lambda group: overhead_s(scenario, group)),
        batch_s=each(lambda group: _at_grid(group.profile.service_s)),
        batch_share=each(lambda group: _at_grid(group.profile.gpu_share_of if on_gpu else
                                                lambda b: group.profile.cpu_cores / kind.vcpus)),
        max_batch=each(lambda group: max(1, group.value("max_batch_size"))),
        delay_s=each(lambda group: group.value("max_queue_delay")), load_s=each(load_s),
        fetch_s=each(lambda group: builder.expected_fetch_s(group.value("artifact_bytes"), group.value("disk_bytes"))),
        load_slowdown=slow if server.load_slowdown is None else server.load_slowdown)


def _least_bytes(group: Group) -> float:
    """What a copy takes at least, whatever was expected."""
    given, actual = group.value("gpu_bytes"), group.settings.actual_gpu_bytes
    return float(given if actual is None else min(given, actual))


def _at_grid(value: Callable[[int], float]) -> Floats:
    return np.array([value(int(b)) for b in GRID])

"""What the models of a scenario need of an instance, group by group, when requests are served one at a time.

Busy time of a request on a type is that of its scarcest part: the GPU, the vCPUs, the front end's threads. Nothing is
batched, which is what a model alone with little traffic sees, and on the safe side of all else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from mmesim.catalog import InstanceType
from mmesim.scenario.references import Group, frontend_threads, resolve
from mmesim.scenario.room import instance_spec
from mmesim.scenario.schema import Scenario

Floats = NDArray[np.float64]
UTILISATION = 0.6
"""Of the busiest part in the busiest time (assumed): a request then waits 0.75 of its own time on average (M/D/1)."""
_ROUNDING = 1e-9
"""Keeps ceil(3 * (2 / 3)) at 2."""


@dataclass(frozen=True)
class GroupNeed:
    """One group of models that are alike."""

    label: str
    profile: str
    count: int
    rows: slice
    """Its models among all of the scenario."""
    device_s: float
    """Seconds of the GPU for a request; 0 on a CPU."""
    cpu_s: float
    """vCPU-seconds of a request, on a CPU endpoint with the model itself."""
    front_s: float
    """Seconds of the front end for a request, all its threads together."""
    answer_s: float
    """From the first work on a request to its end, alone."""
    gpu_bytes: int
    """One copy with its framework; 0 on a CPU."""
    host_bytes: int
    disk_bytes: int

    def busy_s(self, vcpus: float) -> float:
        """Seconds for which a request keeps the scarcest part of an instance, or of a GPU's share of it, busy."""
        return max(self.device_s, self.cpu_s / vcpus, self.front_s)

    def instances(self, rps: Floats, vcpus: float, utilisation: float, least: int) -> NDArray[np.int64]:
        """How many instances (or shares) each of its models needs at these rates, (count,)."""
        needed = np.ceil(rps * self.busy_s(vcpus) / utilisation - _ROUNDING)
        return np.asarray(np.maximum(least, needed), np.int64)

    def fits(self, scenario: Scenario, kind: InstanceType) -> bool:
        """Whether one copy has room on an instance, or on one of its GPUs and that GPU's share of the rest."""
        room, shares = instance_spec(scenario.endpoint.server, kind), max(1, kind.gpu_count)
        return (self.gpu_bytes <= room.gpu_bytes and self.host_bytes <= room.host_bytes / shares
                and self.disk_bytes <= room.disk_bytes / shares)


def needs_of(scenario: Scenario) -> list[GroupNeed]:
    """One for each group of models, in their order."""
    found, start = resolve(scenario), 0
    threads = frontend_threads(scenario.endpoint.server, (group.profile for group in found.groups))
    made = []
    for group in found.groups:
        made.append(_need(scenario, group, found.instance_type.gpu is not None, threads, start))
        start += group.settings.count
    return made


def _need(scenario: Scenario, group: Group, on_gpu: bool, threads: int, start: int) -> GroupNeed:
    profile, items, names = group.profile, scenario.workload.items, group.settings.names()
    model_s, host_s = profile.service_s(items), profile.host_cpu_s_of(items)
    framework = profile.framework_base_bytes or 0
    return GroupNeed(
        label=names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)})", profile=profile.name,
        count=len(names), rows=slice(start, start + len(names)), device_s=profile.device_s(items) if on_gpu else 0.0,
        cpu_s=host_s + (0.0 if on_gpu else model_s * profile.cpu_cores), front_s=profile.frontend_s_of(items) / threads,
        answer_s=model_s + host_s, gpu_bytes=group.value("gpu_bytes") + framework if on_gpu else 0,
        host_bytes=group.value("host_bytes"), disk_bytes=group.value("disk_bytes"))


def shared_instances(scenario: Scenario, busiest_rps: Floats, kind: InstanceType, *,
                     utilisation: float = UTILISATION, least: int = 1) -> int:
    """Instances of one multi-model endpoint that hold every model and take all requests: max(memory, time, least)."""
    needs, room = needs_of(scenario), instance_spec(scenario.endpoint.server, kind)
    rps = [float(busiest_rps[need.rows].sum()) for need in needs]
    work = (sum(r * need.device_s for r, need in zip(rps, needs, strict=True)),
            sum(r * need.cpu_s for r, need in zip(rps, needs, strict=True)) / kind.vcpus,
            sum(r * need.front_s for r, need in zip(rps, needs, strict=True)))
    time = ceil(max(work) / utilisation - _ROUNDING)
    return max(_holding(scenario, kind.gpu is not None, room.gpu_bytes, room.host_bytes), time, least)


def _holding(scenario: Scenario, on_gpu: bool, gpu_bytes: int, host_bytes: int) -> int:
    """Instances whose memories hold every model once; each has every framework too."""
    groups = resolve(scenario).groups
    frameworks = {group.profile.framework: group.profile.framework_base_bytes or 0 for group in groups}
    host: int = ceil(sum(group.settings.count * group.value("host_bytes") for group in groups) / max(1, host_bytes))
    if not on_gpu:
        return host
    device = sum(group.settings.count * group.value("gpu_bytes") for group in groups)
    on_device: int = ceil(device / max(1, gpu_bytes - sum(frameworks.values())))
    return max(host, on_device)

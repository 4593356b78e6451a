"""The best that could be done with the requests of a scenario, before any policy: bounds on hits and loads.

The fleet is one pooled cache: all instances' memory together, and no limit of host memory, disk, network and threads.
Every fleet is inside of that. docs/bounds.md tells which number holds for which run, and why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mmesim.planner.bounds.delayed import Delayed
from mmesim.planner.bounds.offline import Floats, Requests
from mmesim.policies.autoscaling.scheduled import Scheduled
from mmesim.scenario.build import Build
from mmesim.units import NS_PER_S

RARE = 1e-6
"""A load is faster than taken for the bound with this probability."""


@dataclass(frozen=True, slots=True)
class RequestBound:
    """Bounds for the measured requests of one scenario with one amount of memory."""

    hit_ratio: float
    """No policy that loads on demand has more, if its loads start at their miss (first loads: whenever)."""
    loads: float
    """No policy that loads on demand begins fewer, if every request gets its copy before the invocation times out."""
    load_s: float
    """Nor do its loads take less from files to READY, each at its expected time."""
    requests: int
    """Measured: arriving after the warm-up."""
    memory_bytes: int
    """What models may fill of one instance."""
    instances: int
    """So many of which are pooled: the most there can be."""
    note: str
    """What it leaves out, in one sentence."""
    late_hit_ratio: float
    """No policy that loads on demand has more, however long its loads wait before they start."""
    foreseen_hit_ratio: float
    """No policy has more, not even one that loads before it is asked."""
    prompt_loads: float
    """No policy that loads on demand begins fewer, if its loads start at their miss, first ones included: PFOO-U."""
    return_s: float
    """As `load_s`, with the expected fetch where the files are in S3: each model's first load, or all of them."""


def no_bound_because(build: Build) -> str | None:
    """Why `bound_of` gives None for this build; None: it gives a bound."""
    if build.arrivals is None:
        return "closed-loop clients send when they are answered: no requests are known beforehand to be optimal for"
    return None


def bound_of(build: Build, memory_scale: float = 1.0) -> RequestBound | None:
    """The bound with so many times the memory that models may fill; uses up the build's arrivals.

    None if requests are not known beforehand, or none is measured (see `no_bound_because`).
    """
    bounds = bound_curve(build, [memory_scale])
    return bounds[0] if bounds else None


def bound_curve(build: Build, memory_scales: Sequence[float]) -> list[RequestBound]:
    """The bounds with these multiples of the memory, from one reading of the arrivals; empty where there is none."""
    if build.arrivals is None:
        return []
    requests = _requests(build)
    if not requests.counted:
        return []
    case = _Case(build, requests)
    return [case.bound(scale) for scale in memory_scales]


def most_instances(build: Build) -> int:
    """Instances that can be in service at once."""
    policies = build.policies.autoscaling
    initial = build.scenario.endpoint.instances.initial
    if not policies:
        return initial
    scheduled = (action.max or 0 for policy in policies if isinstance(policy, Scheduled) for action in policy.actions)
    return max(initial, build.endpoint.max_instances, *scheduled, 0)


class _Case:
    """The requests of one build, and what it takes to serve them."""

    def __init__(self, build: Build, requests: Requests) -> None:
        models, spec = [model.spec for model in build.models], build.endpoint
        self.keeps_on_disk = spec.keep_on_disk and spec.model_cache
        self.load_s = np.array([model.reload_disk_s for model in models])
        self.fetch_s = np.array([model.reload_s3_s for model in models]) - self.load_s
        self.requests = requests
        self.memory_bytes = spec.instance.gpu_bytes if spec.instance.has_gpu else spec.instance.host_bytes
        self.instances = most_instances(build)
        self.note = _note(build)
        self.size = _sizes(build)
        self.base_bytes = min(models[m].framework_base_bytes for m in np.unique(self.requests.model).tolist())
        self.loads_at_all = np.array([not model.fails_to_load for model in build.models], bool)
        self.delayed = Delayed(self.requests, _fastest_s(build, self.load_s))
        self.first_fetches_s = float(self.fetch_s[requests.model[requests.first:]][requests.is_first].sum())
        patience_s = build.scenario.endpoint.server.invocation_timeout
        self.wait_s = np.maximum(0.0, patience_s - self.delayed.load_s)

    def bound(self, scale: float) -> RequestBound:
        """The bound with so many times the memory."""
        memory_bytes = int(scale * self.memory_bytes)
        room = max(0, memory_bytes - self.base_bytes)
        world = self.size, float(room * self.instances), (self.size <= room) & self.loads_at_all
        n, delayed, one = self.requests.counted, self.delayed, np.ones(len(self.size))
        load_s = delayed.load_cost(*world, self.wait_s, self.load_s)
        return_s = load_s + self.first_fetches_s if self.keeps_on_disk else \
            delayed.load_cost(*world, self.wait_s, self.load_s + self.fetch_s)
        late = delayed.late_hits(*world) / n
        return RequestBound(
            hit_ratio=min(late, delayed.prompt_hits(*world) / n) if self.keeps_on_disk else late, late_hit_ratio=late,
            foreseen_hit_ratio=delayed.foreseen_hits(*world) / n,
            loads=delayed.load_cost(*world, self.wait_s, one), prompt_loads=delayed.load_cost(*world, 0.0 * one, one),
            load_s=load_s, return_s=return_s,
            requests=n, memory_bytes=memory_bytes, instances=self.instances, note=self.note)


def _requests(build: Build) -> Requests:
    """All requests of the build, warm-up included."""
    t_ns, model = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    while build.arrivals is not None and (chunk := build.arrivals.next_chunk()) is not None:
        t_ns.append(chunk.t_ns)
        model.append(chunk.model)
    return Requests(t_s=np.concatenate(t_ns) / NS_PER_S, model=np.concatenate(model).astype(np.int64),
                    n_models=len(build.models), since_s=build.warmup_ns / NS_PER_S)


def _sizes(build: Build) -> Floats:
    """What a copy takes of the scarce memory at least: expected while it loads, its actual size afterwards."""
    if build.endpoint.instance.has_gpu:
        return np.array([min(m.spec.gpu_bytes, m.actual_gpu_bytes) for m in build.models], float)
    return np.array([min(m.spec.host_bytes, m.actual_host_bytes) for m in build.models], float)


def _fastest_s(build: Build, load_s: Floats) -> Floats:
    """Per model: a load takes less with probability `RARE` only. Expected times count the expected size, which may be
    wrong; a load is drawn from the lognormal law that spreads them."""
    device_bps = build.scenario.endpoint.storage.host_to_device_rate
    smaller = np.array([0 if m.load_s is not None else max(0, m.spec.gpu_bytes - m.actual_gpu_bytes)
                        for m in build.models])
    variance = math.log(1.0 + build.scenario.endpoint.server.load_time_cv ** 2)
    quantile = math.exp(math.sqrt(variance) * NormalDist().inv_cdf(RARE) - variance / 2) if variance else 1.0
    return np.maximum(0.0, load_s - smaller / device_bps) * quantile


def _note(build: Build) -> str:
    many = most_instances(build)
    fleet = f"the memory of {many} instances pooled" if many > 1 else "one instance's memory"
    most = " (the most that autoscaling may bring)" if build.policies.autoscaling else ""
    return (f"Offline optimum for these requests in {fleet}{most}, asked for on the average only, for policies that "
            "load on demand and at once; it leaves out pre-warming, retries, and all limits but memory.")

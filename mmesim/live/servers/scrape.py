"""A server's levels by CloudWatch's names, and Triton's own counters, from its metrics page and its processes.

CloudWatch's instance metrics (Developer Guide, "Monitor Amazon SageMaker with CloudWatch"): `GPUUtilization` and
`GPUMemoryUtilization` are 0 to 100 for each GPU, added up; `CPUUtilization` 0 to 100 for each core, added up;
`MemoryUtilization` and `DiskUtilization` 0 to 100. Triton's page (docs/user_guide/metrics.md): `nv_gpu_utilization` and
`nv_cpu_utilization` are shares of 1. What cannot be known is absent.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from mmesim.triton.processes import cpu_s, tree, usage_of

OF_MODELS = ("nv_inference_", "nv_cache_", "nv_model_")
"""Triton's metrics with a series for each model: added up over them."""


@dataclass(frozen=True)
class Whole:
    """What 100 % is. None: what the machine has."""

    host_bytes: int | None = None
    disk_bytes: int | None = None
    """Of the model repository; None: the share of its whole file system that is in use counts."""


@dataclass(frozen=True)
class Sample:
    """One series of a metrics page."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    is_counter: bool


def parse(text: str) -> list[Sample]:
    """The series of a metrics page with Triton's names. Raises ValueError when it is something else."""
    return [Sample(sample.name.removesuffix("_total"), tuple(sorted(sample.labels.items())), sample.value,
                   family.type == "counter")  # the parser adds _total to the names of counters
            for family in text_string_to_metric_families(text) for sample in family.samples
            if sample.name.startswith("nv_")]


def gpu_used_bytes(samples: Iterable[Sample]) -> int | None:
    """Used memory of all devices; None without one."""
    used = [sample.value for sample in samples if sample.name == "nv_gpu_memory_used_bytes"]
    return int(sum(used)) if used else None


class Totals:
    """Triton's figures, each added up over its models, whose series end when they are unloaded and begin at 0 when they
    are loaded again: counters go on counting."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._totals: defaultdict[str, float] = defaultdict(float)

    def take(self, samples: Iterable[Sample]) -> dict[str, float]:
        """The totals, with a page taken in."""
        seen, levels = {}, defaultdict[str, float](float)
        for sample in samples:
            if not sample.name.startswith(OF_MODELS):
                continue
            if not sample.is_counter:
                levels[sample.name] += sample.value
                continue
            key = (sample.name, sample.labels)
            before, seen[key] = self._seen.get(key, 0.0), sample.value
            self._totals[sample.name] += sample.value - (before if sample.value >= before else 0.0)
        self._seen = seen
        return {**self._totals, **levels}


def device_levels(samples: Iterable[Sample]) -> dict[str, float]:
    """GPU metrics by CloudWatch's names; nothing without a GPU."""
    by_name: defaultdict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
    for sample in samples:
        by_name[sample.name][sample.labels] = sample.value
    levels = {}
    if busy := by_name["nv_gpu_utilization"]:
        levels["GPUUtilization"] = 100.0 * sum(busy.values())
    total, used = by_name["nv_gpu_memory_total_bytes"], by_name["nv_gpu_memory_used_bytes"]
    if used and all(total.get(device) for device in used):
        levels["GPUMemoryUtilization"] = sum(100.0 * value / total[device] for device, value in used.items())
    return levels


def machine_levels(samples: Iterable[Sample]) -> dict[str, float]:
    """Host memory of a server whose processes are elsewhere: its whole machine's. (Triton tells the share of all cores
    that is busy and not how many there are, so `CPUUtilization` cannot be known.)"""
    by_name = {sample.name: sample.value for sample in samples}
    total = by_name.get("nv_cpu_memory_total_bytes")
    if not total:  # also before Triton's first look
        return {}
    return {"MemoryUtilization": 100.0 * by_name["nv_cpu_memory_used_bytes"] / total}


class ProcessLevels:
    """CPU and memory of a server and its stubs on this machine."""

    def __init__(self, pid: int, whole: Whole) -> None:
        self._pid = pid
        self._whole_bytes = whole.host_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._cpu_s: Mapping[int, float] = {one: cpu_s(one) for one in tree(pid)}
        self._at_s = time.monotonic()

    def read(self) -> dict[str, float]:
        """Levels now; CPU since the last reading, without that of processes that have ended since."""
        now_s, pids = time.monotonic(), tree(self._pid)
        spent_s = {pid: cpu_s(pid) for pid in pids}
        busy_s = sum(value - self._cpu_s.get(pid, 0.0) for pid, value in spent_s.items())
        elapsed_s, self._at_s, self._cpu_s = now_s - self._at_s, now_s, spent_s
        return {"CPUUtilization": 100.0 * busy_s / elapsed_s,
                "MemoryUtilization": 100.0 * usage_of(pids).pss_bytes / self._whole_bytes}


def disk_levels(repository: Path, whole: Whole) -> dict[str, float]:
    """How full the model repository's disk is; nothing when it is not on this machine."""
    if not repository.is_dir():
        return {}
    if whole.disk_bytes is None:
        disk = shutil.disk_usage(repository)
        return {"DiskUtilization": 100.0 * disk.used / disk.total}
    return {"DiskUtilization": 100.0 * _files_bytes(repository) / whole.disk_bytes}


def _files_bytes(folder: Path) -> int:
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # taken away meanwhile
                continue
    return found

"""The numbers of a profile from what the steps measured, in the order in which a profile lists them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

from mmesim.calibrate.analyze.results import Results
from mmesim.calibrate.serving.fitting import ModelFit, fit_model, fittable
from mmesim.calibrate.serving.written import fitted_numbers
from mmesim.profile.model import ON_CPU
from mmesim.units import MIB, parse_duration_s

Number: TypeAlias = dict[str, Any]
SOURCE = "mmesim profile analyze"
"""The run, until its date and machine stand in the profile's sources."""
LEAST_CORES = 0.001
"""A batch on a CPU takes some of it, if only to wait."""
OF_CONFIG = "the model's configuration"
OF_GPU = ("gpu_share", "gap", "gap_per_item", "interference_k")
"""What a fit tells of a GPU; on a CPU a batch takes vCPUs instead."""


def numbers_of(results: Results, config: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Everything between ``latency`` and the end of a profile; None where nothing was measured."""
    found = fitted(results, _instances(config))
    served = fitted_numbers(found) if found else {}
    rest_s = parse_duration_s(served["overhead"]["value"]) if served.get("overhead") else None
    host = _host(_work(results), device, rest_s)
    return {
        "latency": served.get("latency"), **_batching(config), **_of_device(results, served, config, device),
        "prefetched_batches": served.get("prefetched_batches"), "frontend": served.get("frontend"),
        "cpu_cores": _cores(results, host) if device == ON_CPU else None,
        "overhead": _overhead(served, host), "host_cpu": _host_cpu(results, host), **_memory(results, device),
        **_files(results), "load": _load(results), **_once(results), "load_slowdown": _slowdown(results),
        "interference": _interference(results) or None}


def fitted(results: Results, instances: int) -> ModelFit | None:
    """What the grid says of the model on so many instances: S(b), and the fit of the lowest loads if there are some.

    The point with one request in flight of the same size is fitted too: it was taken in the same way as the loads, and
    alone shows network and front end without a queue.
    """
    points = [replace(point, source=SOURCE, at=f"grid/{results.model}") for point in results.points
              if point.instance_count == instances and point.compute_s is not None]
    groups, _ = fittable(points)
    if not groups:
        return None
    group = groups[0]
    same = tuple(point for point in group.alone if group.loaded and point.batch_size == group.loaded[0].batch_size)
    return fit_model(replace(group, loaded=(*same, *group.loaded), given=group.given + len(same)))


# How a number is written ---------------------------------------------------------------------------------------------

def _known(value: Any, at: str, note: str = "", basis: str = "measured") -> Number:
    return {"value": value, "basis": basis, "source": SOURCE, "at": at, "note": note}


def _repeated(summary: Mapping[str, Any], at: str, note: str = "") -> Number:
    """A median with its runs and their spread."""
    spread = {"runs": summary["runs"], "min": _time(summary["min"]), "max": _time(summary["max"])}
    return {"value": _time(summary["value"]), **spread, "basis": "measured", "source": SOURCE, "at": at, "note": note}


def _time(seconds: float) -> str:
    return f"{seconds:.4g}s" if seconds >= 1 else f"{seconds * 1e3:.4g}ms"


def _size(size_bytes: float) -> str:
    return f"{size_bytes / MIB:.2f}MiB" if size_bytes >= MIB else f"{max(0, round(size_bytes))}B"


# Configuration and latency -------------------------------------------------------------------------------------------

def _batching(config: Mapping[str, Any]) -> dict[str, Number]:
    """What the configuration says of instances and batches."""
    most, dynamic = int(config.get("max_batch_size", 0)), config.get("dynamic_batching")
    off = "batching is off in the configuration" if not most else "" if dynamic is not None else \
        "dynamic batching is off: Triton joins no requests"
    settings = dynamic or {}
    delay_s = int(settings.get("max_queue_delay_microseconds", 0)) / 1e6
    preferred = [int(size) for size in settings.get("preferred_batch_size", ())]
    return {"max_batch_size": _known(max(1, most), OF_CONFIG, off, "published"),
            "instance_count": _known(_instances(config), OF_CONFIG, basis="published"),
            "preferred_batch_sizes": _known(preferred, OF_CONFIG, basis="published"),
            "max_queue_delay": _known(_time(delay_s), OF_CONFIG, basis="published")}


def _instances(config: Mapping[str, Any]) -> int:
    return sum(int(group.get("count", 1)) for group in config.get("instance_group") or [{}])


def _of_device(results: Results, served: Mapping[str, Any], config: Mapping[str, Any], device: str) -> dict[str, Any]:
    """How the model shares its device: of one instance two copies side by side tell it, of several their own loads."""
    measured = _share(results)
    if device == ON_CPU:
        return {}
    return measured if measured and (_instances(config) == 1 or "gap" not in served) else \
        {name: served.get(name) for name in OF_GPU}


# CPU time ------------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Host:
    """CPU seconds of one request, told apart."""

    request_s: float
    """Besides the batch, of a request."""
    item_s: float
    """And of each of its items."""
    cores: float
    """vCPUs that a batch keeps busy."""
    all_s: float
    """All of the smallest request."""

    @property
    def one_s(self) -> float:
        """Besides the batch, of a request with one item."""
        return self.request_s + self.item_s


Work: TypeAlias = tuple[int, float, float]
"""(batch size, CPU seconds of a request, compute seconds of it)."""


def _work(results: Results) -> list[Work]:
    found = results.result(f"work/{results.model}") or {"batches": {}}
    return [(int(size), row["cpu_s"], row["input_s"] + row["infer_s"] + row["output_s"])
            for size, row in found["batches"].items()]


def _host(work: Sequence[Work], device: str, rest_s: float | None) -> Host | None:
    """The CPU time of a small and a large batch, split.

    On a GPU it grows with the items. On a CPU it grows with the compute time, by the cores of a batch. `rest_s` is what
    a request spends outside queue and compute: CPU time beyond that runs beside the batch, and waiting for it apart
    would count it twice.
    """
    if not work:
        return None
    small, large = work[0], work[-1]
    at = 2 if device == ON_CPU else 0
    slope = (large[1] - small[1]) / (large[at] - small[at]) if large[at] > small[at] else 0.0
    slope = max(0.0, min(slope, small[1] / small[at]))
    request_s, item_s = small[1] - slope * small[at], 0.0 if device == ON_CPU else slope
    part = 1.0 if rest_s is None else min(1.0, rest_s / max(request_s + item_s, 1e-9))
    cores = max(0.0, large[1] - part * request_s) / large[2]
    return Host(part * request_s, part * item_s, cores, small[1])


def _cores(results: Results, host: Host | None) -> Number | None:
    if host is None:
        return None
    return _known(max(LEAST_CORES, float(f"{host.cores:.3g}")), f"work/{results.model}",
                  "CPU time of a request less host_cpu, over its compute time", "estimated")


def _host_cpu(results: Results, host: Host | None) -> dict[str, Number] | None:
    if host is None:
        return None
    note = f"of {_time(host.all_s)} CPU time of the smallest request, what does not run beside its batch"
    return {name: _known(_time(seconds), f"work/{results.model}", note, "estimated")
            for name, seconds in (("per_request", host.request_s), ("per_item", host.item_s))}


def _overhead(served: Mapping[str, Any], host: Host | None) -> Number | None:
    """Network and front end, less the host's work, which a simulation adds again."""
    number = served.get("overhead")
    if number is None or host is None:
        return number
    rest_s = parse_duration_s(number["value"]) - host.one_s
    note = "; ".join(filter(None, (number["note"], "less host_cpu")))
    return {**number, "value": _time(max(0.0, rest_s)), "note": note}


# Memory and files ----------------------------------------------------------------------------------------------------

def _memory(results: Results, device: str) -> dict[str, Number | None]:
    """Further copies are what a copy takes; what the first one takes besides is its framework's."""
    found = results.result(f"memory/{results.model}") or {}
    at = f"memory/{results.model}"
    numbers: dict[str, Number | None] = {"gpu_bytes": None, "framework_base_bytes": None, "host_bytes": None}
    on = "host" if device == ON_CPU else "gpu"
    for where in ("gpu", "host"):
        used = found.get(f"{where}_bytes")
        if not used or len(used) < 3:
            continue
        steps = [after - before for before, after in pairwise(used)]
        copy = statistics.mean(steps[1:])
        kind = "PSS of the server's processes" if where == "host" else "used memory of the GPU"
        numbers[f"{where}_bytes"] = _known(_size(copy), at, f"{kind}, mean of {len(steps) - 1} further copies")
        if where == on:
            numbers["framework_base_bytes"] = _known(_size(max(0.0, steps[0] - copy)), at,
                                                     f"first copy less a further one, {kind}")
    return numbers


def _files(results: Results) -> dict[str, Number | None]:
    found, at = results.result(f"artifact/{results.model}/files"), f"artifact/{results.model}/files"
    if found is None:
        return {}
    return {"artifact_bytes": _known(_size(found["artifact_bytes"]), at, ".tar.gz, gzip level 6"),
            "disk_bytes": _known(_size(found["disk_bytes"]), at)}


# Loads ---------------------------------------------------------------------------------------------------------------

def _load(results: Results) -> dict[str, Any] | None:
    at = f"load/{results.model}"
    warm, cold = results.result(f"{at}/warm"), results.result(f"{at}/cold")
    parallel = sorted((found for step, found in results.of_kind("load").items()
                       if step.startswith(f"{at}/parallel-")), key=lambda found: int(found["loads"]))
    numbers = {
        "time": _repeated(warm["load_s"], f"{at}/warm", "files in the page cache") if warm else None,
        "time_cold_cache": _repeated(cold["load_s"], f"{at}/cold", cold["method"]) if cold and cold["load_s"] else None,
        "parallel": [{"loads": found["loads"], "time": _repeated(found["load_s"], f"{at}/parallel-{found['loads']}")}
                     for found in parallel] or None}
    return {name: number for name, number in numbers.items() if number is not None} or None


def _once(results: Results) -> dict[str, Number | None]:
    """Times of what happens once in a copy's or an archive's life."""
    steps = {"unload_time": ("load", "warm", "unload_s"), "first_inference": ("load", "warm", "first_inference_s"),
             "extract_time": ("artifact", "files", "extract_s"),
             "download_time": ("artifact", "download", "download_s")}
    numbers = {}
    for name, (kind, step, key) in steps.items():
        at = f"{kind}/{results.model}/{step}"
        found = results.result(at)
        numbers[name] = _repeated(found[key], at) if found else None
    return numbers


# Sharing -------------------------------------------------------------------------------------------------------------

def _slowdown(results: Results) -> Number | None:
    found = {step: row for step, row in results.of_kind("slowdown").items() if row["running"] == results.model}
    if not found:
        return None
    step, row = next(iter(found.items()))
    slowdown, stall = row["slowdown"], _time(row["http_stall_s"]["value"])
    note = (f"{slowdown['runs']} loads, {slowdown['min']:.3g} to {slowdown['max']:.3g}; a load asked for over HTTP "
            f"stalls inference over HTTP for {stall}")
    return _known(float(f"{max(1.0, slowdown['value']):.4g}"), step, note)


def _interference(results: Results) -> list[dict[str, Any]]:
    found = []
    for step, row in results.of_kind("interference").items():
        if results.model in row["models"]:
            which = row["models"].index(results.model)
            beside = row["models"][1 - which]
            speed = statistics.mean(row["speed"]) if beside == results.model else row["speed"][which]
            found.append({"beside": beside, "speed": _known(float(f"{speed:.3g}"), step)})
    return found


def _share(results: Results) -> dict[str, Number]:
    """Share of the device and k of interference, from two copies side by side at a speed v of one alone.

    The device gives them min(1, 1 / (2 share)) / (1 + k). One number tells one of the two: above 1/2 the share, with
    k = 0; below it k, with a share of 1.
    """
    at = f"interference/{results.model}+{results.model}"
    own = results.result(at)
    if own is None:
        return {}
    speed = statistics.mean(own["speed"])
    note = f"two copies side by side each run at {speed:.3g} of the speed of one = min(1, 1/(2 x share)) / (1 + k)"
    return {"gpu_share": _known(float(f"{min(1.0, 0.5 / speed):.3g}"), at, note, "estimated"),
            "interference_k": _known(float(f"{max(0.0, 0.5 / speed - 1):.3g}"), at, note, "estimated")}

"""The numbers of a profile from what the steps measured, in the order in which a profile lists them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from mmesim.profile.model import ON_CPU
from mmesim.profile.points import OperatingPoint
from mmesim.units import MIB

if TYPE_CHECKING:
    from mmesim.calibrate.analyze.assemble import Results

Number: TypeAlias = dict[str, Any]
SOURCE = "s1"
"""Key of the run in the profile's sources."""
OF_CONFIG = "the model's configuration"


def numbers_of(results: Results, config: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Everything between ``latency`` and the end of a profile; None where nothing was measured."""
    work, alone = _work(results), _alone(results.points, _instances(config))
    return {
        "latency": _latency(results.model, alone), **_batching(config),
        **({} if device == ON_CPU else _share(results)),
        "cpu_cores": _cores(results.model, work) if device == ON_CPU else None,
        "overhead": _overhead(results.model, alone, work, device), "host_cpu": _host_cpu(results.model, work, device),
        **_memory(results, device), **_files(results), "load": _load(results), **_once(results),
        "load_slowdown": _slowdown(results), "interference": _interference(results) or None}


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


def _alone(points: Iterable[OperatingPoint], instances: int) -> dict[int, OperatingPoint]:
    """Batch size -> the point with one request in flight, on the model's own instance count."""
    return {point.batch_size: point for point in sorted(points, key=lambda point: point.batch_size)
            if point.concurrency == 1 and point.instance_count == instances and point.compute_s is not None}


def _latency(model: str, alone: Mapping[int, OperatingPoint]) -> dict[str, Any] | None:
    if not alone:
        return None
    batches = [{"batch": batch, **{name: _time(getattr(point, f"compute_{name}_s") or 0.0)
                                   for name in ("input", "infer", "output")}} for batch, point in alone.items()]
    return {"basis": "measured", "source": SOURCE, "at": f"grid/{model}, one request in flight", "batches": batches}


def _overhead(model: str, alone: Mapping[int, OperatingPoint], work: Sequence[Work], device: str) -> Number | None:
    """Of the latency of the smallest request all that is neither queue nor compute, less the host's work."""
    point = alone.get(min(alone, default=0))
    if point is None or point.latency_s is None or point.compute_s is None:
        return None
    rest_s = point.latency_s - point.compute_s - (point.queue_s or 0.0)
    host_s = _split(work, device)[0] if work else 0.0
    note = "latency less queue, compute and host_cpu" if work else "latency less queue and compute"
    return _known(_time(max(0.0, rest_s - host_s)), f"grid/{model}, batch {point.batch_size}", note)


# CPU time ------------------------------------------------------------------------------------------------------------

Work: TypeAlias = tuple[int, float, float]
"""(batch size, CPU seconds of a request, compute seconds of it)."""


def _work(results: Results) -> list[Work]:
    found = results.result(f"work/{results.model}") or {"batches": {}}
    return [(int(size), row["cpu_s"], row["input_s"] + row["infer_s"] + row["output_s"])
            for size, row in found["batches"].items()]


def _split(work: Sequence[Work], device: str) -> tuple[float, float]:
    """(CPU seconds of a request besides the model, and of a further item or, on a CPU, cores of a running batch).

    On a GPU all CPU time is the host's: per request and per item. On a CPU the server's part and the model's are told
    apart by a small and a large batch: CPU time = host + cores x compute time.
    """
    small, large = work[0], work[-1]
    at = 2 if device == ON_CPU else 0
    slope = (large[1] - small[1]) / (large[at] - small[at]) if large[at] > small[at] else 0.0
    slope = max(0.0, min(slope, small[1] / small[at]))
    return small[1] - slope * small[at], slope


def _cores(model: str, work: Sequence[Work]) -> Number | None:
    if not work:
        return None
    cores = _split(work, ON_CPU)[1] or work[-1][1] / work[-1][2]
    return _known(float(f"{cores:.3g}"), f"work/{model}", "CPU time of a request = host_cpu + cores x compute time",
                  "estimated")


def _host_cpu(model: str, work: Sequence[Work], device: str) -> dict[str, Number] | None:
    if not work:
        return None
    request_s, slope = _split(work, device)
    item_s = 0.0 if device == ON_CPU else slope
    note = "CPU time of a request = host_cpu + cores x compute time" if device == ON_CPU else \
        "all CPU time of the server's processes"
    return {name: _known(_time(seconds), f"work/{model}", note, "estimated" if device == ON_CPU else "measured")
            for name, seconds in (("per_request", request_s), ("per_item", item_s))}


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

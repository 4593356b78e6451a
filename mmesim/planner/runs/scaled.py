"""The same run with more or less of one resource: what would be if there were twice the memory, a faster GPU.

A resource is scaled alone and everything else stays, though no such instance is for sale: that is how a plan finds out
what limits a fleet, and a comparison draws hit ratio against memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mmesim.dataplane.api import ServiceSpec
from mmesim.scenario.build import Build


def with_resources(built: Build, scaled: Mapping[str, float]) -> Build:
    """`built` with each of the resources (`RESOURCES`) times its factor, above 0."""
    for name, factor in scaled.items():
        built = RESOURCES[name](built, factor)
    return built


def _memory(built: Build, factor: float) -> Build:
    """Memory that models may fill: the GPU's, or the host's on a CPU endpoint."""
    return (_gpu_memory if built.endpoint.instance.has_gpu else _host_memory)(built, factor)


def _gpu_memory(built: Build, factor: float) -> Build:
    return _room(built, gpu_bytes=built.endpoint.instance.gpu_bytes * factor)


def _host_memory(built: Build, factor: float) -> Build:
    return _room(built, host_bytes=built.endpoint.instance.host_bytes * factor)


def _disk(built: Build, factor: float) -> Build:
    return _room(built, disk_bytes=built.endpoint.instance.disk_bytes * factor)


def _room(built: Build, **sizes: float) -> Build:
    instance = replace(built.endpoint.instance, **{name: max(1, round(size)) for name, size in sizes.items()})
    return replace(built, endpoint=replace(built.endpoint, instance=instance))


def _compute(built: Build, factor: float) -> Build:
    """The device is so much faster: the GPU, or on a CPU endpoint the vCPUs for the models' own work."""
    faster: dict[int, Any] = {}  # models of a group share one table, and go on to

    def service(spec: ServiceSpec) -> ServiceSpec:
        key = id(spec.service_ns)
        if key not in faster:
            faster[key] = (spec.service_ns / factor).round().astype("int64")
        return replace(spec, service_ns=faster[key])

    return _served(built, service)


def _host_cpu(built: Build, factor: float) -> Build:
    """Decoding, pre- and post-processing, and the front end are so much faster."""

    def service(spec: ServiceSpec) -> ServiceSpec:
        names = ("cpu_ns", "cpu_per_item_ns", "frontend_ns", "frontend_per_item_ns")
        return replace(spec, **{name: round(getattr(spec, name) / factor) for name in names})

    return _served(built, service)


def _served(built: Build, change: Callable[[ServiceSpec], ServiceSpec]) -> Build:
    return replace(built, plane=replace(built.plane, services=tuple(map(change, built.plane.services))))


def _network(built: Build, factor: float) -> Build:
    """S3, the instances' network, and unpacking what came over it."""
    kind, storage = built.instance_type, built.scenario.endpoint.storage
    rates = {name: getattr(kind, name) * factor for name in ("network_baseline_bps", "network_burst_bps")}
    faster = storage.model_copy(update={name: getattr(storage, name) * factor
                                        for name in ("s3_connection_rate", "s3_prefix_rate", "extract_rate")})
    return replace(_storing(built, faster), instance_type=replace(kind, **rates))


def _loads(built: Build, factor: float) -> Build:
    """From the disk to READY."""
    storage, kind = built.scenario.endpoint.storage, built.instance_type
    disk_read_bps = (storage.disk_read_rate or kind.disk_read_bps) * factor
    models = tuple(replace(model, load_s=None if model.load_s is None else model.load_s / factor,
                           load_fixed_s=model.load_fixed_s / factor) for model in built.models)
    faster = storage.model_copy(update={"disk_read_rate": disk_read_bps,
                                        "host_to_device_rate": storage.host_to_device_rate * factor})
    return replace(_storing(built, faster), models=models)


def _storing(built: Build, storage: Any) -> Build:
    endpoint = built.scenario.endpoint.model_copy(update={"storage": storage})
    return replace(built, scenario=built.scenario.model_copy(update={"endpoint": endpoint}))


RESOURCES: Mapping[str, Callable[[Build, float], Build]] = {
    "memory": _memory, "gpu_memory": _gpu_memory, "host_memory": _host_memory, "disk": _disk, "compute": _compute,
    "host_cpu": _host_cpu, "network": _network, "loads": _loads}
"""Name -> the run with so much more of it."""

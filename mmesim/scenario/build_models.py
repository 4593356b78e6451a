"""From a group of models and its profile to what control plane, data plane and world need of each model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.catalog import InstanceType
from mmesim.core.types import NEVER_NS, ModelSpec
from mmesim.dataplane.api import ONE_Q16, ServiceSpec
from mmesim.profile import ModelProfile
from mmesim.scenario.models import ModelGroup
from mmesim.scenario.references import Group
from mmesim.scenario.schema import Scenario
from mmesim.units import ns

USUAL_UNLOAD_S = 0.1
"""An unload of a model whose profile does not tell."""
TABLE_MARGIN = 1
"""Service tables reach one step beyond the largest batch, so that larger requests go on with the last slope."""


def service_table_ns(profile: ModelProfile, max_batch: int) -> NDArray[np.int64]:
    """Device demand of batches of 1..max_batch+1 items; index 0 is unused."""
    sizes = range(1, max_batch + 1 + TABLE_MARGIN)
    return np.array([0, *(max(1, ns(profile.service_s(b))) for b in sizes)], np.int64)


def device_share_q16(profile: ModelProfile, max_batch: int) -> int | NDArray[np.int64]:
    """Share of the device that a batch wants: one number, or a table like `service_table_ns` if sizes differ."""
    if not profile.has_gap:
        return round(profile.gpu_share_of(1) * ONE_Q16)
    sizes = range(1, max_batch + 1 + TABLE_MARGIN)
    return np.array([0, *(round(profile.gpu_share_of(b) * ONE_Q16) for b in sizes)], np.int64)


def _unload_s(profile: ModelProfile) -> float:
    return USUAL_UNLOAD_S if profile.unload_time_s is None else profile.unload_time_s


class ModelBuilder:
    """Builds the models of one scenario; models of a group share one service table."""

    def __init__(self, scenario: Scenario, kind: InstanceType) -> None:
        self.server = scenario.endpoint.server
        self.storage = scenario.endpoint.storage
        self.kind = kind
        self.start_ns = ns(scenario.workload.start)

    def models(self, group: Group) -> Iterator[tuple[Any, ...]]:
        """The fields of a `BuiltModel`, model by model."""
        settings, profile = group.settings, group.profile
        service = self._service(group)
        gpu_bytes = group.value("gpu_bytes") if self.kind.gpu else 0
        actual_gpu_bytes = gpu_bytes if settings.actual_gpu_bytes is None else settings.actual_gpu_bytes
        available = self._available(settings)
        for name in settings.names():
            spec = self._spec(name, group, gpu_bytes)
            yield (spec, service, profile, actual_gpu_bytes, spec.host_bytes, group.value("load_time"),
                   profile.load_fixed_s or 0.0, _unload_s(profile), settings.fails_to_load,
                   *available)

    def _available(self, settings: ModelGroup) -> tuple[int, int]:
        """When the models come and go, in the run's time, which begins with what is left of the workload."""
        if settings.available_until is None:
            return max(0, ns(settings.available_from) - self.start_ns), NEVER_NS
        until_ns = ns(settings.available_until) - self.start_ns
        return (max(0, ns(settings.available_from) - self.start_ns), until_ns) if until_ns > 0 else (NEVER_NS, NEVER_NS)

    def _service(self, group: Group) -> ServiceSpec:
        settings, profile = group.settings, group.profile
        max_batch = max(1, group.value("max_batch_size"))
        first_item, second_item = profile.host_cpu_s_of(1), profile.host_cpu_s_of(2)
        on_cpu = self.kind.gpu is None
        front_s, front_item_s = profile.frontend_s_of(0), profile.frontend_s_of(1) - profile.frontend_s_of(0)
        given_s = self.server.first_inference
        first_inference_s = (profile.first_inference_s or 0.0) if given_s is None else given_s
        return ServiceSpec(
            service_ns=service_table_ns(profile, max_batch), on_cpu=on_cpu,
            share_q16=round(profile.cpu_cores * ONE_Q16) if on_cpu else device_share_q16(profile, max_batch),
            cpu_ns=ns(2 * first_item - second_item), cpu_per_item_ns=ns(second_item - first_item),
            overhead_ns=ns(profile.overhead_s + self.server.frontend_overhead), max_batch=max_batch,
            instance_count=group.value("instance_count"), preferred=tuple(group.value("preferred_batch_sizes")),
            max_queue_delay_ns=ns(group.value("max_queue_delay")), max_queue=settings.max_queue_size,
            queue_timeout_ns=ns(settings.queue_timeout), first_inference_ns=ns(first_inference_s),
            frontend_ns=ns(front_s), frontend_per_item_ns=ns(front_item_s),
            prefetched_batches=0 if group.has_queue_limits else group.value("prefetched_batches"))

    def _spec(self, name: str, group: Group, gpu_bytes: int) -> ModelSpec:
        profile, disk_bytes, artifact_bytes = group.profile, group.value("disk_bytes"), group.value("artifact_bytes")
        load_s = self.expected_load_s(group.value("load_time"), profile, disk_bytes, gpu_bytes)
        return ModelSpec(
            name=name, gpu_bytes=gpu_bytes, host_bytes=group.value("host_bytes"), artifact_bytes=artifact_bytes,
            disk_bytes=disk_bytes, framework=profile.framework,
            framework_base_bytes=profile.framework_base_bytes if self.kind.gpu else 0, pinned=group.settings.pin,
            reload_disk_s=load_s, reload_s3_s=self.expected_fetch_s(artifact_bytes, disk_bytes) + load_s,
            service_s=profile.service_s(1) + profile.host_cpu_s_of(1))

    def expected_load_s(self, measured_s: float | None, profile: ModelProfile, disk_bytes: int,
                        gpu_bytes: int) -> float:
        """Expected seconds from local files to READY, alone on the instance."""
        if measured_s is not None:
            return measured_s
        read_bps = self.storage.disk_read_rate or self.kind.disk_read_bps
        return profile.load_fixed_s + disk_bytes / read_bps + gpu_bytes / self.storage.host_to_device_rate

    def expected_fetch_s(self, artifact_bytes: int, disk_bytes: int) -> float:
        """Expected seconds of download and extraction, alone, at the network's baseline."""
        storage = self.storage
        rate_bps = min(storage.s3_connections * storage.s3_connection_rate, self.kind.network_baseline_bps)
        return (storage.s3_first_byte.distribution().mean + artifact_bytes / rate_bps
                + disk_bytes / storage.extract_rate)


"""How much of an instance its models may fill."""

from __future__ import annotations

from mmesim.catalog import InstanceType
from mmesim.core.types import InstanceSpec
from mmesim.scenario.endpoint import Server


def instance_spec(server: Server, kind: InstanceType) -> InstanceSpec:
    """What the thresholds allow of each memory, less what an empty server takes; never below 0."""
    gpu = int(server.gpu_memory_threshold * kind.gpu_bytes) - server.idle_gpu_bytes
    host = int(server.host_memory_threshold * kind.ram_bytes) - server.host_base_bytes
    return InstanceSpec(gpu_bytes=max(0, gpu), host_bytes=max(0, host),
                        disk_bytes=int(server.disk_threshold * kind.disk_bytes))

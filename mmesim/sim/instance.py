"""One instance of the fleet: its network, disk and server, from launch to end."""

from __future__ import annotations

from mmesim.results.types import InstanceLife, Phase
from mmesim.sim.disk import Disk, Record
from mmesim.sim.hub import Hub
from mmesim.sim.network import Nic
from mmesim.sim.s3 import S3
from mmesim.sim.triton import Triton, TritonTimes


class Instance:
    """An instance in a slot. It has hardware, and a server, from the moment it comes into service."""

    nic: Nic
    disk: Disk
    triton: Triton

    def __init__(self, number: int, slot: int, zone: int, launched_ns: int) -> None:
        self.number = number
        self.slot = slot
        self.zone = zone
        self.launched_ns = launched_ns
        self.joined_ns: int | None = None
        self.phase = Phase.PROVISIONING

    def join(self, hub: Hub, s3: S3, times: TritonTimes, failing: list[int], record: Record) -> None:
        """Come into service, empty."""
        storage, kind = hub.build.scenario.endpoint.storage, hub.build.instance_type
        self.joined_ns = hub.env.now
        self.phase = Phase.SERVING
        self.nic = Nic(hub.env, kind.network_baseline_bps, kind.network_burst_bps, storage.network_credit,
                       s3.download_bps)
        s3.connect(self.nic)
        self.disk = Disk(hub, self.slot, s3, self.nic, record)
        self.triton = Triton(hub, self.slot, self.disk, times, failing, record)

    @property
    def in_service(self) -> bool:
        """Serving or draining."""
        return self.phase in (Phase.SERVING, Phase.DRAINING)

    def life(self, ended_ns: int | None = None, reason: str = "") -> InstanceLife:
        """Its record, so far or to its end."""
        return InstanceLife(self.number, self.slot, self.zone, self.launched_ns, self.joined_ns, ended_ns, reason)

"""The fleet: launches, joins, losses, and what the desired number makes of them.

Rules. One comparison decides everything: instances that serve or are being provisioned against the desired number
(draining ones are already gone from the count). Too few: launch; too many: cancel launches, youngest first (which of
the serving ones leave is the controller's business). It is made when the desired number changes, when an instance ends,
and when a lost zone comes back. A launch takes the lowest free slot and the next zone in turn that is not lost, and is
billed from then on; it joins, empty, after its provisioning time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import simpy

from mmesim.core.events import InstanceJoined, InstanceLost
from mmesim.core.types import Failure
from mmesim.results.types import InstanceLife, Phase
from mmesim.sim.disk import Record
from mmesim.sim.draws import Draws
from mmesim.sim.hub import Hub, later
from mmesim.sim.instance import Instance
from mmesim.sim.s3 import S3
from mmesim.sim.triton import TritonTimes
from mmesim.units import ns


class Fleet:
    """All instances, by slot; `failing` counts, per model, the faults that make its loads fail."""

    def __init__(self, hub: Hub, s3: S3, record: Record, before_change: Callable[[], None],
                 joined: Callable[[Instance], None]) -> None:
        """`before_change()` is called before the number of serving instances changes, `joined(instance)` at a join."""
        self._hub = hub
        self._s3 = s3
        self._record = record
        self._before_change = before_change
        self._joined = joined
        self._endpoint = hub.build.scenario.endpoint
        self._time_s = Draws(hub, self._endpoint.provisioning.time.distribution(), "provisioning")
        self._times = TritonTimes(hub)
        self._launched = 0
        self._next_zone = 0
        self._lost_zones = [0] * self._endpoint.availability_zones
        self._ended: list[InstanceLife] = []
        self._moved_by_ended_bytes = 0
        self.desired = self._endpoint.instances.initial
        self.slots: dict[int, Instance] = {}
        self.failing = [0] * len(hub.build.models)

    def start(self) -> None:
        """The initial instances: in service at once, or provisioned."""
        self._reconcile()
        if self._endpoint.provisioning.in_service_at_start:
            for instance in list(self.slots.values()):
                self._join(instance)

    def set_desired(self, count: int) -> None:
        """The fleet should count so many."""
        self.desired = count
        self._reconcile()

    def drain(self, slot: int) -> None:
        """The instance takes no new requests and counts no longer."""
        self._before_change()
        self.slots[slot].phase = Phase.DRAINING

    def terminate(self, slot: int, reason: str) -> None:
        """End an instance; what is in flight there is lost."""
        self._end(self.slots[slot], reason)
        self._reconcile()

    def lose(self, instances: Iterable[Instance], reason: str) -> None:
        """Instances die; launches under way among them are lost too."""
        lost = [instance for instance in instances if instance.slot in self.slots]
        known = [instance.slot for instance in lost if instance.in_service]
        for instance in lost:
            self._end(instance, reason)
        for slot in known:
            self._hub.post(InstanceLost(slot, reason))
        self._reconcile()

    def lose_zone(self, zone: int) -> None:
        """All instances of a zone die, and nothing is launched there until `restore_zone`."""
        self._lost_zones[zone] += 1
        self.lose([i for i in self.slots.values() if i.zone == zone], f"zone {zone} lost")

    def restore_zone(self, zone: int) -> None:
        """Launches in the zone are possible again."""
        self._lost_zones[zone] -= 1
        self._reconcile()

    def in_phase(self, *phases: Phase) -> list[Instance]:
        """Instances in one of these phases, by slot."""
        return [self.slots[slot] for slot in sorted(self.slots) if self.slots[slot].phase in phases]

    @property
    def serving(self) -> int:
        """Instances in service, draining ones not counted."""
        return sum(1 for instance in self.slots.values() if instance.phase is Phase.SERVING)

    @property
    def network_bytes(self) -> int:
        """Bytes downloaded since the start, by all that ever lived."""
        living = (i.nic.moved_bytes for i in self.slots.values() if i.in_service)
        return self._moved_by_ended_bytes + sum(living)

    def lives(self) -> list[InstanceLife]:
        """All instances so far, in the order of launch."""
        living = [instance.life() for instance in self.slots.values()]
        return sorted([*self._ended, *living], key=lambda life: life.number)

    def levels(self, of: Callable[[Instance], int]) -> np.ndarray:
        """One number per slot of the table; 0 where nothing is in service."""
        values = np.zeros(self._hub.table.n_instances, np.int64)
        for slot, instance in self.slots.items():
            if instance.in_service:
                values[slot] = of(instance)
        return values

    def phases(self) -> np.ndarray:
        """Phase per slot of the table."""
        phases = np.zeros(self._hub.table.n_instances, np.int64)
        for slot, instance in self.slots.items():
            phases[slot] = instance.phase
        return phases

    def _reconcile(self) -> None:
        pending = self.in_phase(Phase.PROVISIONING)
        missing = self.desired - self.serving - len(pending)
        for instance in sorted(pending, key=lambda i: -i.number)[:max(0, -missing)]:
            self._end(instance, "launch cancelled")
        for _ in range(missing):
            if not self._launch():
                return  # every zone is lost: again when one is restored

    def _launch(self) -> bool:
        zone = self._zone()
        if zone is None:
            return False
        slot = next(slot for slot in range(len(self.slots) + 1) if slot not in self.slots)
        instance = Instance(self._launched, slot, zone, self._hub.env.now)
        self._launched += 1
        self.slots[slot] = instance
        if slot >= self._hub.table.n_instances:
            self._hub.table.grow(slot + 1)
            self._hub.plane.grow_instances()
        later(self._hub.env, ns(self._time_s.next(0)), self._provisioned, instance)
        return True

    def _zone(self) -> int | None:
        zones = len(self._lost_zones)
        for step in range(zones):
            zone = (self._next_zone + step) % zones
            if not self._lost_zones[zone]:
                self._next_zone = (zone + 1) % zones
                return zone
        return None

    def _provisioned(self, event: simpy.Event) -> None:
        instance: Instance = event.value
        if self.slots.get(instance.slot) is instance and not instance.in_service:
            self._join(instance)

    def _join(self, instance: Instance) -> None:
        self._before_change()
        instance.join(self._hub, self._s3, self._times, self.failing, self._record)
        self._joined(instance)
        self._hub.post(InstanceJoined(instance.slot, instance.zone))

    def _end(self, instance: Instance, reason: str) -> None:
        self._before_change()
        if instance.in_service:
            self._s3.disconnect(instance.nic)
            instance.triton.kill()
            self._moved_by_ended_bytes += instance.nic.moved_bytes
            self._hub.plane.fail_instance(instance.slot, Failure.INSTANCE_LOST)
        del self.slots[instance.slot]
        self._ended.append(instance.life(self._hub.env.now, reason))

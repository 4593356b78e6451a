"""The world: everything that happens by itself, and the hands that do what the controller wants.

It answers each action that starts work with exactly one event through `Hub.post`. An action for an instance that is
already lost goes nowhere: its InstanceLost is on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmesim.core import actions as act
from mmesim.sim.cloudwatch import CloudWatch
from mmesim.sim.faults import Catalogue, Faults
from mmesim.sim.fleet import Fleet
from mmesim.sim.hub import Hub
from mmesim.sim.meter import IntervalSink, Meter
from mmesim.sim.s3 import S3


class World:
    """S3, fleet, CloudWatch, faults of one run."""

    def __init__(self, hub: Hub, sink: IntervalSink) -> None:
        """`sink` gets the counters and levels at every boundary."""
        self.s3 = S3(hub)
        self.cloudwatch = CloudWatch(hub)
        self.meter = Meter(hub, sink, self.cloudwatch)
        self.fleet = Fleet(hub, self.s3, self.cloudwatch.record, self.meter.cut, self.cloudwatch.joined)
        self.meter.fleet = self.fleet
        self._faults = Faults(hub, self.fleet, self.s3)
        self._catalogue = Catalogue(hub)
        self._hands: dict[type, Callable[[Any], None]] = {
            act.StartDownload: lambda a: self.fleet.slots[a.instance].disk.download(a.model),
            act.LoadModel: lambda a: self.fleet.slots[a.instance].triton.load(a.model),
            act.UnloadModel: lambda a: self.fleet.slots[a.instance].triton.unload(a.model),
            act.DeleteArtifact: lambda a: self.fleet.slots[a.instance].disk.delete(a.model),
            act.DrainInstance: lambda a: self.fleet.drain(a.instance),
            act.TerminateInstance: lambda a: self.fleet.terminate(a.instance, a.reason)}

    def start(self) -> None:
        """At time 0: models, faults, the meter, and last the initial instances."""
        self._catalogue.start()
        self._faults.start()
        self.meter.start()
        self.fleet.start()

    def perform(self, action: act.Action) -> None:
        """Do what the controller wants of the world."""
        if isinstance(action, act.SetDesiredInstances):
            self.fleet.set_desired(action.count)
        elif self._is_there(action.instance):
            self._hands[type(action)](action)

    def finish(self) -> None:
        """The run is over: the last reading."""
        self.meter.cut()

    def _is_there(self, slot: int) -> bool:
        instance = self.fleet.slots.get(slot)
        return instance is not None and instance.in_service

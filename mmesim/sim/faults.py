"""What goes wrong: the faults of a scenario, on a schedule or at random, and models that come and go.

A fault with `at` happens once; with `every` again and again, the times between its starts being exponential. Each fault
draws from a stream of its own. Faults of one kind may overlap: an outage lasts until the last of them is over, of
several slownesses or throttles the worst counts. What is already so (an instance that does not run, a zone already
lost) happens to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import simpy

from mmesim.core.events import ModelAdded, ModelRemoved
from mmesim.core.types import NEVER_NS
from mmesim.results.types import Phase
from mmesim.sim.fleet import Fleet
from mmesim.sim.hub import Hub, later
from mmesim.sim.s3 import S3
from mmesim.units import ns

Undo = Callable[[], None]


class Faults:
    """Schedules all faults of a run."""

    def __init__(self, hub: Hub, fleet: Fleet, s3: S3) -> None:
        self._hub = hub
        self._fleet = fleet
        self._s3 = s3
        self._strikes: dict[str, Callable[[Any, np.random.Generator], Undo | None]] = {
            "instance_crash": self._instance_crash, "zone_loss": self._zone_loss, "s3_outage": self._s3_outage,
            "s3_slow": self._s3_slow, "s3_throttle": self._s3_throttle, "load_failures": self._load_failures}

    def start(self) -> None:
        """Schedule everything."""
        for number, fault in enumerate(self._hub.build.scenario.faults):
            self._schedule(fault, self._hub.stream("fault", number))

    def _schedule(self, fault: Any, rng: np.random.Generator) -> None:
        delay_s = fault.at if fault.at is not None else rng.exponential(fault.every)
        later(self._hub.env, ns(delay_s), self._strike, (fault, rng))

    def _strike(self, event: simpy.Event) -> None:
        fault, rng = event.value
        undo = self._strikes[fault.use](fault, rng)
        if undo is not None:
            later(self._hub.env, ns(fault.for_), lambda _: undo())
        if fault.every is not None:
            self._schedule(fault, rng)

    def _instance_crash(self, fault: Any, rng: np.random.Generator) -> None:
        running = self._fleet.in_phase(Phase.SERVING, Phase.DRAINING)
        if fault.instance == "random":
            struck = [running[rng.integers(len(running))]] if running else []
        else:
            struck = [instance for instance in running if instance.number == fault.instance]
        self._fleet.lose(struck, "instance crashed")

    def _zone_loss(self, fault: Any, rng: np.random.Generator) -> Undo:
        zones = self._hub.build.scenario.endpoint.availability_zones
        zone = int(rng.integers(zones)) if fault.zone == "random" else fault.zone
        self._fleet.lose_zone(zone)
        return lambda: self._fleet.restore_zone(zone)

    def _s3_outage(self, fault: Any, rng: np.random.Generator) -> Undo:
        self._s3.begin_outage()
        return self._s3.end_outage

    def _s3_slow(self, fault: Any, rng: np.random.Generator) -> Undo:
        self._s3.begin_slow(fault.factor)
        return lambda: self._s3.end_slow(fault.factor)

    def _s3_throttle(self, fault: Any, rng: np.random.Generator) -> Undo:
        self._s3.begin_throttle(fault.rate)
        return lambda: self._s3.end_throttle(fault.rate)

    def _load_failures(self, fault: Any, rng: np.random.Generator) -> Undo:
        models = self._hub.build.models
        struck = [m for m, built in enumerate(models) if fnmatchcase(built.spec.name, fault.models)]

        def change(by: int) -> None:
            for model in struck:
                self._fleet.failing[model] += by

        change(+1)
        return lambda: change(-1)


class Catalogue:
    """Which models are in the prefix: they are added and removed at the times the scenario says."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def start(self) -> None:
        """Schedule every coming and going."""
        for model, built in enumerate(self._hub.build.models):
            if built.available_from_ns > 0:
                later(self._hub.env, built.available_from_ns, self._added, model)
            if built.available_until_ns < NEVER_NS:
                later(self._hub.env, built.available_until_ns, self._removed, model)

    def _added(self, event: simpy.Event) -> None:
        self._hub.post(ModelAdded(event.value))

    def _removed(self, event: simpy.Event) -> None:
        self._hub.post(ModelRemoved(event.value))

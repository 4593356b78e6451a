"""Reads the data plane's counters at every boundary and hands them on, with the levels of the world.

Boundaries: the end of each CloudWatch period, of each output interval and of the warm-up, every change in the number of
serving instances, the end of the run, and at least every `LONGEST_NS` (the counters overflow otherwise).
Levels are those at the boundary, not averages.
"""

from __future__ import annotations

from typing import Protocol

import simpy

from mmesim.dataplane.counters import Counters
from mmesim.results.types import Gauges, Phase
from mmesim.sim.cloudwatch import CloudWatch
from mmesim.sim.fleet import Fleet
from mmesim.sim.hub import Hub, later
from mmesim.units import ns

LONGEST_NS = 600_000_000_000


class IntervalSink(Protocol):
    """What takes the readings: the results' recorder."""

    def interval(self, counters: Counters, gauges: Gauges) -> None:
        """Counters since the last reading, and the levels at this one."""


class Meter:
    """Takes readings; `cut` may be called by whoever is about to change what they mean."""

    def __init__(self, hub: Hub, sink: IntervalSink, cloudwatch: CloudWatch) -> None:
        self._hub = hub
        self._sink = sink
        self._cloudwatch = cloudwatch
        self.fleet: Fleet
        scenario = hub.build.scenario
        self._period_ns = ns(scenario.endpoint.metrics.period)
        self._interval_ns = ns(scenario.output.interval)
        self._warmup_ns = hub.build.warmup_ns
        self._is_measuring = False

    def start(self) -> None:
        """From now on."""
        self._await_boundary()

    def cut(self) -> None:
        """Take a reading now."""
        counters = self._hub.plane.take()
        self._cloudwatch.add(counters, self.fleet.serving)
        self._sink.interval(counters, self.gauges())
        if self._hub.env.now == self._warmup_ns and not self._is_measuring:
            self._is_measuring = True  # once: what happens at this instant after the first reading is measured
            self._hub.plane.reset_totals()

    def gauges(self) -> Gauges:
        """The levels now."""
        fleet = self.fleet
        server = self._hub.build.scenario.endpoint.server
        idle_gpu_bytes = server.idle_gpu_bytes if self._hub.build.endpoint.instance.has_gpu else 0
        return Gauges(
            now_ns=self._hub.env.now,
            device_used_bytes=fleet.levels(lambda i: i.triton.device_bytes + idle_gpu_bytes),
            host_used_bytes=fleet.levels(lambda i: i.triton.host_bytes + server.host_base_bytes),
            disk_used_bytes=fleet.levels(lambda i: i.disk.used_bytes), ready=fleet.levels(lambda i: i.triton.ready),
            phase=fleet.phases(), running=fleet.serving, desired=fleet.desired, network_bytes=fleet.network_bytes)

    def _await_boundary(self) -> None:
        now_ns = self._hub.env.now
        gaps = [self._period_ns - now_ns % self._period_ns, self._interval_ns - now_ns % self._interval_ns, LONGEST_NS]
        if now_ns < self._warmup_ns:
            gaps.append(self._warmup_ns - now_ns)
        later(self._hub.env, min(gaps), self._boundary)

    def _boundary(self, _: simpy.Event) -> None:
        now_ns = self._hub.env.now
        self.cut()
        if now_ns % self._period_ns == 0:
            self._cloudwatch.close(now_ns, self.gauges(), self.fleet.in_phase(Phase.SERVING, Phase.DRAINING))
        self._await_boundary()

"""The run loop: SimPy owns what is slow and rare, the data plane is advanced lazily in between.

One order for equal times: SimPy's events at t (control, world) come before anything the data plane does at t. When the
data plane stops early (a miss, a wish, an idle copy, finished host work), SimPy's clock is moved to that instant, the
controller steps, its actions start world processes, and the loop goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
import simpy

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.controller import EndpointController
from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable
from mmesim.core.streams import stream
from mmesim.dataplane.api import DataPlane, PlaneSpec, Stop, Stopped
from mmesim.results.recorder import Recorder
from mmesim.scenario.build import Build
from mmesim.sim.environment import NanosecondEnvironment
from mmesim.sim.world import World
from mmesim.workload.types import ArrivalSource, ClosedLoop

PROGRESS_STEPS = 256
"""SimPy events between two calls of the progress callback."""


class PlaneFactory(Protocol):
    """Builds a data plane: the compiled kernel, or a reference."""

    def __call__(self, spec: PlaneSpec, table: ResidencyTable, routing: RoutingPolicy, admission: AdmissionPolicy,
                 arrivals: ArrivalSource | None, clients: ClosedLoop | None) -> DataPlane: ...


class Engine:
    """Joins controller, data plane and world for one run; the world sees it as its `Hub`."""

    def __init__(self, build: Build, recorder: Recorder, plane: PlaneFactory) -> None:
        self.build = build
        self.recorder = recorder
        self.env = NanosecondEnvironment()
        self.table = ResidencyTable(len(build.models), build.endpoint.max_instances)
        self.table.model.exists[:] = [model.available_from_ns == 0 for model in build.models]
        self.controller = EndpointController(
            build.endpoint, [model.spec for model in build.models], build.policies, self.table,
            desired=build.scenario.endpoint.instances.initial, seed=build.seed)
        if recorder.wants_decisions:
            self.controller.explain_from_now_on()
        self.plane = plane(build.plane, self.table, build.policies.routing, build.policies.admission, build.arrivals,
                           build.clients)
        self.stop_requested = False
        self._inbox: deque[ev.Event] = deque()
        self._stepping = False
        self._timer_ns: int | None = None
        self._work: dict[int, simpy.Event] = {}
        self._perform = {act.Dispatch: self._dispatch, act.FailWaiters: self._fail_waiters, act.Reject: self._reject,
                         act.Stall: self._stall}
        self.world = World(self, recorder)

    def run(self, progress: Callable[[int], None] | None = None) -> None:
        """Run to the end of the scenario, or until `stop_requested`. `progress` gets the simulated time in ns."""
        self.world.start()
        steps = 0
        while not self.stop_requested and self._advance(self.build.duration_ns):
            steps += 1
            if progress and steps % PROGRESS_STEPS == 0:
                progress(self.env.now)
        self.world.finish()
        self._hand_over_records()
        self.check()

    def check(self) -> None:
        """Every invariant of control and data plane."""
        self.controller.check()
        self.plane.check()

    def _advance(self, end_ns: int) -> bool:
        """One SimPy event, or one stop of the data plane; False when the end is reached."""
        due_ns = self.env.peek()
        stopped = self.plane.advance(int(min(due_ns, end_ns)))
        if stopped.stop is not Stop.HORIZON:
            self.env.move_to(stopped.time_ns)
            self._on_stop(stopped)
            return True
        if due_ns > end_ns:
            self.env.move_to(end_ns)
            return False
        self.env.step()
        if self.build.plane.record_requests:
            self._hand_over_records()
        return True

    def _on_stop(self, stopped: Stopped) -> None:
        if stopped.stop is Stop.MISS:
            self.post(ev.ModelMissed(stopped.model, stopped.instance))
        elif stopped.stop is Stop.WISH:
            self.post(ev.CopyWished(stopped.model))
        elif stopped.stop is Stop.IDLE:
            self.post(ev.CopyIdle(stopped.instance, stopped.model))
        elif stopped.stop is Stop.INSTANCE_IDLE:
            self.post(ev.InstanceDrained(stopped.instance))
        else:
            self._work.pop(stopped.token).succeed()

    def _hand_over_records(self) -> None:
        rows = self.plane.take_records()
        if len(rows):
            self.recorder.requests(rows)

    # What the world and the stops use (the Hub).

    def post(self, event: ev.Event) -> None:
        """Hand an event to the controller now; an event posted meanwhile waits its turn."""
        self._inbox.append(event)
        if self._stepping:
            return
        self._stepping = True
        while self._inbox:
            event = self._inbox.popleft()
            actions = self.controller.step(event, self.env.now)
            self.recorder.step(self.env.now, event, actions, self.controller.decisions)
            for action in actions:
                self._perform.get(type(action), self.world.perform)(action)
        self._stepping = False
        self._arm_timer()

    def host_work(self, instance: int, demand_ns: int) -> simpy.Event:
        """CPU work on an instance; the event succeeds when it is done, never when the instance is lost."""
        done = self.env.event()
        self._work[self.plane.start_work(instance, demand_ns)] = done
        return done

    def stream(self, *names: str | int) -> np.random.Generator:
        """The world's random stream of this name."""
        return stream(self.build.seed, "world", *names)

    def span(self, instance: int, track: str, name: str, start_ns: int, end_ns: int, **args: object) -> None:
        """A piece of the world's work, for the trace."""
        self.recorder.span(instance, track, name, start_ns, end_ns, **args)

    def _arm_timer(self) -> None:
        due_ns = self.controller.next_deadline_ns()
        if due_ns is None or (self._timer_ns is not None and self._timer_ns <= due_ns):
            return
        self._timer_ns = due_ns
        timer = self.env.timeout(max(0, due_ns - self.env.now), value=due_ns)
        timer.callbacks.append(self._on_timer)

    def _on_timer(self, timer: simpy.Event) -> None:
        if timer.value == self._timer_ns:
            self._timer_ns = None
            self.post(ev.Tick())

    # Actions on the data plane.

    def _dispatch(self, action: act.Dispatch) -> None:
        if not self.table.instance.stalled[action.instance]:
            self.plane.release(action.instance, action.model)

    def _fail_waiters(self, action: act.FailWaiters) -> None:
        self.plane.fail_held(action.instance, action.model, action.failure)

    def _reject(self, action: act.Reject) -> None:
        self.plane.reject_pending(action.failure)

    def _stall(self, action: act.Stall) -> None:
        if not action.stalled:
            for model in list(self.controller.endpoint.fleet[action.instance].ready):
                self.plane.release(action.instance, model)

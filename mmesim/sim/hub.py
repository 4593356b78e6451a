"""What the engine gives the world: clock, shared state, events, host CPU time, random streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import simpy

from mmesim.core.events import Event
from mmesim.core.residency import ResidencyTable
from mmesim.dataplane.api import DataPlane

if TYPE_CHECKING:
    from mmesim.scenario.build import Build


class Hub(Protocol):
    """The engine as the world sees it. All times are int nanoseconds."""

    env: simpy.Environment
    """Integer clock: a delay that is not an int is refused."""
    plane: DataPlane
    table: ResidencyTable
    build: Build

    def post(self, event: Event) -> None:
        """Hand an event to the controller at `env.now`; its actions come back through `World.perform`."""

    def host_work(self, instance: int, demand_ns: int) -> simpy.Event:
        """Put so much vCPU time of work on an instance's CPUs; the event succeeds when it is done, and
        never when the instance is lost."""

    def stream(self, *names: str | int) -> np.random.Generator:
        """The random generator of this name, derived from the run's seed."""

    def span(self, instance: int, track: str, name: str, start_ns: int, end_ns: int, **args: object) -> None:
        """Record a bar for trace.json; tracks: ``download``, ``extract``, ``load``, ``unload``."""


def later(env: simpy.Environment, delay_ns: int, call: Callable[[simpy.Event], object],
          value: Any = None) -> simpy.Event:
    """Call `call(event)` after `delay_ns`, with `event.value` = `value`: one SimPy event, no process."""
    timeout = env.timeout(delay_ns, value)
    timeout.callbacks.append(call)
    return timeout

"""A workload whose time passes faster: arrivals, users' starts, stops and think times, surges and the warm-up come
`speed` times as soon. Servers do not get faster, and retries keep their pauses: clients' libraries know no hurry."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmesim.scenario.build import Build
from mmesim.scenario.schema import Scenario
from mmesim.workload.types import NEVER_NS, Arrivals, ArrivalSource, ClosedLoop

SHORTEST_INTERVAL_S = 0.1
"""Of the time series (as the scenario's own `output.interval`)."""


def at_speed(build: Build, speed: float) -> Build:
    """The build of the same workload in 1 / `speed` of the time. Its source of arrivals is used up with `build`'s."""
    if speed == 1.0:
        return build
    return replace(
        build, scenario=_scenario(build.scenario, speed), duration_ns=max(1, round(build.duration_ns / speed)),
        warmup_ns=round(build.warmup_ns / speed),
        arrivals=FasterArrivals(build.arrivals, speed) if build.arrivals else None,
        clients=FasterClients(build.clients, speed) if build.clients else None)


def _scenario(scenario: Scenario, speed: float) -> Scenario:
    """With the times that results and reports look at."""
    workload, output = scenario.workload, scenario.output
    surges = tuple(surge.model_copy(update={"at": surge.at / speed, "for_": surge.for_ / speed})
                   for surge in workload.surges)
    interval_s = max(SHORTEST_INTERVAL_S, output.interval / speed)
    return scenario.model_copy(update={"workload": workload.model_copy(update={"surges": surges}),
                                       "output": output.model_copy(update={"interval": interval_s})})


@dataclass
class FasterArrivals:
    """See :class:`mmesim.workload.types.ArrivalSource`."""

    source: ArrivalSource
    speed: float

    def next_chunk(self) -> Arrivals | None:
        """The next chunk, or None."""
        chunk = self.source.next_chunk()
        return None if chunk is None else replace(chunk, t_ns=_sooner(chunk.t_ns, self.speed))


class FasterClients:
    """See :class:`mmesim.workload.types.ClosedLoop`."""

    def __init__(self, clients: ClosedLoop, speed: float) -> None:
        self._clients, self._speed = clients, speed
        self.n_users, self.items = clients.n_users, clients.items
        self.start_ns = _sooner(clients.start_ns, speed)
        self.stop_ns = np.where(clients.stop_ns == NEVER_NS, NEVER_NS, _sooner(clients.stop_ns, speed))

    def draws(self, user: int, block: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """See `ClosedLoop.draws`."""
        model, think_ns, work_q16 = self._clients.draws(user, block)
        return model, _sooner(think_ns, self._speed), work_q16


def _sooner(times_ns: NDArray[np.int64], speed: float) -> NDArray[np.int64]:
    return np.floor(times_ns / speed).astype(np.int64)

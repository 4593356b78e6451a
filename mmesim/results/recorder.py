"""Collects what a run gives, while it runs, in memory that does not grow with the number of requests.

The engine tells it every controller step; the meter tells it counters and levels at every boundary. Boundaries must
include every multiple of ``output.interval`` and the end of the warm-up: a row of the time series never mixes two
intervals, nor warm-up and measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmesim.core.actions import Action
from mmesim.core.events import Event
from mmesim.dataplane.api import Counters
from mmesim.results.output import OutputWriter
from mmesim.results.run import Run
from mmesim.results.types import Gauges, InstanceLife, StepSink

if TYPE_CHECKING:
    from mmesim.scenario.build import Build


class Recorder:
    """Feed it while a run goes on; `finish` gives the :class:`Run`."""

    def __init__(self, build: Build, out: OutputWriter | None = None, journal: StepSink | None = None) -> None:
        """`out`: where streamed files go (None: nothing is written). `journal`: gets every step, closed at the end."""
        raise NotImplementedError

    def interval(self, counters: Counters, gauges: Gauges) -> None:
        """Counters since the last boundary, and the levels at this one."""
        raise NotImplementedError

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...]) -> None:
        """One controller step: an event and the actions that answered it."""
        raise NotImplementedError

    def span(self, instance: int, track: str, name: str, start_ns: int, end_ns: int, **args: object) -> None:
        """A piece of the world's work for trace.json; tracks: download, extract, load, unload."""
        raise NotImplementedError

    def requests(self, rows: NDArray[np.void]) -> None:
        """REQUEST_RECORD rows, in order of ending."""
        raise NotImplementedError

    def finish(self, *, ended_ns: int, partial: bool, fleet: Sequence[InstanceLife], model_counters: NDArray[np.void],
               model_sketches: NDArray[np.uint32], in_flight: int, wall_s: float) -> Run:
        """Check the invariants and put it all together; `partial`: the run was stopped before its end."""
        raise NotImplementedError

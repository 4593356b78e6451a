"""One scenario in, one result out."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmesim.results.output import OutputWriter
from mmesim.results.recorder import Recorder
from mmesim.results.run import Run
from mmesim.results.types import StepSink
from mmesim.scenario.build import Build
from mmesim.sim.engine import Engine, PlaneFactory


def simulate(build: Build, *, out: OutputWriter | None = None, journal: StepSink | None = None,
             progress: Callable[[int], None] | None = None, say: Callable[[str], None] | None = None,
             plane: PlaneFactory | None = None) -> Run:
    """Run a built scenario. The first Ctrl-C ends the run at the next event; the result is then marked partial.

    `progress` gets the simulated time in ns now and then, `say` what the user should know of the run.
    """
    if plane is None:
        from mmesim.dataplane.plane import KernelPlane
        plane = KernelPlane
    recorder = Recorder(build, out, journal)
    engine = Engine(build, recorder, plane)
    if say and engine.plane.interpreted_policy:
        say("a routing or admission policy cannot be compiled and is asked in Python at each request: slower")
    started_s = time.perf_counter()
    with _gentle_interrupt(engine):
        engine.run(progress)
    return recorder.finish(
        ended_ns=engine.env.now, partial=engine.stop_requested, fleet=engine.world.fleet.lives(),
        model_counters=engine.plane.model_counters(), model_sketches=engine.plane.model_sketches(),
        in_flight=engine.plane.in_flight(), in_flight_age_ns=engine.plane.in_flight_age_ns(),
        wall_s=time.perf_counter() - started_s)


@contextmanager
def _gentle_interrupt(engine: Engine) -> Iterator[None]:
    """Ctrl-C asks the run to end; a second one ends the program."""

    def ask(signum: int, frame: object) -> None:
        if engine.stop_requested:
            raise KeyboardInterrupt
        engine.stop_requested = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not in the main thread: leave signals alone
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

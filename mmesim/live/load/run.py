"""One load test: a build's workload against a target, and the same results as a simulated run has."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmesim.live.load import effort
from mmesim.live.load.aim import MAX_IN_FLIGHT
from mmesim.live.load.callers import Callers
from mmesim.live.load.generator import Generator, Progress
from mmesim.live.load.log import RequestLog, read_log
from mmesim.live.load.targets import Target
from mmesim.live.tally import Observed, results_of
from mmesim.results.output import OutputWriter
from mmesim.results.run import Run
from mmesim.results.unmeasured import Part
from mmesim.scenario.build import Build

SPARE_FILES = 200
"""File descriptors that are not connections."""
MOST_ERRORS = 20
"""Kinds of errors in the results."""


def load_test(build: Build, target: Callable[[], Target], facts: dict[str, Any], *, max_in_flight: int = MAX_IN_FLIGHT,
              out: OutputWriter | None = None, progress: Callable[[Progress], None] | None = None) -> Run:
    """Sends the workload of `build` and returns its results; `target` is called within the event loop.

    `facts`: what ``summary["live"]`` says of target and speed. The first Ctrl-C ends the run early: the result is then
    marked partial. A second one raises KeyboardInterrupt.
    """
    _allow_files(max_in_flight + SPARE_FILES)
    with TemporaryDirectory(prefix="mmesim-load-") as folder:
        path = Path(folder) / "requests.log"
        with path.open("wb", buffering=1 << 20) as file, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            log = RequestLog(file)
            generator = runner.run(_run(build, target, log, max_in_flight, progress))
        return _results(build, generator, log, path, max_in_flight, facts, out)


async def _run(build: Build, target: Callable[[], Target], log: RequestLog, max_in_flight: int,
               progress: Callable[[Progress], None] | None) -> Generator:
    callers = Callers(build.arrivals, build.clients, build.plane.retry, build.plane.retry_seed)
    generator = Generator(callers, target(), log, build.duration_ns, max_in_flight)
    with _gentle_interrupt(generator), _no_pauses():
        await generator.run(progress)
    return generator


def _results(build: Build, generator: Generator, log: RequestLog, path: Path, max_in_flight: int,
             facts: dict[str, Any], out: OutputWriter | None) -> Run:
    lags_ns = np.concatenate([rows["lag_ns"] for rows in read_log(path, 0, sys.maxsize)] or [np.zeros(0, np.int64)])
    latencies_ns = [rows["record"]["latency_ns"] for rows in read_log(path, 0, log.ended)]
    median_ns = float(np.median(np.concatenate(latencies_ns))) if latencies_ns else float("nan")
    told = effort.told(generator.effort, lags_ns[lags_ns >= 0], median_ns, max_in_flight)
    observed = Observed(
        generator.ended_ns, partial=generator.stopped, wall_s=generator.effort.wall_s, unknown=_unknown(log),
        facts={**facts, "generator": told, "errors": _errors(log)})
    return results_of(build, (rows["record"] for rows in read_log(path, 0, log.ended)), observed, out=out,
                      waiting=(rows["record"] for rows in read_log(path, log.ended, sys.maxsize)))


def _unknown(log: RequestLog) -> frozenset[Part]:
    """What a client does not know, and what the target did not tell of every answer."""
    untold = {Part.CACHE: log.untold_tiers > 0, Part.TIME: log.untold_times > 0}
    return frozenset({Part.TIME_WITHIN, Part.RESIDENCY, Part.USE, Part.INSTANCES, Part.BATCHES,
                      *(part for part, missing in untold.items() if missing)})


def _errors(log: RequestLog) -> list[dict[str, Any]]:
    """The most frequent errors, as they were answered."""
    return [{"failure": failure, "http_status": status or None, "text": text, "count": n}
            for (failure, status, text), n in log.errors.most_common(MOST_ERRORS)]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: half the time for each request."""
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop  # type: ignore[no-any-return]
    return None


def _allow_files(wanted: int) -> None:
    """As many open files as wanted, or as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard),
                                                    hard))


@contextmanager
def _no_pauses() -> Iterator[None]:
    """What is there already is never looked at by the collector of cyclic garbage."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _gentle_interrupt(generator: Generator) -> Iterator[None]:
    """Ctrl-C ends the run; a second one, while answers are waited for, the program."""

    def ask() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        generator.stop()

    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, ask)
    except (NotImplementedError, RuntimeError, ValueError):  # not in the main thread: leave signals alone
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)

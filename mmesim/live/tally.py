"""From request records to the very counters of a data plane, and so to the same results as a simulated run.

A record says when its invocation was issued and when it ended, so every counter of every interval follows exactly, in
integers, by the rules of :mod:`mmesim.dataplane.api`: an invocation is counted when it is issued; it ends, and is
counted by its end, at issue + latency, its OVERHEAD (which lies after the service's end) not included. The number in
flight is integrated as ``sum over intervals of (those issued before and not ended) · length``, plus what is issued and
ended within: Little's law is checked on it like on a simulated run, with exact integers.

Records come in any order and in chunks; memory grows with the intervals, not with the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Tier
from mmesim.dataplane.counters import (
    ENDPOINT_COUNTERS,
    INSTANCE_COUNTERS,
    MODEL_COUNTERS,
    N_TIERS,
    SKETCH_BUCKETS,
    SKETCH_SUB_BITS,
    SKETCH_UNIT_BITS,
    Counters,
    Reason,
)
from mmesim.journal.read import Step
from mmesim.results.output import OutputWriter
from mmesim.results.recorder import Recorder
from mmesim.results.run import Run
from mmesim.results.types import Gauges, InstanceLife, Phase, StepSink
from mmesim.results.unmeasured import Part, without
from mmesim.scenario.build import Build
from mmesim.units import ns

Records = NDArray[np.void]
"""Rows of REQUEST_RECORD."""
Ints = NDArray[np.int64]
LOADING = [Reason.DOWNLOAD, Reason.EXTRACT, Reason.ROOM, Reason.LOAD]


def buckets(latency_ns: Ints) -> Ints:
    """:func:`mmesim.dataplane.counters.sketch_bucket` of many latencies."""
    units = latency_ns >> SKETCH_UNIT_BITS
    bits = np.frexp(units.astype(np.float64))[1].astype(np.int64)
    octave = np.maximum(bits - 1 - SKETCH_SUB_BITS, 0)
    return np.minimum(SKETCH_BUCKETS - 1, (octave << SKETCH_SUB_BITS) + (units >> octave))


def edges(build: Build, ended_ns: int) -> Ints:
    """Where the rows of the time series begin and end: at each output interval, the warm-up's end, and the end."""
    regular = np.arange(0, ended_ns, ns(build.scenario.output.interval), dtype=np.int64)
    return np.unique(np.append(regular, [min(build.warmup_ns, ended_ns), ended_ns]))


class Tally:
    """Counts records of requests by interval, instance and model."""

    def __init__(self, edges_ns: Ints, n_models: int, warmup_ns: int) -> None:
        """`edges_ns`: ascending, from 0 to the end; what ends at the end or later is still in flight there."""
        self._edges = edges_ns
        self._since_ns = warmup_ns if warmup_ns < int(edges_ns[-1]) else 0
        n = len(edges_ns) - 1
        self._endpoint = np.zeros(n, ENDPOINT_COUNTERS)
        self._instances = np.zeros((n, 1), INSTANCE_COUNTERS)
        self._spent_ns = np.zeros(n, np.int64)
        self._change = np.zeros(n, np.int64)
        self._codes = np.zeros(0, np.int64)
        self._code_counts = np.zeros(0, np.int64)
        self.models = np.zeros(n_models, MODEL_COUNTERS)
        """Of the measured time."""
        self.model_sketches = np.zeros((n_models, SKETCH_BUCKETS), np.uint32)
        self.in_flight = 0
        """At the end."""
        self.in_flight_age_ns = 0

    @property
    def end_ns(self) -> int:
        return int(self._edges[-1])

    def add(self, rows: Records) -> None:
        """Count records of invocations that have ended."""
        ended_ns = rows["issued_ns"] + rows["latency_ns"] - rows["reasons_ns"][:, Reason.OVERHEAD]
        within = ended_ns < self.end_ns
        self._issue(rows)
        self._end(rows[within], ended_ns[within])
        self._wait(rows[~within])

    def add_waiting(self, rows: Records) -> None:
        """Count records of invocations that have not ended: only what is known at their issue is looked at."""
        self._issue(rows)
        self._wait(rows)

    def counters(self) -> Iterator[Counters]:
        """Interval by interval."""
        length_ns = np.diff(self._edges)
        live = np.cumsum(self._change) - self._change
        self._endpoint["in_flight_ns"] = live * length_ns + self._spent_ns
        of_row = np.searchsorted(self._codes, np.arange(len(length_ns) + 1) * N_TIERS * SKETCH_BUCKETS)
        for k, row in enumerate(self._endpoint):
            sketch = np.zeros(N_TIERS * SKETCH_BUCKETS, np.int64)
            found = slice(of_row[k], of_row[k + 1])
            sketch[self._codes[found] - k * len(sketch)] = self._code_counts[found]
            yield Counters(int(self._edges[k]), int(self._edges[k + 1]), np.array(row), self._instances[k],
                           sketch.reshape(N_TIERS, SKETCH_BUCKETS))

    def _row(self, times_ns: Ints) -> Ints:
        return np.searchsorted(self._edges, times_ns, side="right") - 1

    def _issue(self, rows: Records) -> None:
        issued_ns = rows["issued_ns"]
        assert not len(rows) or 0 <= issued_ns.min() <= issued_ns.max() < self.end_ns, "issued outside of the run"
        at = self._row(issued_ns)
        self._endpoint["invocations"] += np.bincount(at, minlength=len(self._endpoint))
        self._endpoint["retries"] += np.bincount(at[rows["attempt"] > 1], minlength=len(self._endpoint))
        sent = rows["instance"] >= 0
        self._count_instances("invocations", at[sent], rows["instance"][sent])
        self._change += np.bincount(at, minlength=len(self._change))
        np.add.at(self._spent_ns, at, self._edges[at + 1] - issued_ns)
        measured = rows["model"][issued_ns >= self._since_ns]
        self.models["invocations"] += np.bincount(measured, minlength=len(self.models))

    def _wait(self, rows: Records) -> None:
        self.in_flight += len(rows)
        self.in_flight_age_ns += int((self.end_ns - rows["issued_ns"]).sum())

    def _end(self, rows: Records, ended_ns: Ints) -> None:
        at = self._row(ended_ns)
        self._change -= np.bincount(at, minlength=len(self._change))
        np.subtract.at(self._spent_ns, at, self._edges[at + 1] - ended_ns)
        answered = rows["failure"] == 0
        self._answer(rows[answered], at[answered])
        self._fail(rows[~answered], at[~answered])
        measured = ended_ns >= self._since_ns
        self._answer_models(rows[answered & measured])
        self.models["failures"] += np.bincount(rows["model"][~answered & measured], minlength=len(self.models))

    def _answer(self, rows: Records, at: Ints) -> None:
        latency_ns, tier, total = rows["latency_ns"], rows["tier"], self._endpoint
        total["completions"] += np.bincount(at, minlength=len(total))
        np.add.at(total["tiers"], (at, tier), 1)
        np.add.at(total["latency_ns"], at, latency_ns)
        np.add.at(total["tier_latency_ns"], (at, tier), latency_ns)
        np.add.at(total["reasons_ns"], at, rows["reasons_ns"])
        np.add.at(total["loading_wait_ns"], at, rows["reasons_ns"][:, LOADING].sum(axis=1))
        sent = rows["instance"] >= 0
        self._count_instances("completions", at[sent], rows["instance"][sent])
        self._sketch((at * N_TIERS + tier) * SKETCH_BUCKETS + buckets(latency_ns))

    def _sketch(self, codes: Ints) -> None:
        """Keep sorted (row, tier, bucket) codes with their counts: most of a row's buckets stay empty."""
        more, counts = np.unique(codes, return_counts=True)
        self._codes, where = np.unique(np.append(self._codes, more), return_inverse=True)
        merged = np.zeros(len(self._codes), np.int64)
        np.add.at(merged, where, np.append(self._code_counts, counts))
        self._code_counts = merged

    def _fail(self, rows: Records, at: Ints) -> None:
        np.add.at(self._endpoint["failures"], (at, rows["failure"]), 1)
        np.add.at(self._endpoint["failed_ns"], at, rows["latency_ns"])

    def _answer_models(self, rows: Records) -> None:
        model, latency_ns = rows["model"], rows["latency_ns"]
        self.models["completions"] += np.bincount(model, minlength=len(self.models))
        np.add.at(self.models["tiers"], (model, rows["tier"]), 1)
        np.add.at(self.models["latency_ns"], model, latency_ns)
        np.add.at(self.model_sketches, (model, buckets(latency_ns)), 1)

    def _count_instances(self, what: str, at: Ints, slots: Ints) -> None:
        known = self._instances.shape[1]
        if len(slots) and slots.max() >= known:
            more = np.zeros((len(self._instances), int(slots.max()) + 1 - known), INSTANCE_COUNTERS)
            self._instances = np.concatenate([self._instances, more], axis=1)
        np.add.at(self._instances[what], (at, slots), 1)


@dataclass(frozen=True)
class Observed:
    """What there is of a live run besides its records."""

    ended_ns: int
    partial: bool = False
    """It was stopped before its end."""
    wall_s: float = 0.0
    steps: Iterable[Step] = ()
    """The controller's steps, in order of time: loads, evictions and lanes are known from them."""
    fleet: Sequence[InstanceLife] = ()
    levels: Callable[[int], Gauges] | None = None
    """Levels at a time (ns), asked for in ascending order; None: nobody measured them."""
    unknown: frozenset[Part] = frozenset()
    """What nobody measured."""
    facts: Mapping[str, object] | None = None
    """What the summary says under ``live``."""


def results_of(build: Build, records: Iterable[Records], observed: Observed, *, waiting: Iterable[Records] = (),
               out: OutputWriter | None = None, journal: StepSink | None = None) -> Run:
    """The results of a live run, with every invariant of a simulated one checked.

    `records` of ended invocations, in order of ending, `waiting` of those in flight at the end; `out` and `journal` as
    for :class:`mmesim.results.recorder.Recorder`.
    """
    tally = Tally(edges(build, observed.ended_ns), len(build.models), build.warmup_ns)
    recorder = Recorder(build, out, journal)
    for rows in records:
        recorder.requests(rows)
        tally.add(_with_tier(rows))
    for rows in waiting:
        tally.add_waiting(rows)
    _tell(recorder, tally, observed)
    run = recorder.finish(
        ended_ns=observed.ended_ns, partial=observed.partial, fleet=observed.fleet, model_counters=tally.models,
        model_sketches=tally.model_sketches, in_flight=tally.in_flight, in_flight_age_ns=tally.in_flight_age_ns,
        wall_s=observed.wall_s)
    return without(run, observed.unknown, observed.facts or {})


def _with_tier(rows: Records) -> Records:
    """An answer whose tier nobody told is counted as a hit; `unknown` then holds CACHE, and no hit is shown."""
    untold = (rows["tier"] < 0) & (rows["failure"] == 0)
    if untold.any():
        rows = rows.copy()
        rows["tier"][untold] = Tier.GPU
    return rows


def _tell(recorder: Recorder, tally: Tally, observed: Observed) -> None:
    """Intervals and steps, in order of time; a step at an interval's end belongs to the next."""
    steps = iter(observed.steps)
    step = next(steps, None)
    for counters in tally.counters():
        while step is not None and step.now_ns < counters.until_ns:
            recorder.step(step.now_ns, step.event, step.actions, step.decisions)
            step = next(steps, None)
        levels = observed.levels(counters.until_ns) if observed.levels else nothing(counters)
        recorder.interval(counters, levels)


def nothing(counters: Counters) -> Gauges:
    """Levels where nobody measured any."""
    zeros = np.zeros(len(counters.instances), np.int64)
    return Gauges(counters.until_ns, zeros, zeros, zeros, zeros, zeros + Phase.NONE, running=0, desired=0,
                  network_bytes=0)

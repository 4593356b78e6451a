"""From the specs to a source of requests: the workload's own composition root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from mmesim.core.streams import stream
from mmesim.errors import InputError, Problem, alternatives
from mmesim.units import ns, seconds
from mmesim.workload.clients import StagedClients
from mmesim.workload.combine import Chunked, Chunks, cut, merged, narrowed
from mmesim.workload.counts import CountTable, expanded_times, whole_counts
from mmesim.workload.popularity import NOBODY, Chooser, Epoch, Sessions, epochs
from mmesim.workload.processes import Times, gaps_of, renewal
from mmesim.workload.rates import MINUTE_S, PiecewiseRate, constant, rate_of, steps
from mmesim.workload.trace import trace_chunks
from mmesim.workload.tracefile import COUNTS, TraceFile
from mmesim.workload.types import (
    CHUNK,
    Arrivals,
    ArrivalSource,
    ArrivalSpec,
    ClosedLoop,
    SurgeSpec,
    WorkloadModel,
    WorkloadSpec,
)
from mmesim.workload.work import Works

MAX_COPIES = 10_000
"""Of a trace: each is read on its own."""


def build_arrivals(spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int, duration_ns: int,
                   chunk: int = CHUNK) -> ArrivalSource:
    """All open requests of `duration_ns` from the spec's start: generated or from the trace, and the surges.

    Times depend on seed and arrival settings only; models on seed, popularity and times. What is cut off, before the
    start or for models that are not wanted, is generated all the same: the rest is what it is in the whole. Raises
    InputError on files, names and patterns that are wrong.
    """
    check(spec, models)
    start_ns = ns(spec.start_s)
    whole = _whole(spec, models, seed, start_ns + duration_ns, chunk)
    return Chunked(cut(narrowed(whole, wanted(spec, models)), start_ns, start_ns + duration_ns))


def _whole(spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int, end_ns: int, chunk: int) -> Chunks:
    """The requests of [0, end_ns) to all models."""
    if spec.trace is not None:
        return trace_chunks(spec.trace, models, spec.items, seed)
    if spec.arrivals.use == "none":
        return iter(())
    schedule = epochs(spec.popularity, models, seed, end_ns)
    sessions = Sessions(spec.session_repeat, spec.session_reach, stream(seed, "sessions"))
    chooser = Chooser(schedule, stream(seed, "popularity"), sessions)
    times = _times(spec.arrivals, seed, end_ns, chunk)
    base = _requests(times, chooser, Works(models, seed), spec.items)
    surges = [_surge(spec, index, models, seed, end_ns) for index in range(len(spec.surges))]
    return merged([base, *surges])


def build_closed_loop(spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int) -> ClosedLoop:
    """The closed-loop clients of `spec.clients`. Raises InputError on wrong names."""
    assert spec.clients is not None
    check(spec, models)
    return StagedClients(spec, models, seed)


def check(spec: WorkloadSpec, models: Sequence[WorkloadModel]) -> None:
    """Raises InputError on combinations and patterns that cannot be served, all at once."""
    problems = [_no_match(surge.models, f"workload.surges[{index}].models", models)
                for index, surge in enumerate(spec.surges)
                if not matching(surge.models, models).any()]
    problems += [_no_match(pattern, f"workload.only[{index}]", models) for index, pattern in enumerate(spec.only or ())
                 if not matching(pattern, models).any()]
    problems += [Problem(f"a surge by the factor {surge.factor:g} is none", hint="the factor is above 1",
                         path=f"workload.surges[{index}].factor")
                 for index, surge in enumerate(spec.surges) if surge.factor <= 1]
    if spec.surges and (spec.trace is not None or spec.arrivals.use == "none"):
        problems.append(Problem("a surge multiplies the rate of `arrivals`, and there is none",
                                path="workload.surges", hint="leave out surges, or use arrivals with a rate"))
    if spec.clients is not None and spec.popularity.use == "drifting":
        problems.append(Problem("closed-loop clients choose by a popularity that stands still",
                                path="workload.popularity", hint="use zipf, uniform or explicit"))
    if spec.clients is not None and spec.session_reach > 1:
        problems.append(Problem("closed-loop clients keep to their own last model", path="workload.sessions.reach",
                                hint="leave out reach: it tells how sessions of many clients mix"))
    problems += _of_parts(spec)
    if problems:
        raise InputError(problems)


def _of_parts(spec: WorkloadSpec) -> Iterator[Problem]:
    """What cannot be made larger, or cut."""
    if spec.only == ():
        yield Problem("no model is wanted", path="workload.only", hint="write patterns, or null for all models")
    if spec.trace is not None and spec.trace.repeat > MAX_COPIES:
        yield Problem(f"{spec.trace.repeat:,} copies of the trace", path="workload.scale",
                      hint=f"at most {MAX_COPIES:,}: scale less, or repeat less")
    if spec.clients is not None:
        for name, given in (("start", spec.start_s > 0), ("only", spec.only is not None)):
            if given:
                yield Problem("closed-loop clients cannot be cut: what a user does next depends on the answers before",
                              path=f"workload.{name}", hint="leave it out, or use arrivals or a trace")


def matching(pattern: str, models: Sequence[WorkloadModel]) -> NDArray[np.bool_]:
    """Which models a shell pattern is about."""
    return np.array([fnmatchcase(model.name, pattern) for model in models], dtype=bool)


def wanted(spec: WorkloadSpec, models: Sequence[WorkloadModel]) -> NDArray[np.bool_]:
    """Which models' requests are kept."""
    patterns = ("*",) if spec.only is None else spec.only
    return np.logical_or.reduce([matching(pattern, models) for pattern in patterns])


def surge_rate(surge: SurgeSpec, base: PiecewiseRate, schedule: Iterator[Epoch],
               members: NDArray[np.bool_]) -> PiecewiseRate:
    """Rate that a surge adds: (factor - 1) times the rate of its models, while it lasts."""
    parts = [epoch for epoch in schedule if epoch.end_ns > ns(surge.at_s)]
    if not parts:  # the run is over before it
        return constant(0.0, surge.at_s)
    edges = np.array([seconds(epoch.start_ns) for epoch in parts] + [seconds(parts[-1].end_ns)])
    factors = np.array([(surge.factor - 1) * epoch.shares[members].sum() for epoch in parts])
    return base.scaled(edges, factors).scaled(
        np.array([surge.at_s, min(surge.at_s + surge.for_s, edges[-1])]), np.ones(1))


def arrival_rate(spec: ArrivalSpec, seed: int, duration_ns: int) -> PiecewiseRate:
    """The rate on [0, duration_ns) of generated arrivals; counts per minute are constant inside a minute."""
    if spec.use != "minute_counts":
        return rate_of(spec, seed, seconds(duration_ns))
    totals = _totals(spec) * spec.scale
    edges = np.arange(len(totals) + 1) * MINUTE_S
    return steps(edges, totals / MINUTE_S)


def _times(spec: ArrivalSpec, seed: int, duration_ns: int, chunk: int) -> Times:
    if spec.use == "minute_counts":
        totals = whole_counts(_totals(spec) * spec.scale, stream(seed, "scale"))
        table = CountTable(np.arange(len(totals)), np.zeros(len(totals), np.int32), totals)
        return expanded_times(table, spec.expand, duration_ns, seed, "arrivals")
    gaps = gaps_of(spec, stream(seed, "arrivals"))
    return renewal(rate_of(spec, seed, seconds(duration_ns)), gaps, duration_ns, chunk)


def _requests(times: Times, chooser: Chooser, works: Works, items: int) -> Chunks:
    for t_ns in times:
        model = chooser.choose(t_ns)
        served: slice | NDArray[np.bool_] = slice(None)
        if model.min() == NOBODY:
            served = model != NOBODY
            model = model[served]
        if len(model):
            items_each = np.full(len(model), items, np.int32)
            yield Arrivals(t_ns[served], model, items_each, works.draw(model))


def _surge(spec: WorkloadSpec, index: int, models: Sequence[WorkloadModel], seed: int, end_ns: int) -> Chunks:
    """The additional requests of one surge, from streams of its own; a crowd has no sessions."""
    surge, name = spec.surges[index], ("surges", index)
    members = matching(surge.models, models)
    rate = surge_rate(surge, arrival_rate(spec.arrivals, seed, end_ns),
                      epochs(spec.popularity, models, seed, end_ns), members)
    schedule = (Epoch(epoch.start_ns, epoch.end_ns, _share(epoch.shares * members))
                for epoch in epochs(spec.popularity, models, seed, end_ns))
    chooser = Chooser(schedule, stream(seed, *name, "popularity"))
    times = renewal(rate, stream(seed, *name, "arrivals").standard_exponential, end_ns)
    yield from _requests(times, chooser, Works(models, seed, *name), spec.items)


def _share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weights.sum()
    return weights / total if total > 0 else weights


def _totals(spec: ArrivalSpec) -> NDArray[np.int64]:
    """Requests in each minute from the first to the last."""
    assert spec.file is not None
    file = TraceFile(spec.file, COUNTS, "workload.arrivals.file")
    rows = [(batch.time, batch.count) for batch in file.batches()]
    if not rows:
        raise file.problem("there are no counts", hint="write at least one minute")
    minute, count = (np.concatenate(column) for column in zip(*rows, strict=True))
    return np.bincount(minute.astype(np.int64), count).astype(np.int64)


def _no_match(pattern: str, path: str, models: Sequence[WorkloadModel]) -> Problem:
    return Problem(f"no model matches {pattern!r}", path=path,
                   hint=alternatives(pattern, [model.name for model in models]))

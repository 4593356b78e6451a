"""A whole trace as arrays: what the analysis reads, be it recorded or generated.

Counts per minute become requests at random places inside their minute: nothing finer than a minute is real then, and
`exact_times` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.errors import InputError, Problem
from mmesim.units import ns, seconds
from mmesim.workload.build import build_arrivals
from mmesim.workload.trace import trace_facts
from mmesim.workload.tracefile import REQUESTS
from mmesim.workload.types import ArrivalSource, TraceSpec, WorkloadModel, WorkloadSpec

PLACED_BY_SEED = 1
"""Of the random places inside a minute."""
Progress = Callable[[int], None]
"""Is told how many requests have been read."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Requests sorted by time."""

    t_ns: NDArray[np.int64]
    model: NDArray[np.int32]
    """Index into `names`."""
    names: tuple[str, ...]
    begin_ns: int
    end_ns: int
    """What was watched: requests are in [begin_ns, end_ns)."""
    exact_times: bool = True
    """False: only the minute of each request is known, and the order inside a minute is random."""

    def __len__(self) -> int:
        return len(self.t_ns)

    @property
    def span_s(self) -> float:
        """From the first request to the last; from the first minute to the last, where times are not exact."""
        if not self.exact_times:
            return seconds(self.end_ns - self.begin_ns)
        return seconds(int(self.t_ns[-1] - self.t_ns[0])) if len(self) else 0.0

    @property
    def counts(self) -> NDArray[np.int64]:
        """Requests of each name."""
        return np.bincount(self.model, minlength=len(self.names))

    def between(self, begin_ns: int, end_ns: int) -> Recorded:
        """The requests of [begin_ns, end_ns)."""
        rows = slice(*np.searchsorted(self.t_ns, (begin_ns, end_ns)))
        return replace(self, t_ns=self.t_ns[rows], model=self.model[rows], begin_ns=begin_ns, end_ns=end_ns)

    def busiest(self, n: int) -> Recorded:
        """The requests to the `n` names with the most of them."""
        order = np.argsort(-self.counts, kind="stable")[:n]
        place = np.full(len(self.names), -1, np.int32)
        place[order] = np.arange(len(order))
        kept = place[self.model] >= 0
        return replace(self, t_ns=self.t_ns[kept], model=place[self.model[kept]],
                       names=tuple(self.names[k] for k in order))


def read_trace(path: Path, kind: str = "auto", progress: Progress | None = None) -> Recorded:
    """The trace of a file, most requested name first. Raises InputError with file, row and value."""
    facts = trace_facts(path, kind)
    if not facts.requests:
        raise InputError(Problem("all counts are 0", file=str(path), hint="a trace needs at least one request"))
    models = [WorkloadModel(name) for name in facts.counts]
    spec = WorkloadSpec(trace=TraceSpec(path, kind))  # as many models as ids: round_robin gives each its own
    whole = collected(build_arrivals(spec, models, PLACED_BY_SEED, ns(facts.end_s)), list(facts.counts),
                      ns(facts.end_s), progress)
    return replace(whole, exact_times=facts.kind == REQUESTS)


def collected(source: ArrivalSource, names: Sequence[str], end_ns: int, progress: Progress | None = None) -> Recorded:
    """All requests of a source, watched from 0 to `end_ns`."""
    chunks, done = [], 0
    while (chunk := source.next_chunk()) is not None:
        chunks.append(chunk)
        done += len(chunk)
        if progress:
            progress(done)
    t_ns = np.concatenate([chunk.t_ns for chunk in chunks]) if chunks else np.empty(0, np.int64)
    model = np.concatenate([chunk.model for chunk in chunks]) if chunks else np.empty(0, np.int32)
    return Recorded(t_ns, model, tuple(names), 0, end_ns)


"""Recorded workloads: the requests of a trace, sent to the models of the scenario.

The file is read twice: once to check it and to count its ids (`trace_facts`), once for the run; request
traces are streamed both times and never held whole. Ids are ranked over the whole file, so that every slice
of it maps them alike.

The slice [start, end) is moved to time 0. Copy k of `repeat` is shifted by k times one hour (or the slice /
repeat, when that is shorter) and wrapped round the slice: far enough apart that the copies of a request do
not meet in a cache, near enough to keep the shape of a day. The columns `items` and `work` are used where
they exist; else `items` is the scenario's and the work is drawn from the model's law.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.core.streams import stream
from mmesim.errors import InputError, Problem, alternatives
from mmesim.units import ns
from mmesim.workload.combine import Chunks, merged, thinned, with_work
from mmesim.workload.counts import MINUTE_NS, CountTable, expanded
from mmesim.workload.tracefile import COUNTS, Batch, TraceFile
from mmesim.workload.types import Arrivals, TraceSpec, WorkloadModel
from mmesim.workload.work import Works, to_q16

COPY_SHIFT_S = 3600.0
MANY_IDS = 5
"""Unknown ids shown in a complaint."""


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What a whole file says."""

    kind: str
    """requests | minute_counts"""
    counts: dict[str, int]
    """Requests of each id, most requested first, ties by id."""
    end_s: float
    """The first whole second after the last request, or the end of the last minute."""

    @property
    def requests(self) -> int:
        """Requests in all."""
        return sum(self.counts.values())


def trace_facts(path: Path, kind: str = "auto") -> TraceFacts:
    """Checks a trace and counts its ids. Raises InputError with file, row and value."""
    file = TraceFile(path, kind)
    status = file.path.stat()
    return _facts(str(path), kind, status.st_mtime_ns, status.st_size)


def trace_end_s(spec: TraceSpec) -> float:
    """How long the trace's slice is, in seconds. Raises InputError when nothing is left of it."""
    facts = trace_facts(spec.file, spec.kind)
    end_s = facts.end_s if spec.end_s is None else min(spec.end_s, facts.end_s)
    if end_s <= spec.start_s:
        raise InputError(Problem(
            f"no request between {spec.start_s:g} s and {end_s:g} s", path="workload.trace_options",
            file=str(spec.file), hint=f"the trace ends at {facts.end_s:g} s"))
    return end_s - spec.start_s


def trace_left_s(spec: TraceSpec, start_s: float) -> float:
    """How much of the slice is left from `start_s` after its beginning. Raises InputError when nothing is."""
    end_s = trace_end_s(spec)
    if start_s >= end_s:
        raise InputError(Problem(f"nothing of the trace is left after {start_s:g} s", path="workload.start",
                                 file=str(spec.file), hint=f"it ends at {end_s:g} s"))
    return end_s - start_s


def id_map(spec: TraceSpec, models: Sequence[WorkloadModel]) -> dict[str, int]:
    """Index of the model for each id of the trace. Raises InputError on names without a model."""
    counts = trace_facts(spec.file, spec.kind).counts
    if spec.map == "round_robin":
        return {name: rank % len(models) for rank, name in enumerate(counts)}
    if spec.map == "hash":
        return {name: _hashed(name, len(models)) for name in counts}
    index = {model.name: place for place, model in enumerate(models)}
    unknown = [name for name in counts if name not in index]
    if unknown:
        raise _unknown_ids(spec, unknown, list(index))
    return {name: index[name] for name in counts}


def trace_chunks(spec: TraceSpec, models: Sequence[WorkloadModel], items: int, seed: int) -> Chunks:
    """All requests of the trace with their work, in time order."""
    chunks = thinned(trace_requests(spec, models, items, seed), spec.thin, stream(seed, "thin"))
    if "work" in TraceFile(spec.file, spec.kind).columns:
        return chunks
    return with_work(chunks, Works(models, seed))


def trace_requests(spec: TraceSpec, models: Sequence[WorkloadModel], items: int, seed: int) -> Chunks:
    """The requests of all copies, before thinning; work 0 where the trace gives none."""
    ids, length_ns, start_ns = id_map(spec, models), ns(trace_end_s(spec)), ns(spec.start_s)
    shift_ns = min(ns(COPY_SHIFT_S), length_ns // spec.repeat)

    def part(copy: int, begin_ns: int, end_ns: int, to_ns: int) -> Chunks:
        for chunk in _between(spec, ids, items, seed, copy, start_ns + begin_ns, start_ns + end_ns):
            yield replace(chunk, t_ns=chunk.t_ns + (to_ns - start_ns - begin_ns))

    def wrapped(copy: int) -> Chunks:
        cut_ns = length_ns - copy * shift_ns  # what would fall behind the end comes first
        return chain(part(copy, cut_ns, length_ns, 0), part(copy, 0, cut_ns, copy * shift_ns))

    return merged([part(0, 0, length_ns, 0), *(wrapped(copy) for copy in range(1, spec.repeat))])


@lru_cache(maxsize=8)
def _facts(path: str, kind: str, _mtime_ns: int, _size: int) -> TraceFacts:
    file = TraceFile(Path(path), kind)
    counts: Counter[str] = Counter()
    last = -1.0
    for batch in file.batches():
        assert batch.ids is not None
        weights = np.bincount(batch.ids.row, batch.count, minlength=len(batch.ids.names))
        counts.update(dict(zip(batch.ids.names, weights.astype(int).tolist(), strict=True)))
        last = max(last, float(batch.time.max()))
    if not counts:
        raise file.problem("the trace has no rows", hint="a trace needs at least one request")
    ranked = dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
    return TraceFacts(file.kind, ranked, 60 * (last + 1) if file.kind == COUNTS else math.floor(last) + 1.0)


def _between(spec: TraceSpec, ids: dict[str, int], items: int, seed: int, copy: int, begin_ns: int,
             end_ns: int) -> Chunks:
    """Requests of the file in [begin_ns, end_ns) of its own time."""
    file = TraceFile(spec.file, spec.kind)
    if file.kind == COUNTS:
        source = expanded(_count_table(file, ids, begin_ns, end_ns), spec.expand, seed, "trace", copy)
        source = (replace(chunk, items=np.full(len(chunk), items, np.int32)) for chunk in source)
    else:
        source = (_requests(batch, ids, items) for batch in file.batches())
    for chunk in source:
        low, high = np.searchsorted(chunk.t_ns, (begin_ns, end_ns))
        if low < high:
            yield chunk[int(low):int(high)]
        if high < len(chunk):
            return


def _requests(batch: Batch, ids: dict[str, int], items: int) -> Arrivals:
    n = len(batch.time)
    return Arrivals(
        np.rint(batch.time * 1e9).astype(np.int64), _models(batch, ids),
        np.full(n, items, np.int32) if batch.items is None else batch.items.astype(np.int32),
        np.zeros(n, np.int64) if batch.work is None else to_q16(batch.work))


def _count_table(file: TraceFile, ids: dict[str, int], begin_ns: int, end_ns: int) -> CountTable:
    """The counts of the minutes that have a part in [begin_ns, end_ns)."""
    rows = [(batch.time, _models(batch, ids), batch.count) for batch in file.batches()]
    minute, model, count = (np.concatenate(column) for column in zip(*rows, strict=True))
    inside = (minute * MINUTE_NS < end_ns) & ((minute + 1) * MINUTE_NS > begin_ns)
    return CountTable.of(minute[inside].astype(np.int64), model[inside], count[inside].astype(np.int64))


def _models(batch: Batch, ids: dict[str, int]) -> NDArray[np.int32]:
    assert batch.ids is not None
    return np.array([ids[name] for name in batch.ids.names], dtype=np.int32)[batch.ids.row]


def _hashed(name: str, n: int) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8], "little") % n


def _unknown_ids(spec: TraceSpec, unknown: list[str], names: list[str]) -> InputError:
    shown = ", ".join(repr(name) for name in unknown[:MANY_IDS])
    more = f" and {len(unknown) - MANY_IDS} more" if len(unknown) > MANY_IDS else ""
    return InputError(Problem(
        f"{len(unknown)} ids of the trace are not models of this scenario: {shown}{more}",
        path="workload.trace_options.map", file=str(spec.file),
        hint=f"{alternatives(unknown[0], names)}; or map: round_robin or hash"))

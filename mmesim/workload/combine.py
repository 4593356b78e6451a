"""Streams of requests put together: merged, thinned, cut, given their work.

Inside the workload a stream is an iterator of non-empty chunks of any size, sorted by time; `Chunked` makes
it the source that the simulator reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmesim.workload.types import CHUNK, NEVER_NS, Arrivals
from mmesim.workload.work import Works

Chunks = Iterator[Arrivals]

NOTHING = Arrivals(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


class Chunked:
    """A source of the given chunks, the long ones split."""

    def __init__(self, chunks: Chunks) -> None:
        self._pieces = (chunk[at:at + CHUNK] for chunk in chunks for at in range(0, len(chunk), CHUNK))

    def next_chunk(self) -> Arrivals | None:
        """See `ArrivalSource`."""
        return next(self._pieces, None)


def merged(streams: Sequence[Chunks]) -> Chunks:
    """All streams as one; requests at the same instant come in the order of the streams."""
    if len(streams) == 1:
        yield from streams[0]
        return
    heads = [next(stream, NOTHING) for stream in streams]
    live = [len(head) > 0 for head in heads]
    while any(len(head) for head in heads):
        # a stream is known up to its last request in hand; whatever is before the least of these is complete
        ends = [int(head.t_ns[-1]) for head, on in zip(heads, live, strict=True) if on]
        horizon = min(ends, default=NEVER_NS)
        cuts = [int(np.searchsorted(head.t_ns, horizon)) for head in heads]
        if any(cuts):
            yield in_time_order([head[:cut] for head, cut in zip(heads, cuts, strict=True)])
        heads = [head[cut:] for head, cut in zip(heads, cuts, strict=True)]
        for index, stream in enumerate(streams):
            if live[index] and heads[index].t_ns[-1] == horizon:
                more = next(stream, NOTHING)
                live[index] = len(more) > 0
                heads[index] = _joined([heads[index], more])


def in_time_order(pieces: Sequence[Arrivals]) -> Arrivals:
    """The pieces as one chunk, stably sorted by time."""
    whole = _joined(pieces)
    return whole[np.argsort(whole.t_ns, kind="stable")]


def thinned(chunks: Chunks, keep: float, rng: np.random.Generator) -> Chunks:
    """Each request with probability `keep`."""
    if keep >= 1:
        return chunks
    return _non_empty(chunk[rng.random(len(chunk)) < keep] for chunk in chunks)


def cut(chunks: Chunks, begin_ns: int, end_ns: int) -> Chunks:
    """The requests in [begin_ns, end_ns), moved so that `begin_ns` is time 0."""
    for chunk in chunks:
        low, high = np.searchsorted(chunk.t_ns, (begin_ns, end_ns))
        if low < high:
            kept = chunk[int(low):int(high)]
            yield replace(kept, t_ns=kept.t_ns - begin_ns) if begin_ns else kept
        if high < len(chunk):
            return


def narrowed(chunks: Chunks, members: NDArray[np.bool_]) -> Chunks:
    """The requests for some of the models only."""
    return chunks if members.all() else _non_empty(chunk[members[chunk.model]] for chunk in chunks)


def with_work(chunks: Chunks, works: Works) -> Chunks:
    """The requests with their work drawn."""
    return (replace(chunk, work_q16=works.draw(chunk.model)) for chunk in chunks)


def _joined(pieces: Sequence[Arrivals]) -> Arrivals:
    return Arrivals(*(np.concatenate([getattr(piece, name) for piece in pieces])
                      for name in ("t_ns", "model", "items", "work_q16")))


def _non_empty(chunks: Chunks) -> Chunks:
    return (chunk for chunk in chunks if len(chunk))

"""Locality: which model follows which, and what a cache of a given size would have hit.

The stack distance of a request is the number of other models asked for since the last request for the same one. LRU
with room for C equal models hits it exactly when the distance is below C (Mattson et al., "Evaluation techniques for
storage hierarchies", IBM Systems Journal 1970), so that all sizes follow from one pass.

The distance of request i, whose model was last asked for at p, is the number of j < i with prev(j) < p, less p + 1:
each of the requests up to p is such a j, and of those between p and i the first for each model. The count is taken bit
by bit of prev, from the top, the sequence staying stably sorted by the bits seen (as in a wavelet matrix): n log n,
exact, and in NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Models = NDArray[np.int32]
Done = Callable[[int], None]
"""Is told how many per cent are done."""
FIRST = -1
"""Stack distance of the first request for a model: no cache hits it."""


def previous(model: Models) -> Ints:
    """Index of the request before for the same model, or `FIRST`."""
    order = np.argsort(model, kind="stable")
    before = np.full(len(model), FIRST, np.int64)
    same = model[order[1:]] == model[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return before


def stack_distances(model: Models, done: Done | None = None) -> Ints:
    """Other models asked for since the last request for the same one; `FIRST` where there was none."""
    n, before = len(model), previous(model)
    again = before != FIRST
    rank = np.where(again, n + before, np.arange(n))  # all different; first requests below all others
    return np.where(again, _smaller_before(rank, 2 * n, done) - before - 1, FIRST)


def hit_ratios(distances: Ints, n_models: int) -> NDArray[np.float64]:
    """Hit ratio of LRU with room for 0, 1, … n_models equal models."""
    hits = np.bincount(distances[distances != FIRST], minlength=n_models)[:n_models]
    return np.concatenate(([0.0], np.cumsum(hits))) / max(1, len(distances))


def same_model_again(model: Models) -> float:
    """Share of requests for the same model as the one before."""
    return float((model[1:] == model[:-1]).mean()) if len(model) > 1 else float("nan")


def independent_again(counts: Ints) -> float:
    """What that share would be if requests were drawn independently with the same popularity."""
    shares = counts / max(1, counts.sum())
    return float(shares @ shares)


def _smaller_before(rank: Ints, limit: int, done: Done | None) -> Ints:
    """For each element the number of smaller ones before it; all are different and below `limit`."""
    smaller = np.zeros(len(rank), np.int64)
    place, group = np.arange(len(rank)), np.zeros(len(rank), np.int64)  # in the order of the bits seen so far
    bits = int(limit).bit_length()
    for bit in range(bits - 1, -1, -1):
        one = (rank[place] >> bit & 1).astype(bool)
        zeros = np.concatenate(([0], np.cumsum(~one)))
        smaller[place[one]] += (zeros[:-1] - zeros[group])[one]
        place, group = _partition(place, group, one, zeros)
        if done:
            done(100 - 100 * bit // bits)
    return smaller


def _partition(place: Ints, group: Ints, one: NDArray[np.bool_], zeros: Ints) -> tuple[Ints, Ints]:
    """Each group split stably into zeros and ones; `group` holds where the group of each element begins."""
    index = np.arange(len(place))
    ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(place))
    end = ends[np.searchsorted(ends, index, side="right")]
    zeros_in_group = zeros[end] - zeros[group]
    zeros_before = zeros[:-1] - zeros[group]
    begin = group + np.where(one, zeros_in_group, 0)
    to = begin + np.where(one, index - group - zeros_before, zeros_before)
    moved, groups = np.empty_like(place), np.empty_like(group)
    moved[to], groups[to] = place, begin
    return moved, groups

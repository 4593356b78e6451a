"""Counts per minute become requests: each minute on its own, from a stream of its own.

A count says nothing finer than a minute, so the rule for the inside of the minute is an assumption and is
chosen: `uniform` (each request anywhere in the minute, independently: Poisson given its count), `poisson`
(the count is taken as an expectation: a Poisson number of requests), `even` (each model's requests at equal
gaps, the first at a random phase).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.core.streams import stream
from mmesim.units import NS_PER_S
from mmesim.workload.combine import Chunks, in_time_order
from mmesim.workload.processes import Times
from mmesim.workload.types import CHUNK, Arrivals

MINUTE_NS = 60 * NS_PER_S


@dataclass(frozen=True, slots=True)
class CountTable:
    """Requests per minute and model: one row each, sorted by minute."""

    minute: NDArray[np.int64]
    model: NDArray[np.int32]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, minute: NDArray[np.int64], model: NDArray[np.int32], count: NDArray[np.int64]) -> CountTable:
        """The table of rows in any order."""
        order = np.argsort(minute, kind="stable")
        return cls(minute[order], model[order], count[order])


def whole_counts(expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole numbers with the mean `expected`: each the one below or the one above, by chance. One number each."""
    below = np.floor(expected)
    return (below + (rng.random(len(expected)) < expected - below)).astype(np.int64)


def expanded(table: CountTable, rule: str, seed: int, *names: str | int) -> Chunks:
    """The requests of all minutes in time order, each with one item and no work yet."""
    waiting: list[Arrivals] = []
    for minute in _minutes(table, rule, seed, *names):
        waiting.append(minute)
        if sum(len(piece) for piece in waiting) >= CHUNK:
            yield in_time_order(waiting)
            waiting = []
    if waiting:
        yield in_time_order(waiting)


def expanded_times(table: CountTable, rule: str, end_ns: int, seed: int, *names: str | int) -> Times:
    """The times before `end_ns` only."""
    for chunk in expanded(table, rule, seed, *names):
        t_ns = chunk.t_ns[:int(np.searchsorted(chunk.t_ns, end_ns))]
        if len(t_ns):
            yield t_ns


def _minutes(table: CountTable, rule: str, seed: int, *names: str | int) -> Iterator[Arrivals]:
    minutes, first = np.unique(table.minute, return_index=True)
    for minute, begin, end in zip(minutes, first, [*first[1:], len(table.minute)], strict=True):
        requests = _one_minute(table.model[begin:end], table.count[begin:end], rule,
                               stream(seed, *names, "minute", int(minute)))
        if len(requests):
            requests.t_ns[:] += minute * MINUTE_NS
            yield requests


def _one_minute(model: NDArray[np.int32], count: NDArray[np.int64], rule: str,
                rng: np.random.Generator) -> Arrivals:
    """The requests of one minute, from its beginning, in any order."""
    if rule == "poisson":
        count = rng.poisson(count)
    n = int(count.sum())
    if rule == "even":
        nth = np.arange(n) - np.repeat(np.cumsum(count) - count, count)
        share = (nth + np.repeat(rng.random(len(count)), count)) / np.repeat(count, count)
    else:
        share = rng.random(n)
    t_ns = np.minimum((share * MINUTE_NS).astype(np.int64), MINUTE_NS - 1)
    return Arrivals(t_ns, np.repeat(model, count), np.ones(n, np.int32), np.zeros(n, np.int64))

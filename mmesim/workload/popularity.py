"""Which model a request is for: popularity that may change with time, and sessions.

Popularity is a sequence of epochs. An epoch ends when a model comes or goes, or when ranks drift; inside an
epoch requests are drawn by Walker's alias method (Walker 1977; Vose 1991), one uniform number and O(1) each.
Weights are renormalised over the models that are available; in an epoch without any, there are no requests.

Sessions: with probability `repeat` a request is for the same model as the one before (requests come in
sessions on production traces: P(same model next) is 0.35 where independent draws would give 0.14, Alibaba
GenTD26). The popularity of the models stays what it was. The first request of an epoch is always drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmesim.core.streams import stream
from mmesim.errors import InputError, Problem, alternatives
from mmesim.units import ns
from mmesim.workload.types import NEVER_NS, PopularitySpec, WorkloadModel

Floats = NDArray[np.float64]
NOBODY = -1
"""The model of a request in an epoch in which no model is available."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A time in which popularity stands still."""

    start_ns: int
    end_ns: int
    shares: Floats
    """Share of the requests that goes to each model; adds up to 1, or to 0 when no model is available."""


def epochs(spec: PopularitySpec, models: Sequence[WorkloadModel], seed: int, end_ns: int) -> Iterator[Epoch]:
    """The epochs of [0, end_ns) in order. Raises InputError on a weight for an unknown model."""
    every_ns = max(1, ns(spec.every_s)) if spec.use == "drifting" else NEVER_NS
    weights = _drifting_weights(spec, models, seed)
    current, drifts = next(weights), 0
    for start, end in pairwise(_change_points(models, every_ns, end_ns)):
        while drifts < start // every_ns:
            current, drifts = next(weights), drifts + 1
        yield Epoch(start, end, _normalised(current * available(models, start)))


def available(models: Sequence[WorkloadModel], at_ns: int) -> NDArray[np.bool_]:
    """Which models exist at a time."""
    return np.array([m.available_from_ns <= at_ns < _until(m) for m in models], dtype=bool)


def base_shares(spec: PopularitySpec, models: Sequence[WorkloadModel], seed: int) -> Floats:
    """Share of each model at the beginning, whether it is available or not."""
    return _normalised(next(_drifting_weights(spec, models, seed)))


class Alias:
    """Draws indices with given shares, one uniform number each; one with share 0 never."""

    def __init__(self, shares: Floats) -> None:
        self._support = np.flatnonzero(shares).astype(np.int32)
        self._keep, self._other = _alias_table(shares[self._support])
        self._whole = len(self._support) == len(shares)

    def pick(self, uniform: Floats) -> NDArray[np.int32]:
        """An index for each number in [0, 1); overwrites `uniform`."""
        uniform *= len(self._keep)
        column = uniform.astype(np.int32)
        uniform -= column
        picked = np.where(uniform < self._keep.take(column), column, self._other.take(column))
        return picked if self._whole else self._support.take(picked)


class Chooser:
    """Gives each of a sequence of times a model."""

    def __init__(self, schedule: Iterator[Epoch], repeat: float, draws: np.random.Generator,
                 sessions: np.random.Generator) -> None:
        self._schedule, self._repeat, self._draws, self._sessions = schedule, repeat, draws, sessions
        self._last = NOBODY
        self._enter(next(schedule))

    def choose(self, t_ns: NDArray[np.int64]) -> NDArray[np.int32]:
        """Models for sorted times, each within the schedule; `NOBODY` where no model is available."""
        uniform = self._draws.random(len(t_ns))
        again = self._sessions.random(len(t_ns)) < self._repeat if self._repeat else None
        chosen, done = [], 0
        while done < len(t_ns):
            upto = int(np.searchsorted(t_ns, self._epoch.end_ns))
            rows = slice(done, upto)
            if upto > done:
                chosen.append(self._pick(uniform[rows], None if again is None else again[rows]))
            if upto < len(t_ns):
                self._enter(next(self._schedule))
            done = upto
        return chosen[0] if len(chosen) == 1 else np.concatenate(chosen or [np.empty(0, np.int32)])

    def _enter(self, epoch: Epoch) -> None:
        self._epoch, self._last = epoch, NOBODY
        self._alias = Alias(epoch.shares) if epoch.shares.any() else None

    def _pick(self, uniform: Floats, again: NDArray[np.bool_] | None) -> NDArray[np.int32]:
        if self._alias is None:
            return np.full(len(uniform), NOBODY, dtype=np.int32)
        fresh = self._alias.pick(uniform)
        if again is None:
            return fresh
        models = carry_forward(fresh, again, self._last)
        self._last = int(models[-1])
        return models


def carry_forward(fresh: NDArray[np.int32], again: NDArray[np.bool_], last: int) -> NDArray[np.int32]:
    """`fresh` where not `again`, elsewhere the model before; `last` came before all (`NOBODY`: none did)."""
    origin = np.maximum.accumulate(np.where(again, -1, np.arange(len(fresh))))
    if last != NOBODY:
        return np.where(origin < 0, np.int32(last), fresh[origin])
    return fresh[np.maximum(origin, 0)]


def _until(model: WorkloadModel) -> int:
    return NEVER_NS if model.available_until_ns is None else model.available_until_ns


def _change_points(models: Sequence[WorkloadModel], every_ns: int, end_ns: int) -> list[int]:
    points = {0, end_ns, *range(0, end_ns, every_ns)}
    points.update(m.available_from_ns for m in models)
    points.update(_until(m) for m in models)
    return sorted(point for point in points if 0 <= point <= end_ns)


def _drifting_weights(spec: PopularitySpec, models: Sequence[WorkloadModel], seed: int) -> Iterator[Floats]:
    """Weights at the beginning and after each drift."""
    group = np.array([m.group_weight for m in models], dtype=float)
    if spec.use in ("uniform", "explicit"):
        yield group * (_explicit(spec, models) if spec.use == "explicit" else 1.0)
        return
    rank = np.arange(len(models))
    if spec.shuffle:
        rank = stream(seed, "popularity", "ranks").permutation(len(models))
    drift = stream(seed, "popularity", "drift")
    trading = min(len(models), max(2, round(spec.swap * len(models)))) if spec.swap else 0
    while True:
        yield group * (rank + 1.0) ** -spec.s
        movers = drift.choice(len(models), trading, replace=False)
        rank[movers] = rank[np.roll(movers, 1)]  # in a circle, so that each of them moves


def _explicit(spec: PopularitySpec, models: Sequence[WorkloadModel]) -> Floats:
    names = [m.name for m in models]
    unknown = sorted(set(spec.weights) - set(names))
    if unknown:
        raise InputError(Problem(f"{name!r} is not a model of this scenario",
                                 path="workload.popularity.weights", hint=alternatives(name, names))
                         for name in unknown)
    return np.array([float(spec.weights.get(name, 0.0)) for name in names])


def _normalised(weights: Floats) -> Floats:
    total = weights.sum()
    return weights / total if total > 0 else np.zeros_like(weights)


def _alias_table(shares: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """Vose's construction: column i is kept with probability keep[i] and else goes to other[i]."""
    n = len(shares)
    filled = (shares * n / shares.sum()).tolist()
    other = list(range(n))
    small = [i for i, level in enumerate(filled) if level < 1]
    large = [i for i, level in enumerate(filled) if level >= 1]
    keep = [1.0] * n
    while small and large:
        low, high = small.pop(), large[-1]
        keep[low], other[low] = filled[low], high
        filled[high] -= 1 - filled[low]
        if filled[high] < 1:
            small.append(large.pop())
    return np.array(keep), np.array(other, dtype=np.int32)

"""LRU-K with K = 2."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy
from mmesim.policies.eviction.copies import Column, new_uses
from mmesim.units import ns

UNKNOWN_NS = -1
"""No such use is known."""
NOT_HERE = -1


class History:
    """Of the models in one memory, and of those that left it: the last use, and the one before."""

    def __init__(self) -> None:
        self.last_ns = Column(np.int64, UNKNOWN_NS)
        self.previous_ns = Column(np.int64, UNKNOWN_NS)
        self.uses = Column(np.int64, NOT_HERE)

    def read(self, candidates: Candidates, correlated_ns: int, retained_ns: int) -> NDArray[np.int64]:
        """Take account of new uses; returns the time of each candidate's use before the last."""
        models, n = candidates.model, len(candidates.specs)
        last, previous, uses = (column.array(n) for column in (self.last_ns, self.previous_ns, self.uses))
        came = models[uses[models] == NOT_HERE]
        since_ns = candidates.since_ns[uses[models] == NOT_HERE]
        forgotten = (last[came] == UNKNOWN_NS) | (since_ns - last[came] > retained_ns)
        uses[came] = np.where(forgotten, 1, 0)
        previous[came[forgotten]] = UNKNOWN_NS
        last[came[forgotten]] = since_ns[forgotten]
        grown = new_uses(candidates.uses, uses[models])
        span_ns = candidates.last_use_ns - last[models]
        apart = (grown > 0) & (span_ns > correlated_ns)
        n_apart = np.clip(span_ns // max(correlated_ns, 1), 1, np.maximum(grown, 1))
        previous[models] = np.where(apart, candidates.last_use_ns - span_ns // n_apart, previous[models])
        last[models] = np.maximum(last[models], candidates.last_use_ns)
        uses[models] = np.maximum(candidates.uses, 1)
        return previous[models]


@dataclass
class LruK(EvictionPolicy):
    """The model whose use before the last one is oldest leaves first: one use alone earns no place.

    O'Neil, O'Neil and Weikum, "The LRU-K page replacement algorithm" (SIGMOD 1993) with K = 2, which they advise. Uses
    that follow each other within `correlated` are one (a session); such a copy leaves only when no other can. Models
    with a single use count as infinitely old, ties by last use. What is known of a model that left is kept for
    `retained` after its last use.

    *Reading.* Uses are seen when room is needed, not one by one: number and time of the last one. If there was one new
    use, the history is exact; if there were n, the one before the last is put where it would be if they had come at
    even distances (at least `correlated`) since the last one known.
    """

    name: ClassVar[str] = "lru_k"

    correlated_s: float = 0.0
    """Uses within so long of each other count as one; about the length of a session."""
    retained_s: float = 3600.0
    """What is known of an evicted model is forgotten so long after its last use."""

    _histories: dict[int, History] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in ("correlated", "retained"):
            if getattr(self, f"{name}_s") < 0:
                raise ValueError(f"{name} is {getattr(self, f'{name}_s'):g} s; it cannot be below 0")

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """Its count of uses begins anew with the next copy; its history stays."""
        self._history(instance).uses[model] = NOT_HERE

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """Those in a session last; then by the use before the last, then by the last."""
        history = self._history(candidates.instance)
        previous_ns = history.read(candidates, ns(self.correlated_s), ns(self.retained_s))
        last_ns = history.last_ns.array(0)[candidates.model]
        in_session = now_ns - last_ns <= ns(self.correlated_s)
        return candidates.ordered(in_session=in_session, previous_use_ns=previous_ns, last_use_ns=last_ns)

    def _history(self, instance: int) -> History:
        return self._histories.setdefault(instance, History())

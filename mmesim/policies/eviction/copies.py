"""What eviction policies remember of the copies of one memory (or disk): numbers by model, and which use is new.

Policies are told when a copy comes and goes, but not of its uses: those are read off when room is needed. That loses
nothing where only "was it used since" or "how often, up to a cap" counts, because nothing is decided in between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidate, Candidates

FIRST_USE = 1
"""`uses` of a copy that served nothing but the request that brought it in."""


class Column:
    """A number for each model, `fill` until it is set; grows as models appear."""

    def __init__(self, kind: type, fill: float = 0) -> None:
        self._fill = fill
        self._values: NDArray[Any] = np.full(64, fill, kind)

    def array(self, n_models: int) -> NDArray[Any]:
        """The numbers of at least the first `n_models` models; writing to it sets them."""
        have = len(self._values)
        if n_models > have:
            more = np.full(max(n_models, 2 * have) - have, self._fill, self._values.dtype)
            self._values = np.concatenate([self._values, more])
        return self._values

    def __setitem__(self, model: int, value: float) -> None:
        self.array(model + 1)[model] = value

    def __getitem__(self, model: int) -> Any:
        return self.array(model + 1).item(model)


def new_uses(uses: NDArray[np.int64], seen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Requests since `seen` of them were counted; the count began anew where it has fallen (reloaded from the disk)."""
    return np.where(uses >= seen, uses - seen, uses)


def touched_ns(candidates: Candidates) -> NDArray[np.int64]:
    """When each was last touched: a request arrived, or it became READY."""
    return np.maximum(candidates.last_use_ns, candidates.since_ns)


def row_of(candidates: Candidates, victim: Candidate) -> int:
    """Where a candidate stands among the others."""
    return int(np.argmax(candidates.model == victim.model))

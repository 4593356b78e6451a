"""First in, first out: the order in which copies came into one memory (or onto one disk).

Positions only grow, so that a place in the queue outlives what stood there: a hand can point between two models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidates
from mmesim.policies.eviction.copies import FIRST_USE, Column


class Queue:
    """Positions of models, 1 for the first that came, and how many of their uses have been taken account of."""

    def __init__(self) -> None:
        self.position = Column(np.int64)
        """0: not here."""
        self.seen = Column(np.int64, FIRST_USE)
        self.newest = 0

    def add(self, model: int) -> None:
        """Put a model at the end; only its uses from now on are new."""
        self.newest += 1
        self.position[model] = self.newest
        self.seen[model] = FIRST_USE

    def remove(self, model: int) -> None:
        """Take a model out, if it is here."""
        self.position[model] = 0

    def positions(self, candidates: Candidates) -> NDArray[np.int64]:
        """Where the candidates stand. Those that nobody announced are added, the oldest copy first."""
        position: NDArray[np.int64] = self.position.array(len(candidates.specs))
        found = position[candidates.model]
        if not found.all():
            unknown = np.flatnonzero(found == 0)
            for row in unknown[np.lexsort((candidates.model[unknown], candidates.since_ns[unknown]))].tolist():
                self.add(int(candidates.model[row]))
            found = self.position.array(len(candidates.specs))[candidates.model]
        return found

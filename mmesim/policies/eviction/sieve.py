"""SIEVE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy
from mmesim.policies.eviction.copies import new_uses, row_of
from mmesim.policies.eviction.queue import Queue


class List(Queue):
    """SIEVE's list of one memory, and its hand: the position to look at next."""

    def __init__(self) -> None:
        super().__init__()
        self.hand = 0

    def pass_by(self, position: int) -> None:
        """The hand goes on behind a victim; behind the newest copy it starts over with the oldest."""
        behind = self.position.array(0) > position
        self.hand = position + 1 if behind.any() else 0


@dataclass
class Sieve(EvictionPolicy):
    """A hand goes from the oldest copy to the newest: a copy used since the last visit stays, the others leave.

    Zhang et al., "SIEVE is simpler than LRU" (NSDI 2024): one list in order of arrival, one visited bit a copy, one
    hand. The hand clears bits until it finds a clear one, evicts that copy and stays there; new copies join behind
    all others and nothing else ever moves. The bit is read off `uses`: set when a request came since it was cleared.
    The request that brought a copy in does not set it. Busy, pinned and loading models are passed over unchanged.
    """

    name: ClassVar[str] = "sieve"

    _lists: dict[int, List] = field(init=False, default_factory=dict, repr=False)

    def loaded(self, instance: int, model: int, now_ns: int) -> None:
        """It joins the list as the newest."""
        self._list(instance).add(model)

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """It leaves the list; the hand stays between its neighbours."""
        self._list(instance).remove(model)

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """Unvisited ones from the hand on; then, when all bits are clear, the others on a second round."""
        here = self._list(candidates.instance)
        position = here.positions(candidates)
        seen: NDArray[np.int64] = here.seen.array(len(candidates.specs))
        visited = new_uses(candidates.uses, seen[candidates.model]) > 0
        steps = np.where(position >= here.hand, position, position + here.newest + 1) - here.hand
        left = visited  # with the bit still set
        for victim in candidates.ordered(visited=visited, steps=steps):
            at = row_of(candidates, victim)
            passed = left if visited[at] else left & (steps < steps[at])
            if passed.any():
                seen[candidates.model[passed]] = candidates.uses[passed]
                left = left & ~passed
            here.pass_by(int(position[at]))
            yield victim

    def _list(self, instance: int) -> List:
        return self._lists.setdefault(instance, List())

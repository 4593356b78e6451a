"""Ageing by inflation: what LFU with dynamic ageing and Greedy-Dual have in common.

Each memory has a clock L, the largest key that was evicted. A copy's key is the clock at its last touch (or when it
came) plus a worth; the smallest key leaves. What is not touched falls behind the clock, however often it was used.
The clock moves only while victims are chosen, so a touch is dated by the clock of the next choice without an error; a
copy that is busy then is dated when it is next seen idle.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy
from mmesim.policies.eviction.copies import Column, row_of, touched_ns

NOT_HERE = -1
"""Uses of a copy that has just come, or is not here: any number is news."""


class Clock:
    """The clock of one memory, and what it showed when each copy was last touched."""

    def __init__(self) -> None:
        self.value = 0.0
        self.at_touch = Column(np.float64)
        self.uses = Column(np.int64, NOT_HERE)

    def read(self, candidates: Candidates) -> NDArray[np.float64]:
        """Its value when each candidate was last touched."""
        uses: NDArray[np.int64] = self.uses.array(len(candidates.specs))
        at_touch: NDArray[np.float64] = self.at_touch.array(len(candidates.specs))
        touched = candidates.model[uses[candidates.model] != candidates.uses]
        at_touch[touched] = self.value
        uses[candidates.model] = candidates.uses
        return at_touch[candidates.model]


@dataclass
class Ageing(EvictionPolicy):
    """Base of policies whose key is the clock at the last touch plus a worth."""

    _clocks: dict[int, Clock] = field(init=False, default_factory=dict, repr=False)

    @abstractmethod
    def worth(self, candidates: Candidates) -> NDArray[np.float64]:
        """What keeping each candidate is worth now."""

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """The next copy of it starts anew."""
        self._clock(instance).uses[model] = NOT_HERE

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """By key, then by last touch; the clock follows the victims."""
        clock = self._clock(candidates.instance)
        key = clock.read(candidates) + self.worth(candidates)
        for victim in candidates.ordered(key=key, last_touch_ns=touched_ns(candidates)):
            clock.value = max(clock.value, key.item(row_of(candidates, victim)))
            yield victim

    def _clock(self, instance: int) -> Clock:
        return self._clocks.setdefault(instance, Clock())

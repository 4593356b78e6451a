"""Random replacement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy


@dataclass
class Random(EvictionPolicy):
    """Any idle copy leaves, all equally likely.

    The baseline that no pattern of requests can defeat (Belady, 1966): in a loop over slightly more models than fit
    it keeps most of them, where LRU and FIFO keep none. Under independent requests it hits as often as FIFO
    (Gelenbe, "A unified approach to the evaluation of a class of replacement algorithms", 1973).
    """

    name: ClassVar[str] = "random"

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """In an order drawn anew each time."""
        return candidates.ordered(draw=self.rng.random(len(candidates)))
